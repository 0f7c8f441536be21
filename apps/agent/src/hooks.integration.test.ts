import { randomBytes } from 'node:crypto'
import { apiVersion, type ClusterReport, type Release, type ReleaseReport, type ReleaseSettings } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import { jobState } from '@muster/reconcile'
import type { ChannelRelease } from '@muster/trust'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'
import { onNoNode, sayOfPods } from './testing/kubelet.ts'

const id = randomBytes(4).toString('hex')
const [shop, other] = [`hooks-${id}`, `plain-${id}`]

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']

const data = (version: string, name = 'data', more = '') => `
apiVersion: v1
kind: ConfigMap
metadata: {name: ${name}${more}}
data: {version: "${version}"}
---`
const hook = (name: string, events: string, more = '') => `
apiVersion: batch/v1
kind: Job
metadata:
  name: ${name}
  annotations: {muster.dev/hook: "${events}"${more}}
spec:
  backoffLimit: 0
  ttlSecondsAfterFinished: 0
  template:
    spec:
      ${onNoNode}
      restartPolicy: Never
      containers: [{name: work, image: "registry.example/work:1"}]
---`
/** The version before is good as soon as it is healthy. */
const settings: ReleaseSettings = { rollout: { minHealthySeconds: 0 } }

const reportOf = (report: ClusterReport, name = shop): ReleaseReport | undefined => report.releases.find((one) => one.name === name)
const job = async (name: string): Promise<KubeObject | undefined> =>
  client.find({ apiVersion: 'batch/v1', kind: 'Job', name, namespace: shop })
const version = async (name = 'data'): Promise<string | undefined> =>
  ((await client.find({ apiVersion: 'v1', kind: 'ConfigMap', name, namespace: shop }))?.['data'] as { version?: string } | undefined)
    ?.version
const release = async (): Promise<Release> => (await client.get({ apiVersion, kind: 'Release', name: shop })) as unknown as Release
/** Says of the pod of the job that is there now how it ended, as a node would. */
const ends = (name: string, how: 'Succeeded' | 'Failed') =>
  eventually(async () => {
    const found = await job(name)
    if (found === undefined || found.metadata.deletionTimestamp !== undefined) return false
    return (await sayOfPods(client, shop, `batch.kubernetes.io/controller-uid=${found.metadata.uid}`, how)) > 0
  })
const published = async (number: string, manifests: string, more: ReleaseSettings = settings): Promise<ChannelRelease> => ({
  ...(await fleet.publish(shop, number, manifests)),
  settings: more,
})
const restart = async (): Promise<void> => {
  await agent.end()
  agent.start()
}

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id))
  agent.start()
})

afterAll(async () => end(shop, other))

describe('hooks', () => {
  const first = data('1') + data('1', 'needed', ', annotations: {muster.dev/hook: before-install}')
  const jobs = hook('migrate', 'before-install,before-upgrade') + hook('seed', 'after-install')
  let one: ChannelRelease
  let two: ChannelRelease

  it('run before anything that is not there for them, and after all is healthy; other releases do not wait', async () => {
    one = await published('1.0.0', first + jobs)
    await fleet.channel([one, await fleet.publish(other, '1.0.0', data('1'))])
    const waiting = await fleet.reported((report) => reportOf(report)?.waitingFor !== undefined && reportOf(report, other)?.ready === true)
    expect(reportOf(waiting)).toMatchObject({
      ready: false,
      reason: 'Progressing',
      message: expect.stringContaining(`Hook before-install Job ${shop}/migrate`),
      waitingFor: { what: 'Hook', names: [`Job ${shop}/migrate`] },
    })
    await eventually(() => job('migrate'))
    expect([await version('needed'), await version(), await job('seed')]).toEqual(['1', undefined, undefined])
    await ends('migrate', 'Succeeded')
    await eventually(() => job('seed'))
    expect(await version()).toBe('1')
    expect((await fleet.reported((report) => reportOf(report)?.waitingFor?.names[0] === `Job ${shop}/seed`)).releases).toBeDefined()
    await ends('seed', 'Succeeded')
    await fleet.reported((report) => reportOf(report)?.ready === true)
    // What says that it ran is there, whatever it says of its end.
    expect(await job('migrate')).toMatchObject({ spec: expect.not.objectContaining({ ttlSecondsAfterFinished: 0 }) })
  })

  it('do not run again for what was brought in already: after a restart, or with settings that shape nothing', async () => {
    const before = [await job('migrate'), await job('seed')].map((object) => object?.metadata.uid)
    await restart()
    const generation = await fleet.channel([{ ...one, settings: { ...settings, drift: { mode: 'detect' } } }])
    await fleet.reported((report) => report.generation === generation && reportOf(report)?.ready === true)
    await eventually(async () => (await release()).status?.drift?.mode === 'detect')
    expect([await job('migrate'), await job('seed')].map((object) => object?.metadata.uid)).toEqual(before)
  })

  it('that fail stop the version before anything of it is applied; it is taken back, and what runs on failure runs once', async () => {
    const bad = data('2') + hook('migrate', 'before-upgrade') + hook('alarm', 'on-failure')
    two = await published('2.0.0', bad)
    await fleet.channel([two])
    const running = await eventually(async () => {
      const found = await job('migrate')
      return found?.metadata.labels?.['muster.dev/hook-run']?.endsWith('before-upgrade') === true && found
    })
    // A crash in the middle of it does not run it again.
    await restart()
    await ends('migrate', 'Failed')
    await eventually(() => job('alarm'))
    expect((await job('migrate'))?.metadata.uid).toBe(running.metadata.uid)
    expect(await version()).toBe('1')
    const failed = await fleet.reported((report) => reportOf(report)?.reason === 'HookFailed')
    expect(reportOf(failed)?.message).toContain(`Hook before-upgrade Job ${shop}/migrate failed (BackoffLimitExceeded`)
    expect(reportOf(failed)?.message).toContain('Container work ended with 1 (Error)')
    const alarm = (await job('alarm'))?.metadata.uid
    await restart()
    await ends('alarm', 'Succeeded')
    const back = await fleet.reported((report) => reportOf(report)?.reason === 'RolledBack')
    expect(reportOf(back)).toMatchObject({ version: '1.0.0', message: expect.stringMatching(/Version 2\.0\.0 failed .*migrate/) })
    expect(await version()).toBe('1')
    await restart()
    await fleet.reported((report) => reportOf(report)?.reason === 'RolledBack')
    // Going back runs no hook, and nothing of the failed version's runs twice.
    expect((await release()).status?.hooks).not.toHaveProperty('onFailure')
    expect([alarm, undefined]).toContain((await job('alarm'))?.metadata.uid)
  })

  it('that failed run again for the same version once the one before it was wanted again', async () => {
    const before = (await job('migrate'))?.metadata.uid
    const generation = await fleet.channel([one])
    await fleet.reported((report) => report.generation === generation && reportOf(report)?.reason === 'Healthy')
    await fleet.channel([two])
    await eventually(async () => ![undefined, before].includes((await job('migrate'))?.metadata.uid))
    await ends('migrate', 'Succeeded')
    await fleet.reported((report) => reportOf(report)?.version === '2.0.0' && reportOf(report)?.ready === true)
    expect(await version()).toBe('2')
  })

  it('run anew for the next version, which passes at once; what only the failed one had goes', async () => {
    const before = (await job('migrate'))?.metadata.uid
    await fleet.channel([await published('3.0.0', data('3') + hook('migrate', 'before-upgrade', ', muster.dev/hook-weight: "-1"'))])
    await eventually(async () => (await job('migrate'))?.metadata.uid !== before && (await job('migrate')) !== undefined)
    await ends('migrate', 'Succeeded')
    await fleet.reported((report) => reportOf(report)?.version === '3.0.0' && reportOf(report)?.ready === true)
    expect(await version()).toBe('3')
    await eventually(async () => (await job('alarm')) === undefined && (await job('seed')) === undefined)
  })

  it('are not waited for by a newer version', async () => {
    await fleet.channel([await published('4.0.0', data('4') + hook('endless', 'before-upgrade'))])
    await eventually(() => job('endless'))
    await fleet.channel([await published('5.0.0', data('5'))])
    await fleet.reported((report) => reportOf(report)?.version === '5.0.0' && reportOf(report)?.ready === true)
    await eventually(async () => (await job('endless')) === undefined)
  })

  it('that failed run again when somebody asks for it, and are known to have run when their job is gone', async () => {
    const stays: ReleaseSettings = { rollout: { minHealthySeconds: 0, onFailure: 'stay' } }
    const gone = ', muster.dev/hook-delete-policy: "hook-succeeded,hook-failed"'
    await fleet.channel([await published('6.0.0', data('6') + hook('check', 'after-upgrade', gone), stays)])
    await ends('check', 'Failed')
    const failed = await fleet.reported((report) => reportOf(report)?.reason === 'HookFailed')
    expect(reportOf(failed)?.message).toContain('It stays, as its placement says')
    await eventually(async () => (await job('check')) === undefined)
    await restart()
    await fleet.reported((report) => reportOf(report)?.reason === 'HookFailed')
    expect(await job('check')).toBeUndefined()
    const site = { reconcileAt: new Date().toISOString() }
    await client.patch({ apiVersion, kind: 'Release', name: shop }, { spec: { site } }, { type: 'merge', fieldManager: 'muster-site' })
    await ends('check', 'Succeeded')
    await fleet.reported((report) => reportOf(report)?.ready === true)
    await restart()
    await fleet.reported((report) => reportOf(report)?.ready === true)
    expect([await version(), await job('check')]).toEqual(['6', undefined])
  })

  it('with annotations that say nothing that is known are refused by name', async () => {
    const annotations = { 'muster.dev/hook': 'sometimes' }
    const customize = [{ name: 'odd', level: 'all' as const, overlay: { annotations } }]
    await fleet.channel([await published('7.0.0', data('7'), { ...settings, customize })])
    const refused = await fleet.reported((report) => reportOf(report)?.reason === 'ApplyFailed')
    expect(reportOf(refused)?.message).toMatch(/ConfigMap hooks-.*\/data \(HookInvalid\): .*sometimes.*before-install/)
  })

  /** A job of somebody else, as if it were of a hook. */
  const foreign = async (name: string): Promise<KubeObject> =>
    client.create<KubeObject>(
      {
        apiVersion: 'batch/v1',
        kind: 'Job',
        metadata: { name, namespace: shop, labels: { 'muster.dev/release': shop, 'muster.dev/hook-run': 'any.before-upgrade' } },
        spec: {
          template: {
            spec: {
              nodeSelector: { 'example.test/node': 'none' },
              restartPolicy: 'Never',
              containers: [{ name: 'work', image: 'registry.example/work:1' }],
            },
          },
        },
      } as KubeObject,
      { fieldManager: 'somebody' },
    )

  it('are not taken to have run since somebody else made a job of their name: it stays, or goes and is made anew', async () => {
    const { uid } = (await foreign('check-first')).metadata
    await ends('check-first', 'Succeeded')
    await eventually(async () => jobState((await job('check-first')) as KubeObject).state === 'succeeded')
    const manifests = data('8') + hook('check-first', 'before-upgrade')
    await fleet.channel([await published('8.0.0', manifests)])
    const refused = await fleet.reported(
      (report) => reportOf(report)?.reason === 'ApplyFailed' && reportOf(report)?.message.includes('check-first') === true,
    )
    expect(reportOf(refused)?.message).toMatch(/before-upgrade Job \S+check-first could not be made \(NotAdopted\)/)
    expect(await version()).toBe('6')
    await fleet.channel([await published('8.0.0', manifests, { ...settings, adopt: [{ kind: 'Job', name: 'check-first' }] })])
    await eventually(async () => ![undefined, uid].includes((await job('check-first'))?.metadata.uid))
    expect(await version()).toBe('6')
    await ends('check-first', 'Succeeded')
    await fleet.reported((report) => reportOf(report)?.version === '8.0.0' && reportOf(report)?.ready === true)
  })

  it('of a failure that cannot even be made hold up the way back for no longer than their time', async () => {
    const { uid } = (await foreign('siren')).metadata
    await fleet.channel([await published('9.0.0', data('9') + hook('check-last', 'before-upgrade') + hook('siren', 'on-failure'))])
    await ends('check-last', 'Failed')
    await fleet.reported((report) => reportOf(report)?.message.includes('siren could not be made (NotAdopted)') === true)
    agent.passedMs += 301_000
    const back = await fleet.reported((report) => reportOf(report)?.reason === 'RolledBack')
    expect(reportOf(back)?.version).toBe('8.0.0')
    expect((await job('siren'))?.metadata.uid).toBe(uid)
  })

  it('that still run when their version is taken back are ended, also where the one before has a job of that name', async () => {
    await fleet.channel([await published('8.1.0', data('8') + hook('slow', 'after-install'))])
    await fleet.reported((report) => reportOf(report)?.version === '8.1.0' && reportOf(report)?.ready === true)
    const brief: ReleaseSettings = { rollout: { minHealthySeconds: 0, progressDeadlineSeconds: 3 } }
    await fleet.channel([await published('10.0.0', data('10') + hook('slow', 'before-upgrade'), brief)])
    const back = await fleet.reported((report) => reportOf(report)?.reason === 'RolledBack')
    const message = expect.stringMatching(/did not become healthy within 3 s.*Hook before-upgrade Job \S+slow runs/)
    expect(reportOf(back)).toMatchObject({ version: '8.1.0', message })
    await eventually(async () => (await job('slow')) === undefined)
    expect(await version()).toBe('8')
  })
})
