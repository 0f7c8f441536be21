import { pipeline } from 'node:stream/promises'
import type { Credentials } from '../../client/authorizer.ts'
import { Registry } from '../../client/registry.ts'
import { isDigest } from '../../digest.ts'
import { OciError } from '../../errors.ts'
import { parseManifest, referrerDescriptor } from '../../manifest.ts'
import { isRepository, mirrorRepository } from '../../reference.ts'
import { matches } from '../pattern.ts'
import { Refusal } from '../refusal.ts'
import type { Store } from '../store.ts'
import type { Metrics } from '../upkeep/metrics.ts'
import type { Quotas } from '../upkeep/quotas.ts'
import type { Visit } from '../visit.ts'
import { BlobCache, type BlobSource } from './blob-cache.ts'

/** A registry whose content is fetched when it is asked for, and kept. */
export interface Upstream {
  /** The host that image names carry: a node that asks for its images here (`?ns=`) gets them through the cache. */
  readonly host: string
  /** `host[:port]` where it is reached. Default: `host`. */
  readonly registry?: string | undefined
  /** Where in this registry its repositories are. Default: `cache/<host>`, with `__` for the colon of a port. */
  readonly prefix?: string | undefined
  /** Which of its repositories may be fetched. Default: all. */
  readonly repositories?: readonly string[] | undefined
  readonly plainHttp?: boolean | undefined
  /** PEM */
  readonly ca?: string | undefined
  /** Used towards the upstream only. */
  readonly credentials?: Credentials | undefined
  /** How long a tag is believed before the upstream is asked again, in milliseconds. Default one minute. */
  readonly tagMs?: number | undefined
}

export interface UpstreamsOptions {
  readonly store: Store
  readonly upstreams: readonly Upstream[]
  readonly quotas: Quotas
  readonly metrics: Metrics
  readonly limitBytes: number
  readonly now: () => number
  readonly failed: (fields: object, message: string) => void
}

interface Line {
  readonly upstream: Upstream
  readonly prefix: string
  readonly registry: Registry
  /** It did not answer a moment ago: until then it is not asked, and what is here is served at once. */
  downUntilMs: number
}

/** A repository here and the one that it stands for there. */
export interface Cached {
  readonly repository: string
  readonly line: Line
  readonly path: string
}

const defaultTagMs = 60_000
/** How long an upstream that did not answer is left alone. */
const downMs = 5000
const rememberedChecks = 50_000
const maximumReferrers = 64

/**
 * A pull-through cache: what a repository below an upstream's prefix lacks is fetched, verified and kept. Without the upstream it
 * serves what it has. Its repositories hold manifests whose blobs may not be here yet, so nothing else is pushed into them.
 */
export class Upstreams {
  readonly #options: UpstreamsOptions
  readonly #lines: readonly Line[]
  readonly #blobs: BlobCache
  readonly #closed = new AbortController()
  readonly #running = new Map<string, Promise<unknown>>()
  /** When what may change was last compared with the upstream. */
  readonly #checked = new Map<string, number>()

  constructor(options: UpstreamsOptions) {
    this.#options = options
    this.#blobs = new BlobCache({ store: options.store, limitBytes: options.limitBytes, closed: this.#closed.signal })
    this.#lines = options.upstreams.map((upstream) => ({
      upstream,
      prefix: upstream.prefix ?? `cache/${mirrorRepository({ host: upstream.host, repository: 'x' }).split('/')[1] ?? upstream.host}`,
      registry: new Registry({
        host: upstream.registry ?? upstream.host,
        plainHttp: upstream.plainHttp,
        ca: upstream.ca,
        credentials: upstream.credentials,
        retry: { attempts: 3 },
      }),
      downUntilMs: Number.NEGATIVE_INFINITY,
    }))
  }

  /** The repository that caches another host's. */
  repositoryOf(host: string, path: string): string | undefined {
    const line = this.#lines.find(({ upstream }) => upstream.host.toLowerCase() === host.toLowerCase())
    const name = line && `${line.prefix}/${path}`
    return name !== undefined && isRepository(name) && this.find(name) !== undefined ? name : undefined
  }

  /** Undefined: this repository is no cache. */
  find(repository: string): Cached | undefined {
    for (const line of this.#lines) {
      if (!repository.startsWith(`${line.prefix}/`)) continue
      const path = repository.slice(line.prefix.length + 1)
      const { repositories } = line.upstream
      if (repositories === undefined || repositories.some((pattern) => matches(pattern, path))) return { repository, line, path }
    }
    return undefined
  }

  /** Whether nothing may be pushed here, because an upstream's content is kept here. */
  owns(repository: string): boolean {
    return this.#lines.some(({ prefix }) => repository === prefix || repository.startsWith(`${prefix}/`))
  }

  /** Fetches a manifest that is not here, or whose tag was not compared for a while. @throws Refusal where it can be neither had nor served */
  async manifest(cached: Cached, reference: string): Promise<void> {
    const { store } = this.#options
    const held = await store.manifest(cached.repository, reference)
    if (held !== undefined && (isDigest(reference) || this.#isFresh(cached, reference))) return this.#counted('hit', cached)
    try {
      await this.#once(`${cached.repository} ${reference}`, () => this.#fetchManifest(cached, reference, held?.digest))
    } catch (error) {
      this.#unreachable(cached, error, held !== undefined)
    }
  }

  /** Fetches what refers to a manifest: signatures and the like come with it. */
  async referrers(cached: Cached, digest: string): Promise<void> {
    const key = `referrers ${digest}`
    if (this.#isFresh(cached, key)) return
    try {
      await this.#once(`${cached.repository} ${key}`, async () => {
        const found = await this.#repository(cached).referrers(digest, { signal: this.#closed.signal })
        for (const { digest: referrer } of found.slice(0, maximumReferrers)) {
          const held = await this.#options.store.manifestSize(cached.repository, referrer)
          if (held === undefined) await this.#fetchManifest(cached, referrer, undefined)
        }
        this.#check(cached, key)
      })
    } catch (error) {
      this.#unreachable(cached, error, true)
    }
  }

  /** The upstream's tags; undefined where it cannot be asked: those that are here must do. */
  async tags(cached: Cached): Promise<string[] | undefined> {
    try {
      return await this.#repository(cached).tags({ signal: this.#closed.signal })
    } catch (error) {
      if (error instanceof OciError && error.code === 'NotFound') return undefined
      this.#unreachable(cached, error, true)
      return undefined
    }
  }

  /** Answers with a blob that is not here yet. False: it is here, or nothing that is here names it. */
  async blob(visit: Visit, cached: Cached, digest: string): Promise<boolean> {
    const { store } = this.#options
    const { repository } = cached
    if ((await store.blobSize(repository, digest)) !== undefined) {
      this.#counted('hit', cached)
      return false
    }
    const size = await this.#blobs.size(repository, digest)
    if (size === undefined) return false
    const headers = {
      'content-type': 'application/octet-stream',
      'docker-content-digest': digest,
      etag: `"${digest}"`,
      'content-length': size,
    }
    if (visit.method === 'HEAD') {
      visit.response.writeHead(200, headers)
      visit.response.end()
      return true
    }
    const file = await this.#blobs.open(repository, digest, size, this.#source(cached))
    const content = file.read()
    // Nothing is answered before the first bytes are here: an upstream that fails is a refusal, not a broken answer.
    const first = await content.next().catch((error: unknown) => this.#unreachable(cached, error, false))
    if (visit.request.headers.range !== undefined) {
      // A part is served from the whole.
      for await (const _ of content);
      return false
    }
    visit.response.writeHead(200, headers)
    await pipeline(async function* () {
      if (first?.done === false) yield first.value
      yield* content
    }, visit.response)
    return true
  }

  async close(): Promise<void> {
    this.#closed.abort(new OciError('Unreachable', 'The registry is closing.'))
    await this.#blobs.close()
    await Promise.allSettled(this.#running.values())
    for (const { registry } of this.#lines) registry.close()
  }

  #source(cached: Cached): BlobSource {
    const { quotas, metrics } = this.#options
    const upstream = cached.line.upstream.host
    return {
      blob: (descriptor, signal) => {
        this.#counted('miss', cached)
        return this.#repository(cached).blob(descriptor, { signal })
      },
      claim: async (bytes) => {
        const claim = quotas.claim(cached.repository)
        try {
          await quotas.grow(claim, bytes)
        } catch (error) {
          quotas.release(claim)
          throw error
        }
        return (kept) => {
          if (kept) metrics.count('muster_registry_upstream_bytes_total', 'Bytes of blobs fetched from upstreams.', { upstream }, bytes)
          if (kept) quotas.keep(claim)
          else quotas.release(claim)
        }
      },
    }
  }

  async #fetchManifest(cached: Cached, reference: string, held: string | undefined): Promise<void> {
    const { store } = this.#options
    const { repository } = cached
    const signal = this.#closed.signal
    const there = this.#repository(cached)
    const tag = isDigest(reference) ? undefined : reference
    if (tag !== undefined) {
      const current = await there.resolve(tag, { signal })
      if (current === undefined) {
        await store.exclusively(repository, () => store.removeTag(repository, tag))
        return
      }
      if (current.digest === held) return this.#check(cached, tag)
    }
    const found = await there.manifest(reference, { signal }).catch((error: unknown) => {
      if (error instanceof OciError && error.code === 'NotFound') return undefined
      throw error
    })
    if (found === undefined) return
    this.#counted('miss', cached)
    const { descriptor, bytes } = found
    const manifest = parseManifest(bytes, descriptor.mediaType)
    this.#blobs.learn(bytes, descriptor.mediaType)
    const { digest, mediaType } = descriptor
    const listing = referrerDescriptor(descriptor, manifest)
    await store.exclusively(repository, () =>
      store.putManifest(repository, { digest, mediaType, bytes }, { tag, subject: manifest.subject?.digest, listing }),
    )
    if (tag !== undefined) this.#check(cached, tag)
  }

  /** @throws Refusal unless something here can be served instead */
  #unreachable(cached: Cached, error: unknown, served: boolean): never | undefined {
    if (error instanceof Refusal) throw error
    const { line } = cached
    const { host } = line.upstream
    this.#counted('error', cached)
    const wasUp = this.#options.now() >= line.downUntilMs
    if (wasUp && error instanceof OciError && error.transient) line.downUntilMs = this.#options.now() + downMs
    this.#options.failed(
      { upstream: host, repository: cached.path, error: error instanceof Error ? error.message : String(error) },
      'upstream failed',
    )
    if (served) return undefined
    throw new Refusal(
      502,
      'INTERNAL',
      `${host}, which this repository caches, cannot be read now, and this is not here yet; the log of the registry says why`,
    )
  }

  /** @throws OciError `Unreachable` for a moment after it did not answer */
  #repository({ line, path }: Cached): ReturnType<Registry['repository']> {
    if (this.#options.now() < line.downUntilMs) throw new OciError('Unreachable', `${line.upstream.host} did not answer a moment ago.`)
    return line.registry.repository(path)
  }

  #isFresh({ repository, line }: Cached, what: string): boolean {
    const at = this.#checked.get(`${repository} ${what}`)
    return at !== undefined && this.#options.now() - at < (line.upstream.tagMs ?? defaultTagMs)
  }

  #check({ repository }: Cached, what: string): void {
    const key = `${repository} ${what}`
    this.#checked.delete(key)
    this.#checked.set(key, this.#options.now())
    if (this.#checked.size > rememberedChecks) for (const oldest of this.#checked.keys().take(1)) this.#checked.delete(oldest)
  }

  #once(key: string, work: () => Promise<void>): Promise<unknown> {
    const running = this.#running.get(key) ?? work().finally(() => this.#running.delete(key))
    this.#running.set(key, running)
    return running
  }

  #counted(result: 'hit' | 'miss' | 'error', { line }: Cached): void {
    const labels = { upstream: line.upstream.host, result }
    this.#options.metrics.count('muster_registry_upstream_requests_total', 'Manifests and blobs that caches were asked for.', labels)
  }
}
