import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Cluster, Placement, TrustPolicy } from '@muster/api'
import { type ContentSource, type ContentTarget, digestOf, Layout, OciError, pushArtifact } from '@muster/oci'
import { createRoot, fetchChannel, generateKeyPair, type Publisher, readChannelContent } from '@muster/trust'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Channels } from '../channel/channels.ts'
import { RegistryPatience } from '../channel/patience.ts'
import { PolicyCheck } from '../channel/policies.ts'
import type { ControllerStatus } from '../cluster-store.ts'
import { HubError } from '../errors.ts'
import { ClusterController, type FleetView } from './cluster.ts'

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const signal = new AbortController().signal
const day = 86_400_000
const channelKey = generateKeyPair()
const root = Buffer.from(
  createRoot({
    rootKeys: [generateKeyPair()],
    rootThreshold: 1,
    channelKeys: [channelKey],
    channelThreshold: 1,
    version: 1,
    expires: '2999-01-01T00:00:00Z',
  }),
).toString('utf8')

/** Registry, API server and clock in memory, as far as the controller sees them. */
class World {
  now = new Date('2030-01-01T00:00:00Z')
  cluster: Cluster | undefined = {
    apiVersion: 'muster.dev/v1alpha1',
    kind: 'Cluster',
    metadata: { name: 'alpha', generation: 1 },
    spec: {},
  }
  placements: Placement[] = []
  publishers: Publisher[] | HubError = []
  policies: TrustPolicy[] = []
  down = false
  asked = 0
  writes: ControllerStatus[] = []
  controller: ClusterController
  readonly layout: Layout

  constructor(layout: Layout) {
    this.layout = layout
    this.controller = this.restart()
  }

  /** A hub that remembers nothing. */
  restart(key = channelKey): ClusterController {
    const { layout } = this
    const call =
      <A extends unknown[], R>(method: (...args: A) => R) =>
      (...args: A): R => {
        this.asked += 1
        if (this.down) throw new OciError('Unreachable', 'The registry does not answer.')
        return method.apply(layout, args)
      }
    const repository = {
      resolve: call(layout.resolve),
      manifest: call(layout.manifest),
      blob: call(layout.blob),
      referrers: call(layout.referrers),
      hasManifest: call(layout.hasManifest),
      hasBlob: call(layout.hasBlob),
      putManifest: call(layout.putManifest),
      putBlob: call(layout.putBlob),
    } satisfies ContentSource & ContentTarget
    const view: FleetView = {
      cluster: () => this.cluster,
      placements: () => this.placements,
      publishers: () => {
        if (this.publishers instanceof HubError) throw this.publishers
        return this.publishers
      },
      policies: () => this.policies,
      tenants: () => [],
    }
    const now = () => this.now
    const recheckMs = 60_000
    this.controller = new ClusterController({
      view,
      channels: new Channels({
        registry: { repository: () => repository },
        patience: new RegistryPatience(
          () => this.now.getTime(),
          () => 0,
        ),
        roots: [root],
        channelKeys: [key.privateKey],
        now,
        recheckMs,
        log: silent,
      }),
      policyCheck: new PolicyCheck(),
      store: {
        writeStatus: async (_name, status) => {
          this.writes.push(status)
          if (this.cluster) this.cluster = { ...this.cluster, status: { ...this.cluster.status, ...status } }
        },
      },
      now,
      validityMs: 7 * day,
      silentAfterMs: 30_000,
      recheckMs,
      gone: () => {},
      log: silent,
    })
    return this.controller
  }

  reconcile() {
    return this.controller.reconcile('alpha', signal)
  }

  later(ms: number): void {
    this.now = new Date(this.now.getTime() + ms)
  }

  async generation(): Promise<number | undefined> {
    const fetched = await fetchChannel(this.layout)
    return fetched && readChannelContent(fetched.channelBytes).generation
  }

  async policiesInChannel(): Promise<string[] | undefined> {
    const fetched = await fetchChannel(this.layout)
    return fetched && (readChannelContent(fetched.channelBytes).policies ?? []).map(({ level, name }) => `${level}/${name}`)
  }

  async place(name: string): Promise<void> {
    const { digest } = await pushArtifact(this.layout, { artifactType: 'application/vnd.example', layers: [], annotations: { name } })
    this.placements = [
      ...this.placements,
      {
        apiVersion: 'muster.dev/v1alpha1',
        kind: 'Placement',
        metadata: { name },
        spec: { bundle: { repository: 'bundles/app', version: '1', digest }, clusters: { all: true } },
      },
    ]
  }

  get reason(): string | undefined {
    return this.cluster?.status?.conditions?.find((one) => one.type === 'Ready')?.reason
  }
}

let dir: string
let world: World
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-hub-'))
  world = new World(await Layout.open(dir, { create: true }))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

describe('the channel of a cluster', () => {
  it('is written once for one state, and so is the status, however often one looks', async () => {
    await world.place('podinfo')
    for (let round = 0; round < 5; round += 1) await world.reconcile()
    expect(await world.generation()).toBe(1)
    expect(world.writes).toHaveLength(1)
    world.restart()
    await world.reconcile()
    expect(await world.generation()).toBe(1)
    expect(world.writes).toHaveLength(1)
  })

  it('is not asked for at each report, but again after a minute', async () => {
    await world.reconcile()
    const before = world.asked
    await world.reconcile()
    expect(world.asked).toBe(before)
    world.later(61_000)
    await world.reconcile()
    expect(world.asked).toBe(before + 1)
  })

  it('is renewed when half of its time is over', async () => {
    await world.reconcile()
    world.later(3.6 * day)
    await world.reconcile()
    expect(await world.generation()).toBe(2)
  })

  it('is renewed by a hub that was restored from before, beyond what the registry holds', async () => {
    await world.reconcile()
    await world.place('podinfo')
    await world.reconcile()
    if (world.cluster) world.cluster = { apiVersion: world.cluster.apiVersion, kind: 'Cluster', metadata: world.cluster.metadata, spec: {} }
    world.placements = []
    world.restart()
    await world.reconcile()
    expect(await world.generation()).toBe(3)
  })

  it('stays, and nothing fails, while the registry is down and nothing has changed', async () => {
    await world.place('podinfo')
    await world.reconcile()
    world.down = true
    world.later(61_000)
    await expect(world.reconcile()).rejects.toMatchObject({ code: 'Unreachable' })
    expect(world.reason).toBe('WaitingToJoin')
    world.down = false
    world.later(1_000)
    await world.reconcile()
    expect(await world.generation()).toBe(1)
  })

  it('stays when the publishers cannot be read or a bundle is missing: an outage never empties a cluster', async () => {
    await world.place('podinfo')
    await world.reconcile()
    world.publishers = new HubError('PublishersUnreadable', 'The ConfigMap is missing.')
    await expect(world.reconcile()).rejects.toMatchObject({ code: 'PublishersUnreadable' })
    world.publishers = []
    await world.place('other')
    const [first, second] = world.placements
    if (!first || !second) throw new Error('two placements were made')
    world.placements = [
      first,
      { ...second, spec: { ...second.spec, bundle: { ...second.spec.bundle, digest: digestOf(Buffer.from('lost')) } } },
    ]
    await expect(world.reconcile()).rejects.toMatchObject({ code: 'BundleMissing' })
    expect(await world.generation()).toBe(1)
  })

  it('carries the policies that hold for the cluster, the organization’s first', async () => {
    const keys = generateKeyPair()
    const policy = (name: string, clusters?: TrustPolicy['spec']['clusters'], authority = 'release'): TrustPolicy => ({
      apiVersion: 'muster.dev/v1alpha1',
      kind: 'TrustPolicy',
      metadata: { name },
      spec: {
        ...(clusters === undefined ? {} : { clusters }),
        authorities: [{ name: 'release', key: { publicKeys: [keys.publicKey] } }],
        rules: [{ name: 'all', match: { bundles: ['**'] }, signatures: [{ authorities: [authority] }] }],
      },
    })
    await world.reconcile()
    world.policies = [
      policy('b', { names: ['alpha'] }),
      policy('c', { names: ['bravo'] }),
      policy('a', { matchLabels: { site: 'x' } }),
      policy('org'),
    ]
    await world.reconcile()
    await world.reconcile()
    expect(await world.policiesInChannel()).toEqual(['organization/org', 'cluster/b'])
    expect(await world.generation()).toBe(2)
    // One that cannot be used changes nothing, and says so.
    world.policies = [...world.policies, policy('bad', undefined, 'nobody')]
    await expect(world.reconcile()).rejects.toMatchObject({ code: 'PolicyInvalid' })
    expect(await world.policiesInChannel()).toEqual(['organization/org', 'cluster/b'])
    world.policies = []
    await world.reconcile()
    expect(await world.policiesInChannel()).toEqual([])
  })

  it('is not published with a key that the trust root does not name', async () => {
    world.restart(generateKeyPair())
    await expect(world.reconcile()).rejects.toMatchObject({ code: 'ChannelSignature' })
    expect(await world.generation()).toBeUndefined()
  })

  it('stays when the cluster is deleted from the hub', async () => {
    await world.place('podinfo')
    await world.reconcile()
    world.cluster = undefined
    world.placements = []
    await world.reconcile()
    expect(await world.generation()).toBe(1)
  })

  it('that could not be published is told in the status once the cluster reports', async () => {
    const report = {
      cluster: 'alpha',
      generation: 0,
      observedAt: world.now.toISOString(),
      agentVersion: '1',
      kubernetesVersion: '1',
      nodes: [],
      releases: [],
    }
    if (world.cluster) world.cluster = { ...world.cluster, status: { report, reportedAt: world.now.toISOString() } }
    world.down = true
    await expect(world.reconcile()).rejects.toMatchObject({ code: 'Unreachable' })
    expect(world.reason).toBe('ChannelFailed')
    world.down = false
    world.later(1_000)
    expect(await world.reconcile()).toMatchObject({ requeueAfterMs: 29_000 })
    expect(world.reason).toBe('NotReady')
  })
})
