import { randomBytes } from 'node:crypto'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { apiVersion, type ClusterReport, type ReleaseReport } from '@muster/api'
import type { KubeObject, Ref } from '@muster/kube'
import { type ChannelRelease, generateKeyPair } from '@muster/trust'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'
import { webDeployment } from './testing/manifests.ts'

const id = randomBytes(4).toString('hex')
const cluster = `test-${id}`
const shop = `shop-${id}`
const system = `agent-${id}`

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']

function manifests(greeting: string, more = ''): string {
  return `
apiVersion: v1
kind: ConfigMap
metadata:
  name: greeting
data:
  greeting: ${greeting}
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector:
    app: web
  ports:
    - port: 80
---
${webDeployment}${more}`
}

const release = (report: ClusterReport, name = shop): ReleaseReport | undefined => report.releases.find((one) => one.name === name)
const config: Ref = { apiVersion: 'v1', kind: 'ConfigMap', name: 'greeting', namespace: shop }
const deployment: Ref = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', namespace: shop }

/** What is back so soon, in milliseconds, was seen by a watch: without one it is looked at each ten minutes. How soon it is, benchmarks say. */
const watchedMs = 30_000

/** How long it took until it was so, in milliseconds. */
async function took(test: () => Promise<boolean>): Promise<number> {
  const started = performance.now()
  await eventually(test)
  return performance.now() - started
}

const greeting = async (): Promise<unknown> => ((await client.find(config))?.['data'] as { greeting?: string } | undefined)?.greeting

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id))
  agent.start()
})

afterAll(async () => end(shop, `other-${id}`))

describe('an agent', () => {
  it('joins with its token, pulls its channel, and reports the release as ready, with who signed it', async () => {
    const entry = await fleet.publish(shop, '1.0.0', manifests('hello', extra))
    await fleet.channel([entry])
    const report = await fleet.reported((one) => release(one)?.ready === true)
    expect(report).toMatchObject({ cluster, generation: 1, channelDigest: expect.stringMatching(/^sha256:/) })
    expect(release(report)).toMatchObject({
      version: '1.0.0',
      digest: entry.bundle.digest,
      signedBy: ['publisher'],
      reason: 'Healthy',
      driftCorrected: 0,
      drifted: false,
    })
    const secret = await client.get({ apiVersion: 'v1', kind: 'Secret', name: 'muster-agent-identity', namespace: system })
    expect(Object.keys(secret['data'] as object).sort()).toEqual([
      'channel-repository',
      'hub-ca.crt',
      'registry.json',
      'tls.crt',
      'tls.key',
    ])
  })

  it('brings a changed field back at once, with an event that says what, who and when', async () => {
    await client.patch(config, { data: { greeting: 'goodbye' } }, { type: 'merge', fieldManager: 'kubectl-edit' })
    expect(await took(async () => (await greeting()) === 'hello')).toBeLessThan(watchedMs)
    await fleet.reported((one) => release(one)?.driftCorrected === 1)
    let event: KubeObject | undefined
    await eventually(async () => {
      const { items } = await client.list({ apiVersion: 'events.k8s.io/v1', kind: 'Event', namespace: shop })
      event = items.find((one) => one['reason'] === 'DriftCorrected')
      return event !== undefined
    })
    expect(event).toMatchObject({
      type: 'Warning',
      regarding: { kind: 'ConfigMap', name: 'greeting', uid: (await client.get(config)).metadata.uid },
    })
    expect(event?.['note']).toMatch(/ConfigMap .*greeting.*\.data\.greeting changed by field manager "kubectl-edit" \(Update, \d{4}-/)
    const object = await client.get({ apiVersion, kind: 'Release', name: shop })
    expect(object['status']).toMatchObject({ drift: { corrected: 1, lastManager: 'kubectl-edit' } })
  })

  it('brings a deleted object back at once', async () => {
    await client.delete(config)
    expect(await took(async () => (await greeting()) === 'hello')).toBeLessThan(watchedMs)
    await fleet.reported((one) => release(one)?.driftCorrected === 2 && release(one)?.drifted === false)
  })

  it('takes out a container and a privilege that someone added, and leaves an annotation alone', async () => {
    const added = {
      metadata: { annotations: { 'example.test/note': 'mine' } },
      spec: {
        template: {
          spec: {
            containers: [
              { name: 'web', securityContext: { privileged: true } },
              { name: 'miner', image: 'registry.example/miner:1' },
            ],
          },
        },
      },
    }
    await client.patch(deployment, added, { type: 'strategic', fieldManager: 'kubectl-edit' })
    const clean = async (): Promise<boolean> => !/miner|privileged/.test(JSON.stringify((await client.get(deployment))['spec']))
    expect(await took(clean)).toBeLessThan(watchedMs)
    expect((await client.get(deployment)).metadata.annotations).toMatchObject({ 'example.test/note': 'mine' })
    await fleet.reported((one) => release(one)?.driftCorrected === 3 && release(one)?.ready === true)
  })

  it('makes its Release object again when someone deletes it, with all that it knew', async () => {
    const ref: Ref = { apiVersion, kind: 'Release', name: shop }
    // The hub may be told before it is written down.
    const before = await eventually(async () => {
      const found = await client.get(ref)
      return (found['status'] as { drift: { corrected: number } }).drift.corrected === 3 && found
    })
    await client.delete(ref)
    await eventually(async () => (await client.find(ref))?.['status'] !== undefined)
    const after = await client.get(ref)
    expect(after.metadata.uid).not.toBe(before.metadata.uid)
    const { inventory, drift, appliedDigest } = before['status'] as Record<string, unknown>
    expect(after['status']).toMatchObject({ inventory, drift, appliedDigest })
  })

  it('prunes what a new version does not have, once it is healthy', async () => {
    const entry = await fleet.publish(shop, '1.1.0', manifests('hello again'))
    await fleet.channel([entry])
    const report = await fleet.reported((one) => release(one)?.version === '1.1.0' && release(one)?.ready === true)
    expect(release(report)?.driftCorrected).toBe(3)
    expect(await greeting()).toBe('hello again')
    expect(await client.find({ ...config, name: 'extra' })).toBeUndefined()
  })

  it.each([
    [
      'signed by another key',
      'SignatureWrongKey',
      async () => fleet.publish(shop, '2.0.0', manifests('evil'), { signWith: generateKeyPair() }),
    ],
    ['signed by nobody', 'SignatureMissing', async () => fleet.publish(shop, '2.0.1', manifests('evil 1'), { signWith: 'nobody' })],
    [
      'damaged by one byte',
      'DataDamaged',
      async () => {
        const before = await blobs(fleet.registryRoot)
        const entry = await fleet.publish(shop, '2.0.2', manifests('evil 2'))
        await flipByte([...(await blobs(fleet.registryRoot))].filter((one) => !before.has(one)))
        return entry
      },
    ],
  ])('refuses a bundle that is %s (%s), and what ran keeps running, drift corrected', async (_title, reason, publish) => {
    await fleet.channel([await publish()])
    const report = await fleet.reported((one) => release(one)?.reason === reason)
    expect(release(report)).toMatchObject({ ready: false, version: '1.1.0' })
    expect(await greeting()).toBe('hello again')
    await client.patch(config, { data: { greeting: 'goodbye' } }, { type: 'merge' })
    expect(await took(async () => (await greeting()) === 'hello again')).toBeLessThan(watchedMs)
  })

  it('is not rolled back by an older channel, and says so', async () => {
    const good = await fleet.publish(shop, '1.2.0', manifests('good'))
    const generation = await fleet.channel([good])
    await fleet.reported((one) => release(one)?.version === '1.2.0' && release(one)?.ready === true)
    await fleet.channel([await fleet.publish(shop, '1.1.0', manifests('hello again'))], { generation: generation - 1 })
    const report = await fleet.reported((one) => one.channelUnreadable?.reason === 'ChannelRollback')
    expect(release(report)).toMatchObject({ version: '1.2.0', ready: true })
    await fleet.channel([good], { generation: generation + 1 })
    await fleet.reported((one) => one.channelUnreadable === undefined && one.generation === generation + 1)
  })

  it('deletes nothing while the registry is down, still corrects drift, and says since when', async () => {
    const before = new Date().toISOString()
    await fleet.stopRegistry()
    const report = await fleet.reported((one) => one.channelUnreadable !== undefined)
    expect(report.channelUnreadable?.reason).toBe('Unreachable')
    expect((report.channelUnreadable?.since ?? '') >= before).toBe(true)
    await client.patch(config, { data: { greeting: 'goodbye' } }, { type: 'merge' })
    expect(await took(async () => (await greeting()) === 'good')).toBeLessThan(watchedMs)
    expect(release(report)?.ready).toBe(true)
  })

  it('knows its releases after a restart without the registry, and corrects what drifted meanwhile', async () => {
    await agent.end()
    await client.patch(config, { data: { greeting: 'goodbye' } }, { type: 'merge', fieldManager: 'while-away' })
    const { corrected } = ((await client.get({ apiVersion, kind: 'Release', name: shop }))['status'] as { drift: { corrected: number } })
      .drift
    agent.start()
    await eventually(async () => (await greeting()) === 'good')
    const report = await fleet.reported((one) => release(one)?.ready === true && release(one)?.driftCorrected === corrected + 1)
    expect(release(report)).toMatchObject({ version: '1.2.0', signedBy: ['publisher'] })
    await fleet.startRegistry()
    await fleet.reported((one) => one.channelUnreadable === undefined)
  })

  it('does not let a failing release hold up another, and waits for what a release depends on', async () => {
    const good = await fleet.publish(shop, '1.2.0', manifests('good'))
    const broken = await fleet.publish(`broken-${id}`, '1.0.0', 'apiVersion: example.test/v1\nkind: Unheard\nmetadata:\n  name: of\n')
    const other = await fleet.publish(`other-${id}`, '1.0.0', 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\n')
    const waiting = {
      ...(await fleet.publish(`waiting-${id}`, '1.0.0', 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: two\n')),
      settings: { dependsOn: [{ release: `broken-${id}` }] },
    }
    await fleet.channel([good, broken, other, waiting])
    const report = await fleet.reported(
      (one) => release(one, `other-${id}`)?.ready === true && release(one, `broken-${id}`)?.reason === 'ApplyFailed',
    )
    expect(release(report, `waiting-${id}`)).toMatchObject({
      ready: false,
      reason: 'DependencyNotReady',
      message: expect.stringContaining(`broken-${id}`),
      waitingFor: { what: 'Dependency', names: [`broken-${id}`] },
    })
  })

  it('is not held up by definitions that are never served: with more of them than workers another release is ready at once', async () => {
    const good = await fleet.publish(shop, '1.2.0', manifests('good'))
    const group = `n${id}.example.test`
    const first = await fleet.publish(`first-${id}`, '1.0.0', definition(group, 'gadgets'))
    await fleet.channel([good, first])
    await fleet.reported((one) => release(one, `first-${id}`)?.ready === true)
    // Each defines the same kind once more, which is never served, and has an object of it.
    const stuck: ChannelRelease[] = []
    for (let at = 0; at < 10; at++) {
      const widget = `apiVersion: ${group}/v1\nkind: Widget\nmetadata:\n  name: one\n`
      stuck.push(await fleet.publish(`never${at}-${id}`, '1.0.0', [definition(group, `widgets${at}`), widget].join('---\n')))
    }
    await fleet.channel([good, first, ...stuck])
    const waits = (one: ClusterReport, at: number) =>
      release(one, `never${at}-${id}`)?.message.includes('the kinds that it defines are served')
    await fleet.reported((one) => stuck.every((_, at) => waits(one, at) === true))
    const started = performance.now()
    await fleet.channel([
      good,
      first,
      ...stuck,
      await fleet.publish(`other-${id}`, '1.0.0', 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\n'),
    ])
    await fleet.reported((one) => release(one, `other-${id}`)?.ready === true)
    expect(performance.now() - started).toBeLessThan(15_000)
    await fleet.channel([good])
    await fleet.reported((one) => one.generation === fleet.generation && one.releases.every(({ name }) => name === shop))
  })

  it('gives up waiting for what never comes as soon as a newer generation wants something else', async () => {
    const good = await fleet.publish(shop, '1.2.0', manifests('good'))
    const group = `g${id}.example.test`
    const crd: Ref = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', name: `widgets.${group}` }
    const name = `stuck-${id}`
    const first = await fleet.publish(name, '1.0.0', definition(group, 'gadgets'))
    await fleet.channel([good, first])
    await fleet.reported((one) => release(one, name)?.ready === true)
    // A second definition of the same kind is never served; the wait for it would take a minute.
    await fleet.channel([
      good,
      await fleet.publish(name, '1.0.1', [definition(group, 'gadgets'), definition(group, 'widgets')].join('---\n')),
    ])
    await eventually(async () => (await client.find(crd)) !== undefined)
    const started = performance.now()
    await fleet.channel([good, first])
    await fleet.reported((one) => one.generation === fleet.generation && release(one, name)?.ready === true)
    await eventually(async () => (await client.find(crd)) === undefined)
    expect(performance.now() - started).toBeLessThan(20_000)
  })

  it('waits with a prune that is larger than its share until it is agreed to, then prunes exactly the inventory', async () => {
    const bystander = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'bystander', namespace: system } }
    await client.create(bystander)
    const other = await fleet.publish(`other-${id}`, '1.0.0', 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\n')
    const generation = await fleet.channel([other], { prune: { maxShare: 0.1 } })
    await fleet.reported((one) => release(one)?.reason === 'PruneNeedsConsent')
    expect(await greeting()).toBe('good')
    await client.patch(config, { data: { greeting: 'goodbye' } }, { type: 'merge' })
    await eventually(async () => (await greeting()) === 'good')
    await fleet.channel([other], { prune: { maxShare: 0.1, consent: generation + 1 } })
    await fleet.reported((one) => release(one) === undefined && release(one, `other-${id}`)?.ready === true)
    expect(await client.find(config)).toBeUndefined()
    expect(await client.find({ apiVersion, kind: 'Release', name: shop })).toBeUndefined()
    expect(await client.find({ apiVersion: 'v1', kind: 'Namespace', name: shop })).toBeUndefined()
    expect(await client.find({ apiVersion: 'v1', kind: 'ConfigMap', name: 'bystander', namespace: system })).toBeDefined()
  })

  it('empties the cluster only when the channel says that it is empty', async () => {
    await fleet.channel([])
    await fleet.reported((one) => one.releases.length === 0)
    expect(await client.find({ apiVersion: 'v1', kind: 'ConfigMap', name: 'one', namespace: `other-${id}` })).toBeUndefined()
  })
})

const extra = `---
apiVersion: v1
kind: ConfigMap
metadata:
  name: extra
`

function definition(group: string, plural: string): string {
  return `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: ${plural}.${group}
spec:
  group: ${group}
  scope: Namespaced
  names:
    kind: Widget
    plural: ${plural}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
`
}

async function blobs(root: string): Promise<Set<string>> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  return new Set(entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)))
}

/** Changes one byte of a component's layer: the file that is a tar. */
async function flipByte(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const file = await open(path, 'r+')
    try {
      const content = await file.readFile()
      const at = content.indexOf('evil')
      if (at < 0 || content.length % 512 !== 0) continue
      await file.write(Buffer.from('E'), 0, 1, at)
      return
    } finally {
      await file.close()
    }
  }
  throw new Error('no layer was found')
}
