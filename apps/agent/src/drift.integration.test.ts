import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { apiVersion, type ClusterReport, type Release, type ReleaseReport, type ReleaseSettings } from '@muster/api'
import type { KubeObject, Ref } from '@muster/kube'
import { fieldManager } from '@muster/reconcile'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'
import { webDeployment } from './testing/manifests.ts'

const id = randomBytes(4).toString('hex')
const shop = `shop-${id}`
const config: Ref = { apiVersion: 'v1', kind: 'ConfigMap', name: 'greeting', namespace: shop }
const web: Ref = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', namespace: shop }

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']

const release = (report: ClusterReport): ReleaseReport | undefined => report.releases.find((one) => one.name === shop)
type Drift = NonNullable<NonNullable<Release['status']>['drift']>
const drift = async (): Promise<Drift> =>
  ((await client.get({ apiVersion, kind: 'Release', name: shop }))['status'] as { drift: Drift }).drift
const data = async (): Promise<Record<string, string> | undefined> =>
  (await client.find(config))?.['data'] as Record<string, string> | undefined
const change = async (values: Record<string, string | null>, manager = 'kubectl-edit'): Promise<void> => {
  await client.patch(config, { data: values }, { type: 'merge', fieldManager: manager })
}

async function events(reason: string): Promise<string[]> {
  const { items } = await client.list({ apiVersion: 'events.k8s.io/v1', kind: 'Event', namespace: shop })
  return items.filter((one) => one['reason'] === reason).map((one) => String(one['note']))
}

let version = 0
/** Brings the release to the next version, with these settings. */
async function placed(settings: ReleaseSettings, sameAs?: string): Promise<string> {
  version += sameAs === undefined ? 1 : 0
  const name = sameAs ?? `1.0.${version}`
  await fleet.channel([{ ...(await fleet.publish(shop, name, manifests(name))), settings }])
  await fleet.reported((one) => one.generation === fleet.generation && release(one)?.version === name && release(one)?.ready === true)
  return name
}

const manifests = (name: string): string => `apiVersion: v1
kind: ConfigMap
metadata:
  name: greeting
data:
  greeting: hello
  tone: polite
  version: ${name}
---
${webDeployment}`

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id))
  agent.start()
})

afterAll(async () => end(shop))

describe('drift that is only detected', () => {
  const settings: ReleaseSettings = { drift: { mode: 'detect' } }

  it('is left, and told with object, field and manager, in the report, in the Release and by one event', async () => {
    await placed(settings)
    await change({ greeting: 'goodbye' })
    await fleet.reported((one) => release(one)?.drifted === true)
    await eventually(async () => (await drift()).present !== undefined)
    expect(await drift()).toMatchObject({
      mode: 'detect',
      detected: 1,
      corrected: 0,
      authors: [{ manager: 'kubectl-edit', count: 1 }],
      present: [{ object: `ConfigMap ${shop}/greeting`, paths: ['.data.greeting'], manager: 'kubectl-edit' }],
    })
    await eventually(async () => (await events('DriftDetected')).length === 1)
    expect((await events('DriftDetected'))[0]).toMatch(
      /is left other than what is signed: \.data\.greeting changed by field manager "kubectl-edit"/,
    )
    expect(await data()).toMatchObject({ greeting: 'goodbye', tone: 'polite' })
  })

  it('is left over a restart of the agent, and still known', async () => {
    await agent.end()
    agent.start()
    await fleet.reported((one) => one.generation === fleet.generation && release(one)?.ready === true && release(one)?.drifted === true)
    expect(await data()).toMatchObject({ greeting: 'goodbye' })
  })

  it('is none any more when whoever did it puts it back', async () => {
    await change({ greeting: 'hello' })
    // The value is as signed, but whoever wrote it owns the field: that is told until a version takes it.
    await placed(settings)
    await fleet.reported((one) => release(one)?.drifted === false)
    expect((await drift()).present).toBeUndefined()
  })

  it('is an object that somebody deleted, too', async () => {
    await client.delete(config)
    await fleet.reported((one) => release(one)?.drifted === true)
    await eventually(async () => (await drift()).present?.[0]?.paths[0] === '(deleted)')
    expect(await client.find(config)).toBeUndefined()
  })

  it('is corrected as soon as the placement says so', async () => {
    const before = `1.0.${version}`
    await placed({ drift: { mode: 'correct' } }, before)
    expect(await data()).toMatchObject({ greeting: 'hello', version: before })
    await fleet.reported((one) => release(one)?.drifted === false)
  })
})

describe('somebody who writes under the name of the agent', () => {
  const impostor = async (): Promise<void> => {
    const { metadata, ...live } = await client.get(config)
    const { name, namespace, labels } = metadata
    const object = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace, labels },
      data: { ...(live['data'] as object), greeting: 'evil' },
    }
    await client.apply(object as KubeObject, { fieldManager, force: true })
  }

  it('is seen, put back at once, and told, also where it is done again within the same second', async () => {
    await placed({ drift: { mode: 'correct' } })
    const { corrected } = await drift()
    for (let times = 0; times < 3; times += 1) {
      await impostor()
      await eventually(async () => (await data())?.['greeting'] === 'hello')
    }
    await eventually(async () => (await drift()).corrected === corrected + 3)
    expect((await drift()).lastManager).toBe(fieldManager)
    expect((await events('DriftCorrected')).at(-1)).toContain('.data.greeting changed by field manager "muster-agent" (Apply')
  })

  it('leaves nothing to do for an agent that starts anew after that: it applies no object', async () => {
    await eventually(
      async () => ((await client.get({ apiVersion, kind: 'Release', name: shop }))['status'] as Release['status'])?.observedGeneration,
    )
    await agent.end()
    agent.applied.length = 0
    const before = fleet.reports.length
    agent.start()
    await fleet.reported((one) => fleet.reports.length > before && release(one)?.ready === true)
    expect(agent.applied.filter((one) => /ConfigMap\/greeting|Deployment/.test(one))).toEqual([])
  })
})

describe('a difference that is meant', () => {
  const rules = {
    mode: 'correct' as const,
    ignore: [{ kind: 'ConfigMap', name: 'greeting', path: 'data.tone', owner: 'shop-team' }],
    controllers: [{ kind: 'Deployment', user: 'system:serviceaccount:vpa:updater', paths: ['spec.template.spec.containers[*].resources'] }],
  }

  it('is left alone, told with who has it, and stays through a new version, while the field beside it is corrected', async () => {
    await placed({ drift: rules })
    const { corrected } = await drift()
    await change({ tone: 'rude' })
    await eventually(async () => (await drift()).tolerated !== undefined)
    expect((await drift()).tolerated).toEqual([{ object: `ConfigMap/${shop}/greeting`, paths: ['/data/tone'] }])
    const left = [
      { what: 'ConfigMap greeting data.tone', owner: 'shop-team' },
      { what: 'Deployment spec.template.spec.containers[*].resources', owner: 'system:serviceaccount:vpa:updater' },
    ]
    expect((await drift()).left).toEqual(left)
    expect(release(await fleet.reported(() => true))?.drift).toMatchObject({ mode: 'correct', left })
    await change({ greeting: 'goodbye' })
    await eventually(async () => (await data())?.['greeting'] === 'hello')
    await placed({ drift: rules })
    expect(await data()).toEqual({ greeting: 'hello', tone: 'rude', version: `1.0.${version}` })
    expect((await drift()).corrected).toBe(corrected + 1)
  })

  it('is what a controller that the placement names adds to a pod template, and no more', async () => {
    const container = { name: 'web', resources: { limits: { memory: '64Mi' } }, env: [{ name: 'LD_PRELOAD', value: '/evil.so' }] }
    await client.patch(web, { spec: { template: { spec: { containers: [container] } } } }, { type: 'strategic', fieldManager: 'vpa' })
    const now = async (): Promise<string> => JSON.stringify((await client.get(web))['spec'])
    await eventually(async () => !/LD_PRELOAD/.test(await now()))
    expect(await now()).toMatch(/64Mi/)
  })

  it('is corrected from the moment on that it ends', async () => {
    const until = new Date(Date.now() + 3_600_000).toISOString()
    await placed({ drift: { mode: 'correct', ignore: [{ path: 'data.tone', owner: 'shop-team', until }] } })
    await change({ tone: 'rude' })
    await eventually(async () => (await drift()).tolerated?.[0]?.object === `ConfigMap/${shop}/greeting`)
    agent.aheadMs = 3_600_000
    await change({ greeting: 'goodbye' })
    await eventually(async () => (await data())?.['tone'] === 'polite')
    agent.aheadMs = 0
  })
})

describe('another controller that writes the same field again and again', () => {
  it('is named, corrections wait ever longer, and the release is healthy with reason Fighting', async () => {
    await placed({ drift: { mode: 'correct' } })
    const stop = new AbortController()
    const other = (async () => {
      while (!stop.signal.aborted) {
        if ((await data())?.['greeting'] === 'hello') await change({ greeting: 'mine' }, 'stubborn')
        await pause(20)
      }
    })()
    const report = await fleet.reported((one) => release(one)?.reason === 'Fighting').finally(() => stop.abort())
    await other
    expect(release(report)).toMatchObject({
      ready: true,
      message: expect.stringMatching(/"stubborn" has written \.data\.greeting of ConfigMap\/.*drift\.controllers/),
    })
    expect(release(report)?.fights).toMatchObject([
      { object: `ConfigMap/${shop}/greeting`, manager: 'stubborn', paths: ['.data.greeting'] },
    ])
    expect((await drift()).fights?.[0]?.times).toBeGreaterThanOrEqual(5)
    await eventually(async () => (await events('Fighting')).length === 1)
    await eventually(async () => (await data())?.['greeting'] === 'hello')
  })
})
