import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import {
  apiVersion,
  type BreakGlass,
  type BreakGlassStatement,
  breakGlassKind,
  type ClusterReport,
  customResourceDefinition,
  enclavePolicyKind,
  type Release,
  type ReleaseReport,
  releaseKind,
} from '@muster/api'
import { KubeClient, type KubeObject, loadKubeconfig, type Ref } from '@muster/kube'
import { generateKeyPair, type KeyPair, signatureKeyFromPem, signBreakGlass } from '@muster/trust'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { TestAgent } from './testing/agent.ts'
import { TestFleet } from './testing/fleet.ts'
import { webDeployment } from './testing/manifests.ts'

const id = randomBytes(4).toString('hex')
const cluster = `test-${id}`
const [shop, bank] = [`shop-${id}`, `bank-${id}`]
const system = `agent-${id}`
const config: Ref = { apiVersion: 'v1', kind: 'ConfigMap', name: 'settings', namespace: shop }
const web: Ref = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', namespace: shop }
const minutes = (n: number): string => new Date(Date.now() + n * 60_000).toISOString()

let client: KubeClient
let people: KubeClient
let fleet: TestFleet
let agent: TestAgent

const report = (one: ClusterReport | undefined): ReleaseReport | undefined => one?.releases.find(({ name }) => name === shop)

async function eventually(test: () => Promise<boolean>): Promise<void> {
  const started = performance.now()
  while (!(await test())) {
    if (performance.now() - started > 60_000) throw new Error('it did not come about within a minute')
    await pause(20)
  }
}

const manifests = `apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  greeting: hello
---
${webDeployment}`

const statement = (change: Partial<BreakGlassStatement> = {}): BreakGlassStatement => ({
  cluster,
  release: shop,
  reason: 'orders fail',
  by: 'ada',
  notBefore: new Date().toISOString(),
  until: minutes(30),
  nonce: randomBytes(18).toString('base64url'),
  ...change,
})

/** Puts a statement into the cluster, as a person does who may write nothing but this kind. */
async function ask(said: BreakGlassStatement, key: KeyPair = fleet.publisher, name = shop): Promise<void> {
  const signed = JSON.stringify(await signBreakGlass(said, { key: signatureKeyFromPem(key.privateKey) }))
  await people.apply({ apiVersion, kind: 'BreakGlass', metadata: { name }, spec: { signatures: [signed] } } as KubeObject, {
    fieldManager: 'muster',
    force: true,
  })
}

async function told(reason: string, message = /./, name = shop): Promise<void> {
  let last = 'nothing'
  const seen = async (): Promise<boolean> => {
    const found = await client.find<BreakGlass & KubeObject>({ apiVersion, kind: 'BreakGlass', name })
    const condition = found?.status?.conditions?.find(({ type }) => type === 'Open')
    last = `${condition?.reason}: ${condition?.message}`
    const current = found?.status?.observedGeneration === found?.metadata.generation
    return current && condition?.reason === reason && message.test(condition.message)
  }
  await eventually(seen).catch((cause: unknown) => {
    throw new Error(`not told ${reason}, but ${last}`, { cause })
  })
}

const taken = (change: Promise<unknown>): Promise<boolean> =>
  change.then(
    () => true,
    () => false,
  )
const write = (greeting: string, dryRun = false): Promise<unknown> =>
  people.patch(config, { data: { greeting } }, { type: 'merge', fieldManager: 'kubectl-edit', dryRun })
const scale = (replicas: number, dryRun = false): Promise<unknown> =>
  people.patch(web, { spec: { replicas } }, { type: 'merge', subresource: 'scale', dryRun })
const greeting = async (): Promise<unknown> => ((await client.get(config))['data'] as { greeting: string }).greeting
const record = async () => (await client.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: shop })).status?.breakGlass
/** The API server takes up parameters a moment after they were written. */
const closed = async (): Promise<boolean> => !(await taken(write('probe', true))) && !(await taken(scale(2, true)))
const opened = async (): Promise<boolean> => (await taken(write('probe', true))) && (await taken(scale(2, true)))

beforeAll(async () => {
  const settings = await loadKubeconfig(inject('kubeconfig'))
  client = new KubeClient(settings, { userAgent: 'agent-test' })
  people = new KubeClient({ ...settings, impersonate: { user: 'mallory', groups: ['system:masters'] } }, { userAgent: 'people' })
  fleet = await TestFleet.start(cluster)
  for (const kind of [releaseKind, breakGlassKind, enclavePolicyKind])
    await client.apply(customResourceDefinition(kind) as KubeObject, { fieldManager: 'agent-test', force: true })
  for (const { kind } of [releaseKind, breakGlassKind, enclavePolicyKind])
    await eventually(async () => (await client.list({ apiVersion, kind }).catch(() => undefined)) !== undefined)
  agent = new TestAgent(client, fleet, system)
  await agent.install()
  agent.start()
  const prevent = { settings: { drift: { mode: 'prevent' as const } } }
  await fleet.channel([
    { ...(await fleet.publish(shop, '1.0.0', manifests)), ...prevent },
    { ...(await fleet.publish(bank, '1.0.0', manifests)), ...prevent },
  ])
  await fleet.reported(({ releases }) => releases.length === 2 && releases.every(({ ready }) => ready))
  await eventually(closed)
})

afterAll(async () => {
  for (const name of [shop, bank]) await client.delete({ apiVersion, kind: 'BreakGlass', name })
  await fleet.channel([])
  await fleet.reported((one) => one.generation === fleet.generation && one.releases.length === 0)
  await agent.end()
  await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: system })
  for (const one of [client, people]) one.close()
  await fleet.close()
})

describe('the refusal', () => {
  it('says whose it is, which field, who may, and the very command that opens it', async () => {
    await expect(write('goodbye')).rejects.toMatchObject({
      message: expect.stringMatching(
        new RegExp(
          `Release ${shop} of cluster ${cluster} sets what you change \\(data\\.greeting of configmaps settings\\)\\. Only the agent .* muster break-glass ${shop} --cluster ${cluster} --for 30m --reason`,
        ),
      ),
    })
  })
})

describe('what opens nothing', () => {
  it.each([
    ['by a key that nobody named', 'NotSigned', /lets one of publisher break glass/, {}],
    ['for another cluster', 'Refused', /for cluster elsewhere/, { cluster: 'elsewhere' }],
    ['for another release', 'Refused', /for release bank/, { release: bank }],
    ['for more than a day', 'Refused', /at most 24h/, { until: minutes(25 * 60) }],
    ['whose time is over', 'Expired', /that is past/, { notBefore: minutes(-60), until: minutes(-30) }],
    ['whose time is still to come', 'NotYet', /still to come/, { notBefore: minutes(10) }],
  ])('is a statement %s: it is told by name', async (what, reason, message, change) => {
    await ask(statement(change), what.startsWith('by a key') ? generateKeyPair() : fleet.publisher)
    await told(reason, message)
    expect(await closed()).toBe(true)
  })

  it('is what cannot be read, and what is for no release here', async () => {
    const garbage = { apiVersion, kind: 'BreakGlass', metadata: { name: shop }, spec: { signatures: ['{"mediaType":[[[['] } }
    await people.apply(garbage as KubeObject, { fieldManager: 'muster', force: true })
    await told('Refused', /not JSON/)
    const [nowhere, others] = [`nowhere-${id}`, `others-${id}`]
    await ask(statement({ cluster: 'elsewhere', release: others }), fleet.publisher, others)
    await ask(statement({ release: nowhere }), fleet.publisher, nowhere)
    await told('UnknownRelease', /no release nowhere/, nowhere)
    // That is perhaps for the agent of another.
    expect(await client.get({ apiVersion, kind: 'BreakGlass', name: others })).not.toHaveProperty('status')
    for (const name of [nowhere, others]) await client.delete({ apiVersion, kind: 'BreakGlass', name })
    expect(await closed()).toBe(true)
  })
})

describe('glass that is broken', () => {
  const said = statement()

  it('lets others write this release and no other; what they do is told, and left', async () => {
    await ask(said)
    await told('Open')
    await eventually(opened)
    await write('by hand')
    await scale(3)
    await fleet.reported((one) => report(one)?.drifted === true && report(one)?.breakGlass?.by === 'ada')
    expect(await record()).toMatchObject({ by: 'ada', reason: 'orders fail', signedBy: ['publisher'], until: said.until })
    expect(await record()).not.toHaveProperty('endedAt')
    expect(await greeting()).toBe('by hand')
    const other = people.patch({ ...config, namespace: bank }, { data: { greeting: 'x' } }, { type: 'merge' })
    await expect(other).rejects.toMatchObject({ message: expect.stringMatching(/Only the agent/) })
  })

  it('still refuses whoever writes in the name of the agent as field manager', async () => {
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings', namespace: shop }, data: { greeting: 'evil' } }
    await expect(people.apply(object, { fieldManager: 'muster-agent', force: true })).rejects.toMatchObject({
      message: expect.stringMatching(/nobody but the agent writes as field manager/),
    })
  })

  it('stays so over a restart of the agent, which puts nothing back', async () => {
    await agent.end()
    const before = fleet.reports.length
    agent.start()
    await fleet.reported((one) => fleet.reports.length > before && report(one)?.drifted === true && report(one)?.breakGlass !== undefined)
    await eventually(opened)
    expect(await greeting()).toBe('by hand')
  })

  it('is mended when it is ended early: closed, put back, told, and it does not open again', async () => {
    await people.delete({ apiVersion, kind: 'BreakGlass', name: shop })
    await eventually(async () => (await greeting()) === 'hello' && (await closed()))
    await eventually(async () => ((await client.get(web))['spec'] as { replicas: number }).replicas === 0)
    await fleet.reported((one) => report(one)?.breakGlass === undefined && report(one)?.drifted === false)
    expect((await record())?.endedAt).toBeDefined()
    await ask(said)
    await told('Ended')
    await ask(statement({ notBefore: minutes(-5) }))
    await told('Replayed', /counts no more/)
    expect(await closed()).toBe(true)
    const events = await client.list({ apiVersion: 'events.k8s.io/v1', kind: 'Event', namespace: 'default' })
    const ofShop = events.items.filter((one) => (one as { regarding?: { name?: string } }).regarding?.name === shop)
    expect(ofShop.map((one) => one['reason'])).toEqual(expect.arrayContaining(['BreakGlassOpened', 'BreakGlassEnded', 'BreakGlassRefused']))
  })

  it('ends by itself when its time is over, though nobody says so and the clock is set back', async () => {
    await ask(statement({ until: new Date(Date.now() + 5_000).toISOString() }))
    await told('Open')
    await eventually(opened)
    await write('by hand again')
    agent.aheadMs = -3_600_000
    await eventually(async () => (await greeting()) === 'hello' && (await closed()))
    await told('Ended')
    agent.aheadMs = 0
  })

  it('is closed by the API server itself for updates, where the agent is dead when its time is over', async () => {
    const until = Date.now() + 5_000
    await ask(statement({ until: new Date(until).toISOString() }))
    await told('Open')
    await eventually(opened)
    await agent.end()
    await eventually(async () => Date.now() > until + 1_000)
    expect(await taken(write('too late', true))).toBe(false)
    agent.start()
    await eventually(closed)
  })
})

describe('the site', () => {
  it('does not open the guard by suspending a release', async () => {
    const site = (suspend: object | null) =>
      people.patch(
        { apiVersion, kind: 'Release', name: shop },
        { spec: { site: { suspend } } },
        { type: 'merge', fieldManager: 'muster-site' },
      )
    await site({ reason: 'to work on it', since: new Date().toISOString() })
    await fleet.reported((one) => report(one)?.suspended?.by === 'site')
    expect(await closed()).toBe(true)
    await expect(write('by hand')).rejects.toMatchObject({ message: expect.stringMatching(/muster break-glass/) })
    await site(null)
    await fleet.reported((one) => report(one)?.suspended === undefined)
  })

  it('says who may break glass in place of publishers, how many, and for how long', async () => {
    const [ops, security] = [generateKeyPair(), generateKeyPair()]
    const authorities = [
      { name: 'ops', key: { publicKeys: [ops.publicKey] } },
      { name: 'security', key: { publicKeys: [security.publicKey] } },
    ]
    const policy = { apiVersion, kind: 'EnclavePolicy', metadata: { name: `site-${id}` } }
    const spec = { breakGlass: { authorities, threshold: 2, maxDuration: '1h' } }
    await client.apply({ ...policy, spec } as KubeObject, { fieldManager: 'agent-test' })
    try {
      const said = statement()
      await ask(said)
      await told('NotSigned', /lets 2 of ops, security break glass/)
      const both = await Promise.all(
        [ops, security].map(async ({ privateKey }) => JSON.stringify(await signBreakGlass(said, { key: signatureKeyFromPem(privateKey) }))),
      )
      await people.apply({ apiVersion, kind: 'BreakGlass', metadata: { name: shop }, spec: { signatures: both } } as KubeObject, {
        fieldManager: 'muster',
        force: true,
      })
      await told('Open')
      await eventually(opened)
      // Who does not count any more has opened nothing.
      await client.apply({ ...policy, spec: { breakGlass: { ...spec.breakGlass, maxDuration: '10m' } } } as KubeObject, {
        fieldManager: 'agent-test',
      })
      await told('Refused', /allows at most 10m/)
      await eventually(closed)
    } finally {
      await client.delete({ apiVersion, kind: 'EnclavePolicy', name: policy.metadata.name })
    }
  })
})
