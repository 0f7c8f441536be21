import { apiVersion, type Cluster, type Placement, type Tenant, type TrustPolicy } from '@muster/api'
import { Controller, Informer, type KubeClient, type KubeObject, Manager } from '@muster/kube'
import type { IdentityIssuer } from './api/certificates.ts'
import { healthRoutes } from './api/health.ts'
import { joinRoute, type RegistryAccess } from './api/join.ts'
import { registryAccessOf } from './api/registry-access.ts'
import { renewRoute } from './api/renew.ts'
import { type ReportOptions, reportRoutes } from './api/report.ts'
import { startServer } from './api/server.ts'
import { JoinTokens } from './api/tokens.ts'
import { type ChannelRegistry, Channels } from './channel/channels.ts'
import { RegistryPatience } from './channel/patience.ts'
import { PolicyCheck } from './channel/policies.ts'
import { publishersConfigMap, readPublishers } from './channel/publishers.ts'
import { settingsOf } from './channel/release-settings.ts'
import { ClusterStore } from './cluster-store.ts'
import { ClusterController } from './controllers/cluster.ts'
import { dependentsOf, PlacementController, placementsConcern } from './controllers/placement.ts'
import { TenantController } from './controllers/tenant.ts'
import { TrustPolicyController } from './controllers/trust-policy.ts'
import { dependencyStates } from './dependencies.ts'
import { errorFields, type Log } from './log.ts'
import { Reports } from './reports.ts'

/** Times of the hub, in milliseconds unless said. */
export interface Timings {
  /** How long a channel is valid; it is published again when half of it is over. */
  readonly validityMs: number
  /** A cluster that has not reported for so long is silent. */
  readonly silentAfterMs: number
  /** Reports that say nothing new are written this often. */
  readonly heartbeatMs: number
  /** How often the registry is asked whether a channel is still there. */
  readonly recheckMs: number
  /** Days that the identity of a cluster is valid. May be a fraction. */
  readonly identityDays: number
  /** Days after its end in which an identity can still be renewed: how long a cluster may be away and come back by itself. */
  readonly renewGraceDays: number
}

const day = 24 * 60 * 60 * 1000

export const defaultTimings: Timings = {
  validityMs: 7 * day,
  silentAfterMs: 30_000,
  heartbeatMs: 10_000,
  recheckMs: 60_000,
  identityDays: 30,
  renewGraceDays: 180,
}

export interface HubOptions {
  readonly client: KubeClient
  readonly registry: ChannelRegistry
  /** What agents get, to read from the registry, whose cluster has no token of its own. */
  readonly registryAccess: RegistryAccess
  readonly namespace: string
  readonly trustDomain: string
  readonly listen: { readonly host: string; readonly port: number }
  readonly tls: { readonly certificate: string; readonly privateKey: string }
  readonly authority: IdentityIssuer['authority']
  /** More certificates (PEM) to trust while the authority changes: the one before, or the one to come. */
  readonly otherAuthorities?: string | undefined
  readonly channelKey: string
  readonly roots: readonly string[]
  readonly timings?: Partial<Timings>
  readonly now: () => Date
  readonly monotonicMs: () => number
  readonly log: Log
  /** Told the port once the API answers. */
  readonly listening?: (port: number) => void
}

/** A registry that is down is tried again after at most half a minute, so that its return is noticed. */
const backoff = { baseMs: 200, maxMs: 30_000, jitter: 0.2 }
const serverGraceMs = 5_000

/** Runs the hub until the signal is aborted, then stops it in order. Throws what a part of it threw. */
export async function runHub(options: HubOptions, signal: AbortSignal): Promise<void> {
  const { client, registry, namespace, now, log } = options
  const timings = { ...defaultTimings, ...options.timings }
  const store = new ClusterStore(client)
  const reports = new Reports({ clusters: store, now, heartbeatMs: timings.heartbeatMs })
  const channels = new Channels({
    registry,
    patience: new RegistryPatience(options.monotonicMs, Math.random),
    roots: options.roots,
    channelKeys: [options.channelKey],
    now,
    recheckMs: timings.recheckMs,
    log,
  })

  const onError = (error: unknown) => log.warn(errorFields(error), 'a watch failed and goes on')
  const clusters = new Informer<Cluster & KubeObject>(client, { apiVersion, kind: 'Cluster', onError })
  const placements = new Informer<Placement & KubeObject>(client, { apiVersion, kind: 'Placement', onError })
  const publishers = new Informer<ConfigMap>(client, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    namespace,
    fieldSelector: `metadata.name=${publishersConfigMap}`,
    onError,
  })
  const policies = new Informer<TrustPolicy & KubeObject>(client, { apiVersion, kind: 'TrustPolicy', onError })
  const tenants = new Informer<Tenant & KubeObject>(client, { apiVersion, kind: 'Tenant', onError })
  const informers = [clusters, placements, publishers, policies, tenants]
  const policyCheck = new PolicyCheck()

  const clusterController = new ClusterController({
    view: {
      cluster: (name) => clusters.get(name),
      placements: () => placements.list(),
      publishers: () => {
        const found = publishers.get(`${namespace}/${publishersConfigMap}`)
        return readPublishers(found && (found.data ?? {}))
      },
      policies: () => policies.list(),
      tenants: () => tenants.list(),
    },
    channels,
    policyCheck,
    store,
    now,
    ...timings,
    gone: (name) => {
      channels.forget(name)
      reports.forget(name)
    },
    log,
  })
  const carriedSince = (placement: Placement, cluster: Cluster): number | undefined =>
    channels.carried.since(cluster.metadata.name, {
      name: placement.metadata.name,
      bundle: placement.spec.bundle,
      namespace: placement.spec.namespace,
      settings: settingsOf(placement, cluster, tenants.list()),
    })
  const placementController = new PlacementController({
    client,
    placement: (name) => placements.get(name),
    placements: () => placements.list(),
    clusters: () => clusters.list(),
    channelKnown: (cluster) => channels.carried.knows(cluster.metadata.name),
    carriedSince,
    now,
  })
  const policyController = new TrustPolicyController({
    client,
    policy: (name) => policies.get(name),
    policies: () => policies.list(),
    check: policyCheck,
    now,
  })
  const tenantController = new TenantController({
    client,
    tenant: (name) => tenants.get(name),
    tenants: () => tenants.list(),
    clusters: () => clusters.list(),
    now,
  })
  const concern = placementsConcern()
  const tenantsConcern = placementsConcern()
  const names = (informer: { list(): KubeObject[] }) => informer.list().map((object) => object.metadata.name)
  const failed = (what: string) => (error: unknown, name: string) =>
    log.warn({ [what]: name, ...errorFields(error) }, `could not reconcile a ${what}`)

  const manager = new Manager()
    .add(
      apiServer(options, {
        timings,
        store,
        reports,
        cached: (name) => clusters.get(name),
        dependencies: (cluster) =>
          dependencyStates(cluster, {
            placements: placements.list(),
            cluster: (name) => clusters.get(name),
            carriedSince,
            now: now(),
            silentAfterMs: timings.silentAfterMs,
          }),
        ready: () => informers.every((informer) => informer.synced),
      }),
      { stage: 'servers' },
    )
    .add(clusters)
    .add(placements)
    .add(publishers)
    .add(policies)
    .add(tenants)
    .add(
      new Controller({
        name: 'cluster',
        reconcile: (name, stop) => clusterController.reconcile(name, stop),
        concurrency: 8,
        backoff,
        onError: failed('cluster'),
      })
        .watches(clusters)
        .watches(placements, () => names(clusters))
        .watches(publishers, () => names(clusters))
        .watches(policies, () => names(clusters))
        .watches(tenants, () => names(clusters)),
    )
    .add(
      new Controller({
        name: 'trust-policy',
        reconcile: (name, stop) => policyController.reconcile(name, stop),
        concurrency: 1,
        backoff,
        onError: failed('trust policy'),
      }).watches(policies, () => names(policies)),
    )
    .add(
      new Controller({
        name: 'tenant',
        reconcile: (name, stop) => tenantController.reconcile(name, stop),
        concurrency: 1,
        backoff,
        onError: failed('tenant'),
      })
        .watches(tenants, () => names(tenants))
        .watches(clusters, (event) => (tenantsConcern(event) ? names(tenants) : [])),
    )
    .add(
      new Controller({
        name: 'placement',
        reconcile: (name, stop) => placementController.reconcile(name, stop),
        concurrency: 2,
        backoff,
        onError: failed('placement'),
      })
        .watches(placements, ({ key }) => [key, ...dependentsOf(placements.list())])
        .watches(clusters, (event) => (concern(event) ? names(placements) : [])),
    )
  await manager.run(signal)
}

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>
}

function apiServer(
  options: HubOptions,
  parts: {
    readonly timings: Timings
    readonly store: ClusterStore
    readonly reports: Reports
    readonly cached: (name: string) => Cluster | undefined
    readonly dependencies: ReportOptions['dependencies']
    readonly ready: () => boolean
  },
): { readonly name: string; run(signal: AbortSignal): Promise<void> } {
  const { client, namespace, trustDomain, now, log } = options
  const trusted = [options.authority.certificate, options.otherAuthorities ?? '']
    .map((pem) => pem.trim())
    .join('\n')
    .trim()
  const issuer: IdentityIssuer = {
    authority: options.authority,
    trustDomain,
    days: parts.timings.identityDays,
    trusted,
    renewGraceMs: parts.timings.renewGraceDays * day,
  }
  const shared = {
    clusters: parts.store,
    issuer,
    registryOf: registryAccessOf(options.client, options.namespace, options.registryAccess),
    now,
    log,
  }
  const routes = [
    ...healthRoutes(parts.ready),
    joinRoute({ ...shared, tokens: new JoinTokens(client, namespace), monotonicMs: options.monotonicMs }),
    renewRoute(shared),
    ...reportRoutes({
      reports: parts.reports,
      clusters: parts.store,
      cached: parts.cached,
      dependencies: parts.dependencies,
      trustDomain,
      trusted,
      now,
    }),
  ]
  return {
    name: 'api',
    run: async (signal) => {
      const server = await startServer({ listen: options.listen, tls: options.tls, clientCa: trusted, routes, log })
      options.listening?.(server.port)
      log.info({ port: server.port }, 'the API answers')
      if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
      await server.close(serverGraceMs)
    },
  }
}
