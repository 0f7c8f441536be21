import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import {
  apiVersion,
  type Cluster,
  type ClusterReport,
  clusterKind,
  customResourceDefinition,
  type Placement,
  placementKind,
  type Tenant,
  tenantKind,
  trustPolicyKind,
} from '@muster/api'
import { isKubeError, KubeClient, type KubeObject, loadKubeconfig } from '@muster/kube'
import { type Descriptor, pushArtifact, Registry, type RegistryServer, serveRegistry } from '@muster/oci'
import { type Authority, createAuthority, createKeyPair, createRequest, issueCertificate } from '@muster/pki'
import { type ChannelContent, createRoot, fetchChannel, generateKeyPair, verifyChannel } from '@muster/trust'
import { channelRepository } from '../channel/channels.ts'
import { runHub, type Timings } from '../hub.ts'

export interface Answer {
  readonly status: number
  readonly body: { readonly [key: string]: unknown }
  /** The `Retry-After` header; 0 where there is none. */
  readonly retryAfterSeconds: number
}

export interface Identity {
  readonly certificate: string
  readonly privateKey: string
}

export type ClusterObject = Cluster & KubeObject
export type PlacementObject = Placement & KubeObject

const writer = { username: 'writer', password: 'w'.repeat(24) }
const reader = { username: 'reader', password: 'r'.repeat(24) }
const trustDomain = 'example.test'
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
export const timings: Partial<Timings> = { silentAfterMs: 3_000, heartbeatMs: 300, recheckMs: 1_000 }

/** A hub with a registry of its own, over the API server that the tests are given. Everything has a random name and goes away. */
export class Fixture {
  readonly client: KubeClient
  readonly namespace = unique('hub-test')
  readonly #dir: string
  /** Issues identities; the API is always served by the first one. */
  readonly #authority: Authority
  readonly #tls: Identity
  readonly #channel = generateKeyPair()
  readonly #root: Uint8Array
  readonly publisher = { name: 'publisher', publicKey: generateKeyPair().publicKey }
  readonly registry: Registry
  #server: RegistryServer
  #hub: { readonly stop: AbortController; readonly ended: Promise<void>; readonly port: number } | undefined
  readonly #made: { readonly kind: 'Cluster' | 'Placement' | 'Tenant'; readonly name: string }[] = []
  readonly #definitions: string[] = []

  private constructor(parts: { client: KubeClient; dir: string; authority: Authority; tls: Identity; server: RegistryServer }) {
    this.client = parts.client
    this.#dir = parts.dir
    this.#authority = parts.authority
    this.#tls = parts.tls
    this.#server = parts.server
    const rootKey = generateKeyPair()
    this.#root = createRoot({
      rootKeys: [rootKey],
      rootThreshold: 1,
      channelKeys: [this.#channel],
      channelThreshold: 1,
      version: 1,
      expires: '2999-01-01T00:00:00Z',
    })
    this.registry = new Registry({
      host: `127.0.0.1:${parts.server.port}`,
      ca: parts.authority.certificate,
      credentials: writer,
      retry: { attempts: 1 },
    })
  }

  static async start(kubeconfig: string): Promise<Fixture> {
    const client = new KubeClient(await loadKubeconfig(kubeconfig), { userAgent: 'hub-test' })
    const now = new Date()
    const authority = await createAuthority('hub-test', { days: 1, now })
    const tls = await issueCertificate(authority, { commonName: 'hub', addresses: ['127.0.0.1'], usages: ['server'], days: 1, now })
    const dir = await mkdtemp(path.join(tmpdir(), 'muster-hub-test-'))
    const server = await serve(dir, tls, 0)
    const fixture = new Fixture({ client, dir, authority, tls, server })
    await fixture.#prepare()
    await fixture.startHub()
    return fixture
  }

  async #prepare(): Promise<void> {
    for (const kind of [clusterKind, placementKind, trustPolicyKind, tenantKind]) {
      const definition = customResourceDefinition(kind)
      try {
        await this.client.create(definition)
        this.#definitions.push(definition.metadata.name)
      } catch (error) {
        if (!isKubeError(error, 'AlreadyExists')) throw error
      }
      await eventually(() => this.client.list({ apiVersion, kind: kind.kind }))
    }
    await this.client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: this.namespace } })
    await this.client.create({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'muster-publishers', namespace: this.namespace },
      data: { [this.publisher.name]: this.publisher.publicKey },
    } as KubeObject)
  }

  /** Starts the hub, and waits until it is ready. `issuer`: another authority for identities, with those that are trusted beside it. */
  async startHub(
    change: { readonly issuer?: Authority; readonly others?: string; readonly timings?: Partial<Timings> } = {},
  ): Promise<void> {
    const stop = new AbortController()
    const listening = Promise.withResolvers<number>()
    const ended = runHub(
      {
        client: this.client,
        registry: this.registry,
        registryAccess: { host: this.registry.host, ca: this.#authority.certificate, ...reader },
        namespace: this.namespace,
        trustDomain,
        listen: { host: '127.0.0.1', port: 0 },
        tls: this.#tls,
        authority: change.issuer ?? this.#authority,
        otherAuthorities: change.others,
        channelKey: this.#channel.privateKey,
        roots: [Buffer.from(this.#root).toString('utf8')],
        timings: { ...timings, ...change.timings },
        now: () => new Date(),
        monotonicMs: () => performance.now(),
        log: silent,
        listening: listening.resolve,
      },
      stop.signal,
    )
    ended.catch(listening.reject)
    this.#hub = { stop, ended, port: await listening.promise }
    await eventually(async () => {
      if ((await this.call('GET', '/readyz')).status !== 200) throw new Error('the hub is not ready')
    })
  }

  get authority(): Authority {
    return this.#authority
  }

  /** An identity as the hub would have issued it, at any time and by any authority. */
  async identity(
    cluster: string,
    change: { readonly endedAt?: Date; readonly by?: Authority; readonly usage?: 'server' } = {},
  ): Promise<Identity> {
    const now = new Date((change.endedAt ?? new Date(Date.now() + 86_400_000)).getTime() - 30 * 86_400_000)
    const uris = [`spiffe://${trustDomain}/cluster/${cluster}`]
    return issueCertificate(change.by ?? this.#authority, { commonName: cluster, uris, usages: [change.usage ?? 'client'], days: 30, now })
  }

  async renew(cluster: string, identity: Identity | undefined): Promise<Answer & { readonly identity: Identity }> {
    const { privateKey } = createKeyPair()
    const body = { csr: await createRequest(privateKey, cluster) }
    const answer = await this.call('POST', `/v1/clusters/${cluster}/renew`, { body, ...(identity ? { identity } : {}) })
    return { ...answer, identity: { certificate: String(answer.body['certificate']), privateKey } }
  }

  sendReport(cluster: string, identity: Identity, change: Partial<ClusterReport> = {}): Promise<Answer> {
    return this.call('POST', `/v1/clusters/${cluster}/report`, { body: this.report(cluster, change), identity })
  }

  async stopHub(): Promise<void> {
    this.#hub?.stop.abort()
    await this.#hub?.ended
    this.#hub = undefined
  }

  async stopRegistry(): Promise<void> {
    await this.#server.close()
  }

  async startRegistry(): Promise<void> {
    this.#server = await serve(this.#dir, this.#tls, this.#server.port)
  }

  async stop(): Promise<void> {
    await this.stopHub()
    for (const { kind, name } of this.#made) await this.client.delete({ apiVersion, kind, name })
    await this.client.delete({ apiVersion: 'v1', kind: 'Namespace', name: this.namespace })
    for (const name of this.#definitions)
      await this.client.delete({ apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', name })
    this.registry.close()
    this.client.close()
    await this.#server.close()
    await rm(this.#dir, { recursive: true, force: true })
  }

  /** A `Cluster` with a random name. */
  async cluster(spec: Cluster['spec'] = {}, labels: Record<string, string> = {}): Promise<string> {
    const name = unique('c')
    this.#made.push({ kind: 'Cluster', name })
    await this.client.create({ apiVersion, kind: 'Cluster', metadata: { name, labels }, spec } as KubeObject)
    return name
  }

  async placement(
    bundle: Placement['spec']['bundle'],
    clusters: Placement['spec']['clusters'],
    more: Partial<Placement['spec']> = {},
  ): Promise<string> {
    const name = unique('p')
    this.#made.push({ kind: 'Placement', name })
    await this.client.create({
      apiVersion,
      kind: 'Placement',
      metadata: { name },
      spec: { bundle, namespace: 'app', clusters, ...more },
    } as KubeObject)
    return name
  }

  /** A `Tenant` with a random name. */
  async tenant(grants: Tenant['spec']['grants']): Promise<string> {
    const name = unique('t')
    this.#made.push({ kind: 'Tenant', name })
    await this.client.create({ apiVersion, kind: 'Tenant', metadata: { name }, spec: { grants } } as KubeObject)
    return name
  }

  /** Takes away what the registry holds for a cluster. */
  async emptyChannels(cluster: string): Promise<void> {
    const repository = this.registry.repository(channelRepository(cluster))
    const found = await repository.resolve('current')
    if (found) await repository.deleteManifest(found.digest)
  }

  /** A published bundle, as far as the hub looks at it. */
  async bundle(version = '1.0.0'): Promise<Placement['spec']['bundle'] & Pick<Descriptor, 'size'>> {
    const repository = 'bundles/app'
    const { digest, size } = await pushArtifact(this.registry.repository(repository), {
      artifactType: 'application/vnd.muster.bundle.v1+json',
      layers: [],
      annotations: { 'org.opencontainers.image.version': version },
    })
    return { repository, version, digest, size }
  }

  async token(cluster: string, change: { readonly expiresAt?: Date; readonly labels?: Record<string, string> } = {}): Promise<string> {
    const token = `${cluster}.${randomBytes(32).toString('base64url')}`
    await this.client.apply(
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: `join-${cluster}`, namespace: this.namespace, labels: change.labels ?? { 'muster.dev/join': 'true' } },
        stringData: {
          'token-sha256': createHash('sha256').update(token).digest('hex'),
          'expires-at': (change.expiresAt ?? new Date(Date.now() + 60_000)).toISOString(),
        },
      } as KubeObject,
      { force: true },
    )
    return token
  }

  /** All tests join from one address, more often than the hub lets one address join at once: told to wait, it waits, as an agent does. */
  async join(cluster: string, token: string, csr?: string): Promise<Answer & { readonly identity: Identity }> {
    const { privateKey } = createKeyPair()
    const body = { cluster, token, csr: csr ?? (await createRequest(privateKey, cluster)), agentVersion: 'test' }
    let answer = await this.call('POST', '/v1/join', { body })
    for (let wait = 1; answer.status === 429 && wait <= 5; wait += 1) {
      await pause(answer.retryAfterSeconds * 1000)
      answer = await this.call('POST', '/v1/join', { body })
    }
    return { ...answer, identity: { certificate: String(answer.body['certificate']), privateKey } }
  }

  /** A cluster that has joined. */
  async joined(spec: Cluster['spec'] = {}): Promise<{ readonly name: string; readonly identity: Identity }> {
    const name = await this.cluster(spec)
    const { status, body, identity } = await this.join(name, await this.token(name))
    if (status !== 200) throw new Error(`join answered ${status} ${JSON.stringify(body)}`)
    return { name, identity }
  }

  report(cluster: string, change: Partial<ClusterReport> = {}): ClusterReport {
    return {
      cluster,
      generation: 1,
      observedAt: new Date().toISOString(),
      agentVersion: 'test',
      kubernetesVersion: 'v1.37.2',
      nodes: [{ name: 'n1', ready: true, version: 'v1.37.2' }],
      releases: [],
      ...change,
    }
  }

  call(method: string, target: string, options: { readonly body?: unknown; readonly identity?: Identity } = {}): Promise<Answer> {
    const payload =
      options.body === undefined ? undefined : Buffer.from(typeof options.body === 'string' ? options.body : JSON.stringify(options.body))
    return new Promise((resolve, reject) => {
      const call = request(
        {
          host: '127.0.0.1',
          port: this.#hub?.port,
          method,
          path: target,
          agent: false,
          ca: this.#authority.certificate,
          ...(options.identity ? { cert: options.identity.certificate, key: options.identity.privateKey } : {}),
        },
        (answer) => {
          const chunks: Buffer[] = []
          answer.on('data', (chunk: Buffer) => chunks.push(chunk))
          answer.on('error', reject)
          answer.on('end', () => {
            const text = Buffer.concat(chunks).toString('utf8')
            const retryAfterSeconds = Number(answer.headers['retry-after'] ?? 0)
            resolve({ status: answer.statusCode ?? 0, body: text === '' ? {} : JSON.parse(text), retryAfterSeconds })
          })
        },
      )
      call.on('error', reject)
      call.end(payload)
    })
  }

  /** The channel that a cluster would take now, verified as an agent does. */
  async channel(cluster: string): Promise<{ readonly digest: string; readonly content: ChannelContent }> {
    const fetched = await fetchChannel(this.registry.repository(channelRepository(cluster)))
    if (!fetched) throw new Error(`${cluster} has no channel yet`)
    const { content } = verifyChannel({ ...fetched, trustedRoot: this.#root, cluster, lastGeneration: 0, now: new Date() })
    return { digest: fetched.digest, content }
  }

  getCluster(name: string): Promise<ClusterObject> {
    return this.client.get<ClusterObject>({ apiVersion, kind: 'Cluster', name })
  }

  getPlacement(name: string): Promise<PlacementObject> {
    return this.client.get<PlacementObject>({ apiVersion, kind: 'Placement', name })
  }
}

/** Tries again and again until `check` does not throw; after 20 s its last error is thrown. */
export async function eventually<T>(check: () => Promise<T>): Promise<T> {
  const end = performance.now() + 20_000
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (performance.now() > end) throw error
      await pause(50)
    }
  }
}

function unique(prefix: string): string {
  return `${prefix}-${randomBytes(4).toString('hex')}`
}

function serve(root: string, tls: Identity, port: number): Promise<RegistryServer> {
  return serveRegistry({
    root,
    listen: { host: '127.0.0.1', port },
    tls: { cert: tls.certificate, key: tls.privateKey },
    users: [
      { name: writer.username, password: writer.password, access: 'write' },
      { name: reader.username, password: reader.password, access: 'read' },
    ],
    graceMs: 100,
  })
}
