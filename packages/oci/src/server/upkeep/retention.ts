import type { ContentSource } from '../../content.ts'
import { OciError } from '../../errors.ts'
import { parseManifest } from '../../manifest.ts'
import { StoreRepository } from '../replication/store-repository.ts'
import type { Store } from '../store.ts'
import type { ChannelGate } from './channel-gate.ts'
import type { RecentReads } from './recent-reads.ts'
import {
  type Need,
  planRetention,
  type RepositoryPlan,
  type RetentionPlan,
  type RetentionRule,
  type Shelf,
  type ShelfManifest,
} from './retention-plan.ts'
import { manifestTime, tagTime } from './usage.ts'

/** What says which content clusters need. */
export interface Channels {
  /** Pattern of their repositories. */
  readonly repositories: string
  /** What the current channel in one of them needs. Throwing stops retention: who cannot read a channel does not know what it needs. */
  needs(repository: string, source: ContentSource): Promise<readonly Need[]>
}

export interface RetentionOptions {
  readonly store: Store
  readonly channels: Channels | undefined
  readonly gate: ChannelGate
  readonly reads: RecentReads
  /** What was put or asked for within so many milliseconds stays. */
  readonly graceMs: number
  readonly now: () => number
  /** Told of each repository from which something was removed. */
  readonly removed: (plan: RepositoryPlan) => void
}

export interface Retained extends RetentionPlan {
  /** False: this is what would go. */
  readonly done: boolean
  /** What is needed and is not here. */
  readonly missing: readonly Need[]
}

const rounds = 3

/** Removes by rules what nothing needs. What it decides is checked once more, under the repository's lock, before it is done. */
export class Retention {
  readonly #options: RetentionOptions
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  /**
   * @param call.needed what is needed besides what channels name: placements, what clusters still run
   * @throws OciError `Storage` or `InvalidManifest` where it cannot be known what is needed: nothing was removed then
   */
  run(call: {
    readonly rules: readonly RetentionRule[]
    readonly needed: readonly Need[]
    readonly dryRun: boolean
    readonly signal: AbortSignal
  }): Promise<Retained> {
    const work = (): Promise<Retained> => this.#run(call)
    const mine = this.#last.then(work, work)
    this.#last = mine.catch(() => {})
    return mine
  }

  async #run(call: Parameters<Retention['run']>[0]): Promise<Retained> {
    const removed: RepositoryPlan[] = []
    for (let round = 1; ; round += 1) {
      const { version } = this.#options.gate
      const { plan, missing, shelves } = await this.#plan(call)
      if (call.dryRun) return { ...plan, done: false, missing }
      const changed: string[] = []
      for (const one of plan.remove) {
        call.signal.throwIfAborted()
        const before = shelves.find(({ repository }) => repository === one.repository)
        if (before !== undefined && (await this.#apply(one, before, version))) removed.push(one)
        else changed.push(one.repository)
      }
      if (changed.length === 0 || round === rounds) {
        const skipped = [
          ...plan.skipped,
          ...changed.map((repository) => ({ repository, why: 'it changes all the time; run it again later' })),
        ]
        return { remove: removed, keep: plan.keep, skipped, done: true, missing }
      }
    }
  }

  async #plan({ rules, needed, signal }: Parameters<Retention['run']>[0]) {
    const { store, now, graceMs, reads } = this.#options
    const shelves: Shelf[] = []
    for (const repository of await store.repositories()) {
      signal.throwIfAborted()
      shelves.push(await readShelf(store, repository))
    }
    const needs = [...needed, ...(await this.#channelNeeds(shelves))]
    const missing = needs.filter(({ digest }) => !shelves.some(({ manifests, damaged }) => manifests.has(digest) || damaged === digest))
    const unread = needs.find(
      ({ digest }) => shelves.some(({ damaged }) => damaged === digest) && !shelves.some(({ manifests }) => manifests.has(digest)),
    )
    if (unread !== undefined)
      throw new OciError(
        'Storage',
        `${unread.digest} is needed (${unread.why}) and cannot be read, so nobody knows what it holds. Push it again; nothing was removed.`,
      )
    const from = now() - graceMs
    const recent = (repository: string, reference: string, timeMs: number): boolean =>
      timeMs >= from || reads.since(repository, reference, from)
    return { plan: planRetention({ shelves, rules, needs, now: now(), recent }), missing, shelves }
  }

  async #channelNeeds(shelves: readonly Shelf[]): Promise<Need[]> {
    const { store, channels, gate } = this.#options
    const needs: Need[] = []
    for (const { repository, tags } of shelves) {
      if (channels === undefined || !gate.isChannel(repository)) continue
      // The channel itself, by every tag, whatever rule may match it.
      for (const [tag, { digest }] of tags) needs.push({ digest, why: `it is the channel ${repository}:${tag}` })
      needs.push(...(await this.#needsOf(channels, repository, new StoreRepository(store, repository))))
    }
    return needs
  }

  async #needsOf(channels: Channels, repository: string, source: ContentSource): Promise<readonly Need[]> {
    try {
      return await channels.needs(repository, source)
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new OciError(
        'Storage',
        `The channel in ${repository} cannot be read, so nobody knows what it needs; nothing was removed. ${why}`,
        { cause },
      )
    }
  }

  /** False: something changed since it was planned. */
  async #apply(plan: RepositoryPlan, before: Shelf, version: number): Promise<boolean> {
    const { store, gate, removed, now, graceMs, reads } = this.#options
    const { repository } = plan
    const done = await gate.alone(async () => {
      if (gate.version !== version) return false
      return store.exclusively(repository, async () => {
        if (!(await isUnchanged(store, before))) return false
        const from = now() - graceMs
        const touched = [...plan.tags.map(({ tag }) => tag), ...plan.manifests].some((reference) =>
          reads.since(repository, reference, from),
        )
        if (touched) return false
        for (const { tag } of plan.tags) await store.removeTag(repository, tag)
        for (const digest of plan.manifests) await store.removeManifest(repository, digest, before.manifests.get(digest)?.subject)
        return true
      })
    })
    if (done) removed(plan)
    return done
  }
}

async function readShelf(store: Store, repository: string): Promise<Shelf> {
  const manifests = new Map<string, ShelfManifest>()
  let damaged: string | undefined
  for (const hex of await store.heldManifests(repository)) {
    const digest = `sha256:${hex}`
    const found = await store.manifest(repository, digest)
    const timeMs = await manifestTime(store, repository, hex)
    try {
      if (found === undefined || timeMs === undefined) throw new OciError('InvalidManifest', 'It is gone.')
      const { manifests: children, subject } = parseManifest(found.bytes, found.mediaType)
      manifests.set(digest, {
        digest,
        size: found.bytes.length,
        children: children.map((child) => child.digest),
        subject: subject?.digest,
        timeMs,
      })
    } catch (error) {
      if (!(error instanceof OciError)) throw error
      damaged = digest
    }
  }
  const tags = new Map<string, { digest: string; timeMs: number }>()
  for (const tag of await store.tags(repository)) {
    const digest = await store.tagged(repository, tag)
    const timeMs = await tagTime(store, repository, tag)
    if (digest !== undefined && timeMs !== undefined) tags.set(tag, { digest, timeMs })
  }
  return { repository, manifests, tags, damaged }
}

async function isUnchanged(store: Store, before: Shelf): Promise<boolean> {
  const { repository, manifests, tags } = before
  const held = await store.heldManifests(repository)
  if (held.length !== manifests.size) return false
  for (const hex of held) {
    const known = manifests.get(`sha256:${hex}`)
    if (known === undefined || (await manifestTime(store, repository, hex)) !== known.timeMs) return false
  }
  const present = await store.tags(repository)
  if (present.length !== tags.size) return false
  for (const tag of present) {
    const known = tags.get(tag)
    if (
      known === undefined ||
      known.digest !== (await store.tagged(repository, tag)) ||
      known.timeMs !== (await tagTime(store, repository, tag))
    )
      return false
  }
  return true
}
