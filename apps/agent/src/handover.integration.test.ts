import { randomBytes } from 'node:crypto'
import { apiVersion, type Release } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import type { ChannelRelease } from '@muster/trust'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'

const id = randomBytes(4).toString('hex')
const namespace = `shared-${id}`
const names = ['a', 'b', 'c'].map((name) => `${name}-${id}`)
const objects = ['one', 'two', 'three', 'four']

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']
let published = 0

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id))
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  agent.start()
})

afterAll(async () => end(...names, `data-${id}`, namespace))

const manifest = (object: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${object}\ndata:\n  object: ${object}\n`

async function publish(name: string, held: readonly string[], manifests = held.map(manifest).join('---\n')): Promise<ChannelRelease> {
  const entry = await fleet.publish(name, `1.0.${published++}`, manifests)
  return { ...entry, namespace }
}

interface Live {
  readonly uid: string
  readonly holder: string | undefined
}

async function live(): Promise<Map<string, Live>> {
  const { items } = await client.list({ apiVersion: 'v1', kind: 'ConfigMap', namespace })
  return new Map(
    items
      .filter(({ metadata }) => metadata.name !== 'kube-root-ca.crt')
      .map(({ metadata }) => [metadata.name, { uid: metadata.uid ?? '', holder: metadata.labels?.['muster.dev/release'] }]),
  )
}

const channels = fc.array(
  fc.record({
    holders: fc.tuple(...objects.map(() => fc.constantFrom(...names, undefined))),
    settles: fc.boolean(),
    restarts: fc.boolean(),
  }),
  { minLength: 4, maxLength: 4 },
)

describe('objects that move between releases', () => {
  it('are handed over with their uids, over random channels: nothing wanted is deleted, and nothing that nobody wants stays', async () => {
    for (const sequence of fc.sample(channels, { seed: 20_260, numRuns: 2 })) {
      /** Objects that every channel since has wanted, as they were when all was done the last time. */
      let lasting = await live()
      for (const [at, { holders, settles, restarts }] of sequence.entries()) {
        const wanted = new Map(objects.flatMap((object, index) => (holders[index] === undefined ? [] : [[object, holders[index]]])))
        for (const object of lasting.keys()) if (!wanted.has(object)) lasting.delete(object)
        const entries: ChannelRelease[] = []
        for (const name of names) {
          const held = [...wanted].filter(([, holder]) => holder === name).map(([object]) => object)
          if (held.length > 0) entries.push(await publish(name, held))
        }
        const generation = await fleet.channel(entries)
        if (restarts) {
          await agent.end()
          agent.start()
        }
        if (!settles && at < sequence.length - 1) continue
        const placed = [...wanted].sort().join(' ')
        const found = async () =>
          [...(await live())]
            .map(([object, { holder }]) => [object, holder])
            .sort()
            .join(' ')
        await eventually(async () => fleet.reports.at(-1)?.generation === generation && (await found()) === placed)
        const after = await live()
        for (const [object, { uid }] of lasting) expect(after.get(object)?.uid, object).toBe(uid)
        lasting = after
      }
      await fleet.channel([])
      await eventually(async () => (await live()).size === 0 && fleet.reports.at(-1)?.releases.length === 0)
    }
  }, 300_000)

  it('move out of a release that waits for the one that takes them', async () => {
    const [app = '', database = ''] = names
    await fleet.channel([await publish(app, ['one', 'two'])])
    await eventually(async () => (await live()).size === 2 && fleet.reports.at(-1)?.releases[0]?.ready === true)
    const before = await live()
    const next = { ...(await publish(app, ['one'])), settings: { dependsOn: [{ release: database }] } }
    await fleet.channel([next, await publish(database, ['two'])])
    await eventually(
      async () => (await live()).get('two')?.holder === database && fleet.reports.at(-1)?.releases.every((one) => one.ready) === true,
    )
    expect((await live()).get('two')?.uid).toBe(before.get('two')?.uid)
    await fleet.channel([])
    await eventually(async () => (await live()).size === 0)
  }, 120_000)
})

describe('a release that is taken away', () => {
  const data = `data-${id}`
  const claim = `apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: data\nspec:\n  accessModes: [ReadWriteOnce]\n  resources:\n    requests:\n      storage: 1Gi\n`
  const release = async () => client.find<Release & KubeObject>({ apiVersion, kind: 'Release', name: data })

  it('keeps its data until somebody consents to the loss of this very claim, over a restart of the agent', async () => {
    await fleet.channel([await publish(data, [], `${claim}---\n${manifest('one')}`)])
    await eventually(
      async () =>
        (await release())?.status?.inventory?.some(({ kind, uid }) => kind === 'PersistentVolumeClaim' && uid !== undefined) === true,
    )
    await fleet.channel([])
    await eventually(async () => (await release())?.status?.needsConsent !== undefined)
    expect(await release()).toMatchObject({
      status: { conditions: [{ reason: 'ProtectedNeedsConsent' }], needsConsent: { count: 1, objects: [{ name: 'data' }] } },
    })
    expect((await live()).size).toBe(0)
    await agent.end()
    agent.start()
    const uid = (await release())?.status?.needsConsent?.objects[0]?.uid ?? ''
    await client.patch(
      { apiVersion, kind: 'Release', name: data },
      { spec: { site: { consent: { uids: [uid], reason: 'it is in the backup' } } } },
      { type: 'merge', fieldManager: 'muster-site' },
    )
    await eventually(async () => (await release()) === undefined)
    expect(await client.find({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', name: 'data', namespace })).toBeUndefined()
  }, 120_000)

  it('leaves its objects as they are where its placement says so', async () => {
    await fleet.channel([{ ...(await publish(data, ['one'])), settings: { prune: { onRemoval: 'orphan' } } }])
    await eventually(async () => (await live()).get('one')?.holder === data && (await release())?.spec.prune !== undefined)
    await fleet.channel([])
    await eventually(async () => (await release()) === undefined)
    expect((await live()).get('one')).toMatchObject({ holder: undefined })
    await client.delete({ apiVersion: 'v1', kind: 'ConfigMap', name: 'one', namespace })
  }, 120_000)
})

describe('a version that hands an object over and then fails', () => {
  it('goes back to the version before without what has moved: the release that has it keeps it, and both are well', async () => {
    const [app = '', taker = ''] = names
    const never = `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: never}
spec:
  replicas: 1
  selector: {matchLabels: {app: never}}
  template:
    metadata: {labels: {app: never}}
    spec: {nodeSelector: {example.test/node: none}, containers: [{name: a, image: "registry.example/a:1"}]}
`
    const tried = (entry: ChannelRelease): ChannelRelease => ({
      ...entry,
      settings: { rollout: { progressDeadlineSeconds: 3, minHealthySeconds: 1 } },
    })
    await fleet.channel([tried(await publish(app, ['one', 'two']))])
    const of = (name: string) => fleet.reports.at(-1)?.releases.find((one) => one.name === name)
    await eventually(async () => of(app)?.ready === true && (await live()).size === 2)
    const { uid } = (await live()).get('two') ?? {}
    await fleet.channel([tried(await publish(app, ['one'], manifest('one') + never)), await publish(taker, ['two', 'three'])])
    await eventually(async () => of(app)?.reason === 'RolledBack' && of(taker)?.ready === true)
    expect(of(app)?.message).toContain('It is healthy.')
    expect((await live()).get('two')).toEqual({ uid, holder: taker })
    await fleet.channel([])
    await eventually(async () => (await live()).size === 0)
  }, 120_000)
})

describe('a version that takes away most of a release', () => {
  it('waits for consent, healthy all the while, and names what waits', async () => {
    const [name = ''] = names
    const many = Array.from({ length: 12 }, (_, at) => `many-${at}`)
    await fleet.channel([await publish(name, many)])
    await eventually(async () => (await live()).size === 12)
    const small = await publish(name, ['many-0'])
    await fleet.channel([small])
    await eventually(async () => fleet.reports.at(-1)?.releases[0]?.reason === 'PruneNeedsConsent')
    expect(fleet.reports.at(-1)?.releases[0]).toMatchObject({ ready: true, digest: small.bundle.digest })
    expect((await live()).size).toBe(12)
    await client.patch(
      { apiVersion, kind: 'Release', name },
      { spec: { site: { consent: { digest: small.bundle.digest, reason: 'they are not needed' } } } },
      { type: 'merge', fieldManager: 'muster-site' },
    )
    await eventually(async () => (await live()).size === 1)
    await fleet.channel([])
    await eventually(async () => (await live()).size === 0)
  }, 120_000)
})
