import { join } from 'node:path'
import * as z from 'zod'
import { Registry } from '../../client/registry.ts'
import type { ContentSource, ContentTarget } from '../../content.ts'
import { copy } from '../../copy.ts'
import { readBounded, writeAtomic } from '../../disk.ts'
import { OciError } from '../../errors.ts'
import { isRepository } from '../../reference.ts'
import { matches } from '../pattern.ts'
import type { Store } from '../store.ts'
import { type Mirror, type MirrorEntry, type MirrorStatus, mirrorStatusSchema } from './mirror-status.ts'
import { type StoreGuards, StoreRepository } from './store-repository.ts'

type MutableStatus = { -readonly [K in keyof MirrorStatus]: MirrorStatus[K] }

export interface MirrorsOptions {
  readonly store: Store
  readonly guards: StoreGuards
  readonly mirrors: readonly Mirror[]
  readonly file: string
  readonly now: () => number
  readonly finished: (status: MirrorStatus) => void
  /** Told before and after a repository here is written to: no blob of it is garbage meanwhile. */
  readonly writing: (repository: string, begins: boolean) => void
}

const maximumErrors = 20
const maximumFileBytes = 1024 * 1024
/** The tag under which referrers are listed where there is no API for them: they are found through their subject instead. */
const referrersTag = /^sha256-[0-9a-f]{64}$/

/**
 * Runs mirrors, each one at a time. What is there already is not sent again, so a run that broke off is gone on with by the next. A
 * repository that fails does not stop the others. Nothing is ever deleted on the other side.
 */
export class Mirrors {
  readonly #options: MirrorsOptions
  readonly #status: Map<string, MutableStatus>
  readonly #running = new Map<string, Promise<void>>()
  readonly #closed = new AbortController()

  private constructor(options: MirrorsOptions, known: readonly MirrorStatus[]) {
    this.#options = options
    this.#status = new Map(options.mirrors.map(({ name }) => [name, known.find((one) => one.name === name) ?? never(name)]))
    for (const status of this.#status.values())
      if (status.state === 'running') Object.assign(status, { state: 'failed', errors: ['the registry was stopped'] })
  }

  static async open(options: MirrorsOptions): Promise<Mirrors> {
    const bytes = options.mirrors.length === 0 ? undefined : await readBounded(options.file, maximumFileBytes)
    const read = z.array(mirrorStatusSchema).safeParse(bytes === undefined ? [] : jsonOf(bytes))
    // What is damaged is only what is shown: the next run writes it anew.
    return new Mirrors(options, read.success ? read.data : [])
  }

  list(): MirrorEntry[] {
    return this.#options.mirrors.map(({ name, direction, registry, repositories, everyMs }) => ({
      ...(this.#status.get(name) ?? never(name)),
      direction,
      registry,
      patterns: repositories,
      everyMs,
    }))
  }

  /** Begins a run, unless one is going on. False: there is no such mirror. */
  start(name: string): boolean {
    const mirror = this.#options.mirrors.find((one) => one.name === name)
    if (mirror === undefined) return false
    if (!this.#running.has(name) && !this.#closed.signal.aborted) {
      const run = this.#run(mirror).finally(() => this.#running.delete(name))
      this.#running.set(name, run)
    }
    return true
  }

  /** Begins those whose time has come. */
  startDue(): void {
    for (const { name, everyMs } of this.#options.mirrors) {
      const last = this.#status.get(name)?.startedMs
      if (everyMs !== undefined && (last === undefined || this.#options.now() - last >= everyMs)) this.start(name)
    }
  }

  async close(): Promise<void> {
    this.#closed.abort(new OciError('Unreachable', 'The registry is closing.'))
    await Promise.allSettled(this.#running.values())
  }

  async #run(mirror: Mirror): Promise<void> {
    const { now, finished } = this.#options
    const status: MutableStatus = {
      ...never(mirror.name),
      state: 'running',
      startedMs: now(),
      succeededMs: this.#status.get(mirror.name)?.succeededMs,
    }
    this.#status.set(mirror.name, status)
    await this.#save()
    const { registry: host, plainHttp, ca, credentials } = mirror
    const registry = new Registry({ host, plainHttp, ca, credentials })
    try {
      for (const repository of await this.#repositories(mirror, registry)) {
        this.#closed.signal.throwIfAborted()
        await this.#repository(mirror, registry, repository, status)
      }
    } catch (error) {
      note(status, mirror.registry, error)
    } finally {
      registry.close()
    }
    status.finishedMs = now()
    status.state = status.errors.length === 0 ? 'done' : 'failed'
    if (status.state === 'done') status.succeededMs = status.finishedMs
    await this.#save()
    finished(status)
  }

  /** Names that a pattern matches; those that are written out need no list, which not every registry gives. */
  async #repositories(mirror: Mirror, registry: Registry): Promise<string[]> {
    const { repositories: patterns, direction } = mirror
    const written = patterns.filter((pattern) => !pattern.includes('*'))
    if (written.length === patterns.length) return written
    const all =
      direction === 'push' ? await this.#options.store.repositories() : await registry.repositories({ signal: this.#closed.signal })
    return all.filter((name) => patterns.some((pattern) => matches(pattern, name)))
  }

  async #repository(mirror: Mirror, registry: Registry, name: string, status: MutableStatus): Promise<void> {
    const { store, guards, writing } = this.#options
    const target = `${mirror.prefix ?? ''}${name}`
    status.repositories += 1
    if (!isRepository(target))
      return note(status, name, new OciError('InvalidReference', `"${target.slice(0, 300)}" is not a repository name.`))
    const push = mirror.direction === 'push'
    const from = push ? new StoreRepository(store, name) : registry.repository(name)
    const to = push ? registry.repository(target) : new StoreRepository(store, target, guards)
    if (!push) writing(target, true)
    try {
      const tags = await from.tags({ signal: this.#closed.signal })
      for (const tag of tags) {
        const chosen = mirror.tags === undefined || mirror.tags.some((pattern) => matches(pattern, tag))
        if (!chosen || referrersTag.test(tag)) continue
        this.#closed.signal.throwIfAborted()
        await this.#tag(from, to, tag, status).catch((error: unknown) => note(status, `${name}:${tag}`, error))
      }
    } catch (error) {
      note(status, name, error)
    } finally {
      if (!push) writing(target, false)
    }
  }

  async #tag(from: ContentSource, to: ContentSource & ContentTarget, tag: string, status: MutableStatus): Promise<void> {
    const signal = this.#closed.signal
    const descriptor = await from.resolve(tag, { signal })
    if (descriptor === undefined) return
    const there = await to.resolve(tag, { signal })
    const moved = await copy(from, to, descriptor, { referrers: true, signal, ...(there?.digest === descriptor.digest ? {} : { tag }) })
    status.tags += 1
    status.manifests += moved.manifests
    status.blobs += moved.blobs
    status.bytes += moved.bytes
    status.skipped += moved.skipped
  }

  async #save(): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify([...this.#status.values()]))
    await writeAtomic(this.#options.file, bytes, join(this.#options.store.root, 'tmp')).catch(() => {
      // Only what is shown after a restart.
    })
  }
}

function never(name: string): MutableStatus {
  return { name, state: 'never', repositories: 0, tags: 0, manifests: 0, blobs: 0, bytes: 0, skipped: 0, errors: [] }
}

function note(status: MutableStatus, what: string, error: unknown): void {
  if (status.errors.length < maximumErrors)
    status.errors.push(`${what}: ${error instanceof Error ? error.message : String(error)}`.slice(0, 500))
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
}
