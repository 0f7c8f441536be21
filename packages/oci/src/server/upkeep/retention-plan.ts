import { matches } from '../pattern.ts'

/** What stays in the repositories of a pattern. The first rule that matches a repository decides; one that none matches is left alone. */
export interface RetentionRule {
  readonly repositories: string
  /** A tag stays for any one of these. */
  readonly keep: {
    /** The tags set last. */
    readonly newest?: number | undefined
    /** Tags set within so many milliseconds. */
    readonly youngerMs?: number | undefined
    /** Tags of these patterns. */
    readonly tags?: readonly string[] | undefined
  }
  /** Manifests that no tag leads to go after so many milliseconds. Default: they stay. */
  readonly untaggedAfterMs?: number | undefined
}

/** A digest that something relies on, and what. */
export interface Need {
  readonly digest: string
  readonly why: string
}

export interface ShelfManifest {
  readonly digest: string
  readonly size: number
  /** Manifests that it holds. */
  readonly children: readonly string[]
  readonly subject: string | undefined
  /** When it was put, in milliseconds since 1970. */
  readonly timeMs: number
}

/** A repository as it was found. */
export interface Shelf {
  readonly repository: string
  readonly manifests: ReadonlyMap<string, ShelfManifest>
  readonly tags: ReadonlyMap<string, { readonly digest: string; readonly timeMs: number }>
  /** A manifest that cannot be read: nobody knows what it names. */
  readonly damaged: string | undefined
}

export interface RepositoryPlan {
  readonly repository: string
  readonly tags: readonly { readonly tag: string; readonly digest: string }[]
  /** Parents before what they hold. */
  readonly manifests: readonly string[]
}

export interface RetentionPlan {
  readonly remove: readonly RepositoryPlan[]
  /** Tags of repositories with a rule that stay, and why. */
  readonly keep: readonly { readonly repository: string; readonly tag: string; readonly digest: string; readonly why: string }[]
  /** Repositories that are left alone though a rule matches, and why. */
  readonly skipped: readonly { readonly repository: string; readonly why: string }[]
}

export interface PlanInput {
  readonly shelves: readonly Shelf[]
  readonly rules: readonly RetentionRule[]
  readonly needs: readonly Need[]
  /** Milliseconds since 1970. */
  readonly now: number
  /** Whether a tag or manifest was asked for, or put, so shortly before that somebody may be about to rely on it. */
  readonly recent: (repository: string, reference: string, timeMs: number) => boolean
}

/** Tags that belong to another manifest: the referrers of distribution-spec, and cosign's `.sig`, `.att` and `.sbom`. */
const attachedTag = /^sha256-([0-9a-f]{64})(?:\.[a-z]+)?$/

/**
 * Decides what goes. What is needed stays wherever it is: the digest itself, all that it holds, and all that refers to any of these, in
 * every repository; so do the tags that lead there.
 */
export function planRetention({ shelves, rules, needs, now, recent }: PlanInput): RetentionPlan {
  const needed = closeOver(shelves, needs)
  const remove: RepositoryPlan[] = []
  const keep: RetentionPlan['keep'][number][] = []
  const skipped: RetentionPlan['skipped'][number][] = []
  for (const shelf of shelves) {
    const { repository } = shelf
    const rule = rules.find(({ repositories }) => matches(repositories, repository))
    if (rule === undefined) continue
    if (shelf.damaged !== undefined) {
      skipped.push({ repository, why: `its manifest ${shelf.damaged} cannot be read` })
      continue
    }
    const plan = planShelf(shelf, rule, needed, now, recent)
    keep.push(...plan.keep)
    if (plan.tags.length > 0 || plan.manifests.length > 0) remove.push({ repository, tags: plan.tags, manifests: plan.manifests })
  }
  return { remove, keep, skipped }
}

/** Everything that what is needed leads to: digest → why. */
function closeOver(shelves: readonly Shelf[], needs: readonly Need[]): ReadonlyMap<string, string> {
  const links = shelves.map(linksOf)
  const why = new Map<string, string>()
  const open: Need[] = [...needs]
  for (let need = open.pop(); need !== undefined; need = open.pop()) {
    if (why.has(need.digest)) continue
    why.set(need.digest, need.why)
    for (const below of links) for (const digest of below(need.digest)) if (!why.has(digest)) open.push({ digest, why: need.why })
  }
  return why
}

/** What a manifest leads to within a repository: what it holds, and what refers to it. */
function linksOf(shelf: Shelf): (digest: string) => readonly string[] {
  const attached = new Map<string, string[]>()
  const attach = (subject: string, digest: string): void => {
    const list = attached.get(subject)
    if (list === undefined) attached.set(subject, [digest])
    else list.push(digest)
  }
  for (const { digest, subject } of shelf.manifests.values()) if (subject !== undefined) attach(subject, digest)
  for (const [tag, { digest }] of shelf.tags) {
    const hex = attachedTag.exec(tag)?.[1]
    if (hex !== undefined) attach(`sha256:${hex}`, digest)
  }
  return (digest) => [...(shelf.manifests.get(digest)?.children ?? []), ...(attached.get(digest) ?? [])]
}

function reach(roots: Iterable<string>, below: (digest: string) => readonly string[]): Set<string> {
  const reached = new Set<string>()
  const open = [...roots]
  for (let digest = open.pop(); digest !== undefined; digest = open.pop()) {
    if (reached.has(digest)) continue
    reached.add(digest)
    open.push(...below(digest))
  }
  return reached
}

function planShelf(
  shelf: Shelf,
  rule: RetentionRule,
  needed: ReadonlyMap<string, string>,
  now: number,
  recent: PlanInput['recent'],
): { tags: RepositoryPlan['tags']; manifests: readonly string[]; keep: RetentionPlan['keep'][number][] } {
  const { repository, manifests } = shelf
  const below = linksOf(shelf)
  const own = [...shelf.tags].filter(([tag]) => !attachedTag.test(tag)).sort(([a, x], [b, y]) => y.timeMs - x.timeMs || (a < b ? 1 : -1))
  const keep: RetentionPlan['keep'][number][] = []
  const going: { tag: string; digest: string }[] = []
  own.forEach(([tag, { digest, timeMs }], rank) => {
    const why = needed.get(digest) ?? whyKept(rule, tag, rank, timeMs, now) ?? (recent(repository, tag, timeMs) ? justUsed : undefined)
    if (why === undefined) going.push({ tag, digest })
    else keep.push({ repository, tag, digest, why })
  })
  const isRecent = ({ digest, timeMs }: ShelfManifest): boolean => recent(repository, digest, timeMs)
  const tagged = reach(
    [...shelf.tags.values()].map(({ digest }) => digest),
    below,
  )
  const candidates = reach(
    going.map(({ digest }) => digest),
    below,
  )
  const { untaggedAfterMs } = rule
  if (untaggedAfterMs !== undefined)
    for (const { digest, timeMs } of manifests.values()) if (!tagged.has(digest) && now - timeMs >= untaggedAfterMs) candidates.add(digest)
  const held = [...manifests.values()].filter((one) => !candidates.has(one.digest) || needed.has(one.digest) || isRecent(one))
  const staying = reach([...keep.map(({ digest }) => digest), ...held.map(({ digest }) => digest)], below)
  const leaving = new Set([...candidates].filter((digest) => manifests.has(digest) && !staying.has(digest)))
  // A tag whose manifest stays for another reason is still let go by the rule; one that is attached goes with its subject.
  const attached = [...shelf.tags].flatMap(([tag, { digest }]) => (attachedTag.test(tag) && leaving.has(digest) ? [{ tag, digest }] : []))
  return { tags: [...going, ...attached], manifests: parentsFirst(leaving, manifests), keep }
}

const justUsed = 'was pushed or asked for a moment ago'

function whyKept(rule: RetentionRule, tag: string, rank: number, timeMs: number, now: number): string | undefined {
  const { newest, youngerMs, tags } = rule.keep
  const pattern = tags?.find((one) => matches(one, tag))
  if (pattern !== undefined) return `its name matches ${pattern}`
  if (newest !== undefined && rank < newest) return `it is one of the ${newest} newest`
  if (youngerMs !== undefined && now - timeMs < youngerMs) return `it is younger than ${Math.round(youngerMs / 3_600_000)} hours`
  return undefined
}

/** Parents, and what refers to others, go first: a crash in between leaves nothing that points to what is gone. */
function parentsFirst(leaving: ReadonlySet<string>, manifests: ReadonlyMap<string, ShelfManifest>): string[] {
  const order: string[] = []
  const seen = new Set<string>()
  // Iterative: a chain of indexes may be long. Children are put down before their parents, then all is turned round.
  for (const root of leaving) {
    const open: { digest: string; entered: boolean }[] = [{ digest: root, entered: false }]
    for (let top = open.pop(); top !== undefined; top = open.pop()) {
      const { digest } = top
      if (top.entered) order.push(digest)
      else if (!seen.has(digest) && leaving.has(digest)) {
        seen.add(digest)
        open.push({ digest, entered: true })
        const { children = [], subject } = manifests.get(digest) ?? {}
        for (const below of subject === undefined ? children : [...children, subject]) open.push({ digest: below, entered: false })
      }
    }
  }
  return order.reverse()
}
