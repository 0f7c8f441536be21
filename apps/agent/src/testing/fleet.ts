import { createPublicKey, sign } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { type ClusterReport, clusterReportSchema, type DependencyState, heartbeatSchema } from '@muster/api'
import { makeBundle } from '@muster/bundle'
import { copy, type Descriptor, Layout, pushArtifact, Registry, type RegistryServer, serveRegistry } from '@muster/oci'
import { type Authority, createAuthority, issueCertificate, readRequest } from '@muster/pki'
import {
  attach,
  type ChannelContent,
  type ChannelRelease,
  createRoot,
  generateKeyPair,
  type KeyPair,
  keyId,
  pushChannel,
  signatureKeyFromPem,
  signChannel,
  signRoot,
  signStatement,
} from '@muster/trust'
import { type FaultyRegistry, openFaultyRegistry } from './faulty-registry.ts'

const day = 86_400_000

/** A hub and a registry as an agent meets them, with the keys of a fleet: for tests of the agent. */
export class TestFleet {
  readonly cluster: string
  readonly publisher: KeyPair = generateKeyPair()
  readonly token = 'one-time-token'
  readonly reports: ClusterReport[] = []
  /** When what was last reported in full was observed. */
  #reported: string | undefined
  /** What the hub answers of releases in other clusters. */
  dependencies: readonly DependencyState[] = []
  /** The hub takes no reports. */
  away = false
  readonly root: string
  hubUrl = ''
  readonly hubCa: string
  /** Issues identities. */
  #authority: Authority
  /** Serves the hub, and what identities may chain to. */
  #serving: Authority
  #trusted: readonly Authority[]
  readonly #dir: string
  #channelKey: KeyPair
  /** Keys of the newest root: two of three sign the next. */
  #rootKeys: readonly KeyPair[] = [generateKeyPair(), generateKeyPair(), generateKeyPair()]
  /** All roots, oldest first. */
  #roots: string[] = []
  readonly #waiting = new Set<() => void>()
  #server: Server | undefined
  #registryServer: RegistryServer | undefined
  #registryPort = 0
  #faulty: FaultyRegistry | undefined
  #registryTls: { cert: string; key: string }
  #tokenUsed = false
  generation = 0
  /** How long identities are valid from now on. */
  identityDays = 1
  /** Identities that were issued. */
  issued = 0
  /** The hub has forgotten the cluster. */
  revoked = false

  private constructor(cluster: string, dir: string, authority: Authority, tls: { cert: string; key: string }) {
    this.cluster = cluster
    this.#dir = dir
    this.#authority = authority
    this.#serving = authority
    this.#trusted = [authority]
    this.hubCa = authority.certificate
    this.#registryTls = tls
    this.#channelKey = generateKeyPair()
    this.root = this.#makeRoot(1).toString('utf8')
    this.#roots = [this.root]
  }

  #makeRoot(version: number): Buffer {
    const expires = new Date(Date.now() + 365 * day).toISOString()
    const channel = { channelKeys: [this.#channelKey], channelThreshold: 1 }
    return Buffer.from(createRoot({ rootKeys: this.#rootKeys, rootThreshold: 2, ...channel, expires, version }))
  }

  /** Changes all keys, root and channel. The new root is signed by as many of the old root keys as is said. */
  changeKeys(signedBy: number): { undo: () => void } {
    const before = { rootKeys: this.#rootKeys, channelKey: this.#channelKey, roots: this.#roots }
    this.#rootKeys = [generateKeyPair(), generateKeyPair(), generateKeyPair()]
    this.#channelKey = generateKeyPair()
    const old = before.rootKeys.slice(0, signedBy).map((key) => key.privateKey)
    this.#roots = [...this.#roots, Buffer.from(signRoot(this.#makeRoot(this.#roots.length + 1), old)).toString('utf8')]
    return {
      undo: () => {
        this.#rootKeys = before.rootKeys
        this.#channelKey = before.channelKey
        this.#roots = before.roots
      },
    }
  }

  /** Changes the authority: `both` are trusted and the old one still serves, then the `new` one alone is and does. */
  async changeAuthority(stage: 'both' | 'new'): Promise<string> {
    const now = new Date()
    if (stage === 'both') {
      this.#authority = await createAuthority('test 2', { days: 1, now })
      this.#trusted = [this.#serving, this.#authority]
    } else {
      this.#serving = this.#authority
      this.#trusted = [this.#authority]
      const server = { commonName: 'localhost', addresses: ['127.0.0.1'], usages: ['server'] as const, days: 1, now }
      const { certificate, privateKey } = await issueCertificate(this.#authority, server)
      this.#server?.setSecureContext({ cert: certificate, key: privateKey, ca: this.#authority.certificate })
    }
    return this.#trusted.map(({ certificate }) => certificate.trim()).join('\n')
  }

  static async start(cluster: string): Promise<TestFleet> {
    const now = new Date()
    const authority = await createAuthority('test', { days: 1, now })
    const issued = await issueCertificate(authority, {
      commonName: 'localhost',
      addresses: ['127.0.0.1'],
      usages: ['server'],
      days: 1,
      now,
    })
    const tls = { cert: issued.certificate, key: issued.privateKey }
    const fleet = new TestFleet(cluster, await mkdtemp(join(tmpdir(), 'muster-agent-')), authority, tls)
    await fleet.#startHub(tls)
    await fleet.startRegistry()
    return fleet
  }

  /** Where the agent may keep its content. */
  get store(): string {
    return join(this.#dir, 'store')
  }

  /** The registry's folder, to damage what is in it. */
  get registryRoot(): string {
    return join(this.#dir, 'registry')
  }

  async startRegistry(): Promise<void> {
    this.#registryServer = await serveRegistry({
      root: this.registryRoot,
      listen: { host: '127.0.0.1', port: this.#registryPort },
      tls: this.#registryTls,
      users: [
        { name: 'reader', password: 'reads', access: 'read' },
        { name: 'writer', password: 'writes', access: 'write' },
      ],
    })
    this.#registryPort = this.#registryServer.port
  }

  /** From now on agents that join meet the registry by way of something that does to it what a test wants. */
  async faultyRegistry(): Promise<FaultyRegistry> {
    this.#faulty = await openFaultyRegistry({ target: () => this.#registryPort, tls: { ...this.#registryTls, ca: this.hubCa } })
    return this.#faulty
  }

  async stopRegistry(): Promise<void> {
    await this.#registryServer?.close()
  }

  async close(): Promise<void> {
    await this.#faulty?.close()
    await this.stopRegistry()
    this.#server?.closeAllConnections()
    this.#server?.close()
    await rm(this.#dir, { recursive: true, force: true })
  }

  registry(): Registry {
    return new Registry({
      host: `127.0.0.1:${this.#registryPort}`,
      ca: this.hubCa,
      credentials: { username: 'writer', password: 'writes' },
    })
  }

  /** Makes a bundle of manifests and publishes it, signed unless told otherwise. */
  async publish(
    name: string,
    version: string,
    manifests: string,
    options: { readonly signWith?: KeyPair | 'nobody'; readonly bundleYaml?: string } = {},
  ): Promise<ChannelRelease> {
    const sourceDir = join(this.#dir, 'source', `${name}-${version}`)
    await mkdir(sourceDir, { recursive: true })
    await writeFile(join(sourceDir, 'objects.yaml'), manifests)
    await writeFile(
      join(sourceDir, 'bundle.yaml'),
      `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: ${name}\nversion: ${version}\ncomponents:\n  - name: app\n    manifests: [objects.yaml]\n${options.bundleYaml ?? ''}`,
    )
    const layout = await Layout.open(join(this.#dir, 'layout'), { create: true })
    const image = await this.#image(layout)
    const { descriptor } = await makeBundle({
      sourceDir,
      target: layout,
      images: async () => ({ source: layout, descriptor: image }),
      renderKustomize: async () => '',
    })
    const registry = this.registry()
    const repository = registry.repository(`bundles/${name}`)
    await copy(layout, repository, descriptor, { tag: version })
    const keys = options.signWith ?? this.publisher
    if (keys !== 'nobody')
      await attach(repository, descriptor, await signStatement({ subject: descriptor, key: signatureKeyFromPem(keys.privateKey) }))
    registry.close()
    return { name, bundle: { repository: `bundles/${name}`, version, digest: descriptor.digest, size: descriptor.size }, namespace: name }
  }

  /** Something in the form of an image: no node ever pulls it. */
  async #image(layout: Layout): Promise<Descriptor> {
    return pushArtifact(layout, {
      artifactType: 'application/vnd.example.image',
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', bytes: Buffer.from('layer') }],
    })
  }

  /** Publishes something in the form of an image where nodes would look for it, and gives its digest. */
  async publishImage(mirror: string, content: string, options: { readonly signed: boolean }): Promise<string> {
    const registry = this.registry()
    const repository = registry.repository(mirror)
    const descriptor = await pushArtifact(repository, {
      artifactType: 'application/vnd.example.image',
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', bytes: Buffer.from(content) }],
    })
    const key = signatureKeyFromPem(this.publisher.privateKey)
    if (options.signed) await attach(repository, descriptor, await signStatement({ subject: descriptor, key }))
    registry.close()
    return descriptor.digest
  }

  /** Takes a bundle out of the registry. */
  async unpublish({ bundle }: ChannelRelease): Promise<void> {
    const registry = this.registry()
    await registry.repository(bundle.repository).deleteManifest(bundle.digest)
    registry.close()
  }

  /** Publishes the next channel. `unsaid`: one that is empty and does not say so, well signed all the same. */
  async channel(
    releases: readonly ChannelRelease[],
    { unsaid, ...more }: Partial<ChannelContent> & { unsaid?: true } = {},
  ): Promise<number> {
    this.generation = more.generation ?? this.generation + 1
    const content: ChannelContent = {
      cluster: this.cluster,
      generation: this.generation,
      issuedAt: new Date().toISOString(),
      expiresAt: new Date(Date.now() + day).toISOString(),
      // The write guard is the whole cluster's, and would stay where a test does not end well: it is for the tests that ask for it.
      releases: releases.map((one) => ({ ...one, settings: { ...one.settings, drift: { mode: 'correct', ...one.settings?.drift } } })),
      ...(releases.length === 0 ? { empty: true } : {}),
      publishers: [{ name: 'publisher', publicKey: this.publisher.publicKey }],
      prune: { maxShare: 1 },
      ...more,
    }
    const registry = this.registry()
    const signed = signChannel(content, [this.#channelKey.privateKey])
    const bytes = unsaid ? withoutEmpty(signed, this.#channelKey) : signed
    await pushChannel(registry.repository(`channels/${this.cluster}`), this.#roots, bytes)
    registry.close()
    return this.generation
  }

  /** Waits until a report says what is asked for. The caller's test has the deadline. */
  async reported(test: (report: ClusterReport) => boolean): Promise<ClusterReport> {
    for (;;) {
      const last = this.reports.at(-1)
      if (last !== undefined && test(last)) return last
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  async #startHub(tls: { cert: string; key: string }): Promise<void> {
    const server = createServer({ ...tls, ca: this.hubCa, requestCert: true, rejectUnauthorized: false }, (request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const socket = request.socket as TLSSocket
        this.#answer(request.url ?? '', JSON.parse(Buffer.concat(chunks).toString('utf8')), socket).then(
          ({ status, body }) => {
            response.statusCode = status
            response.end(body === undefined ? undefined : JSON.stringify(body))
          },
          (error: unknown) => {
            response.statusCode = 500
            response.end(String(error))
          },
        )
      })
    })
    // As the hub does: a connection lasts from one report to the next.
    server.keepAliveTimeout = 65_000
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    this.hubUrl = `https://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
    this.#server = server
  }

  async #answer(path: string, body: { csr?: string; token?: string }, socket: TLSSocket): Promise<{ status: number; body?: unknown }> {
    if (path === '/v1/join') {
      if (body.token !== this.token || this.#tokenUsed)
        return { status: 403, body: { code: 'TokenRefused', message: 'the token was used before' } }
      this.#tokenUsed = true
      return {
        status: 200,
        body: {
          certificate: await this.#issue(body.csr ?? ''),
          registry: {
            host: `127.0.0.1:${this.#faulty?.port ?? this.#registryPort}`,
            ca: this.hubCa,
            username: 'reader',
            password: 'reads',
          },
          channelRepository: `channels/${this.cluster}`,
        },
      }
    }
    const issued = this.#trusted.some(({ certificate }) => socket.getPeerX509Certificate()?.verify(createPublicKey(certificate)))
    if (!issued) return { status: 401, body: { code: 'IdentityMissing', message: 'no certificate' } }
    if (path.endsWith('/renew')) {
      if (this.revoked) return { status: 403, body: { code: 'IdentityRevoked', message: 'it has left' } }
      const hubCa = this.#trusted.map(({ certificate }) => certificate.trim()).join('\n')
      return { status: 200, body: { certificate: await this.#issue(body.csr ?? ''), hubCa } }
    }
    if (!socket.authorized && socket.authorizationError?.toString().includes('EXPIRED'))
      return { status: 401, body: { code: 'IdentityExpired', message: 'the certificate has expired' } }
    if (this.away) return { status: 503, body: { code: 'Unavailable', message: 'the hub is away' } }
    if (path.endsWith('/heartbeat')) {
      const { observedAt, holds } = heartbeatSchema.parse(body)
      const last = this.reports.at(-1)
      if (last === undefined || this.#reported !== holds)
        return { status: 409, body: { code: 'ReportUnknown', message: 'it is not the last one' } }
      this.reports.push({ ...last, observedAt })
    } else {
      const report = clusterReportSchema.parse(body)
      this.#reported = report.observedAt
      this.reports.push(report)
    }
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
    return this.dependencies.length === 0 ? { status: 204 } : { status: 200, body: { dependencies: this.dependencies } }
  }

  async #issue(csr: string): Promise<string> {
    const { publicKey, commonName } = await readRequest(csr)
    this.issued += 1
    const uris = [`spiffe://example.test/cluster/${this.cluster}`]
    const { certificate } = await issueCertificate(
      this.#authority,
      { commonName, uris, usages: ['client'], days: this.identityDays, now: new Date() },
      publicKey,
    )
    return certificate
  }
}

/** A channel that no library of ours would sign: its list of releases is empty, and nothing says that this is meant. */
function withoutEmpty(channel: Uint8Array, keys: KeyPair): Uint8Array {
  const { signed } = JSON.parse(Buffer.from(channel).toString('utf8')) as { signed: { muster: { empty?: true } } }
  delete signed.muster.empty
  const sig = sign('sha256', Buffer.from(canonical(signed)), keys.privateKey).toString('hex')
  return Buffer.from(JSON.stringify({ signatures: [{ keyid: keyId(keys.publicKey), sig }], signed }))
}

/** The form over which TUF signs (OLPC canonical JSON): keys as they are sorted already, strings with two escapes only. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value === 'string') return `"${value.replace(/["\\]/g, '\\$&')}"`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{${Object.entries(value)
    .map(([key, child]) => `${canonical(key)}:${canonical(child)}`)
    .join(',')}}`
}
