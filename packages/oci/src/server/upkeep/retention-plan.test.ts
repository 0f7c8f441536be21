import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Need, planRetention, type RetentionRule, type Shelf, type ShelfManifest } from './retention-plan.ts'

const digest = (seed: number): string => `sha256:${seed.toString(16).padStart(64, '0')}`
const manifest = (seed: number, more: Partial<ShelfManifest> = {}): ShelfManifest => ({
  digest: digest(seed),
  size: 1,
  children: [],
  subject: undefined,
  timeMs: 0,
  ...more,
})
const shelf = (repository: string, manifests: readonly ShelfManifest[], tags: Record<string, number> = {}): Shelf => ({
  repository,
  manifests: new Map(manifests.map((one) => [one.digest, one])),
  tags: new Map(Object.entries(tags).map(([tag, seed]) => [tag, { digest: digest(seed), timeMs: seed }])),
  damaged: undefined,
})
const now = 1_000_000_000
const never = (_repository: string, _reference: string): boolean => false
const plan = (shelves: readonly Shelf[], rules: readonly RetentionRule[], needs: readonly Need[] = [], recent = never) =>
  planRetention({ shelves, rules, needs, now, recent })
const newest = (count: number): RetentionRule[] => [{ repositories: '**', keep: { newest: count } }]

describe('retention', { timeout: 30_000 }, () => {
  it('keeps the newest tags, young ones and those of a pattern, and says why', () => {
    const images = [1, 2, 3, 4].map((seed) => manifest(seed))
    const app = shelf('app', images, { v1: 1, 'stable-2': 2, v3: 3, v4: 4 })
    const found = plan([app], [{ repositories: 'app', keep: { newest: 1, tags: ['stable-*'] } }])
    expect(found.remove).toEqual([
      {
        repository: 'app',
        tags: [
          { tag: 'v3', digest: digest(3) },
          { tag: 'v1', digest: digest(1) },
        ],
        manifests: expect.arrayContaining([digest(1), digest(3)]),
      },
    ])
    expect(found.keep.map(({ tag, why }) => `${tag}: ${why}`)).toEqual([
      'v4: it is one of the 1 newest',
      'stable-2: its name matches stable-*',
    ])
    expect(plan([app], [{ repositories: 'app', keep: { youngerMs: now - 3 + 1 } }]).remove[0]?.tags.map(({ tag }) => tag)).toEqual([
      'stable-2',
      'v1',
    ])
  })

  it('touches no repository without a rule, and the first rule decides', () => {
    const shelves = [shelf('a/x', [manifest(1)], { old: 1 }), shelf('b', [manifest(2)], { old: 2 })]
    const found = plan(shelves, [
      { repositories: 'a/x', keep: { tags: ['old'] } },
      { repositories: 'a/**', keep: { tags: ['none'] } },
    ])
    expect(found.remove).toEqual([])
    expect(found.keep).toHaveLength(1)
  })

  it('takes with an image what refers to it, and not with it what another tag still needs', () => {
    const parts = [
      manifest(1, { children: [digest(10), digest(11)] }),
      manifest(2, { children: [digest(11)] }),
      manifest(10),
      manifest(11),
      manifest(20, { subject: digest(1) }),
      manifest(21, { subject: digest(20) }),
      manifest(22, { subject: digest(11) }),
    ]
    const app = shelf('app', parts, { v1: 1, v2: 2, [`sha256-${digest(1).slice(7)}.sig`]: 20 })
    const [removed] = plan([app], newest(1)).remove
    expect(new Set(removed?.manifests)).toEqual(new Set([1, 10, 20, 21].map(digest)))
    expect(removed?.tags.map(({ tag }) => tag)).toEqual(['v1', `sha256-${digest(1).slice(7)}.sig`])
    const at = (seed: number): number => removed?.manifests.indexOf(digest(seed)) ?? -1
    expect(at(1)).toBeLessThan(at(10))
    expect(at(21)).toBeLessThan(at(20))
    expect(at(20)).toBeLessThan(at(1))
  })

  it('protects what is needed in every repository: a bundle, its images in the mirror, their signatures', () => {
    const bundles = shelf('bundles/app', [manifest(1, { children: [digest(5), digest(6)] }), manifest(5), manifest(6), manifest(2)], {
      '1.0': 1,
      '2.0': 2,
    })
    const mirror = shelf('mirror/registry.example/app', [manifest(6), manifest(7, { subject: digest(6) }), manifest(8)], {
      old: 6,
      older: 8,
    })
    const found = plan([bundles, mirror], newest(1), [{ digest: digest(1), why: 'cluster alpha runs it' }])
    expect(found.remove).toEqual([])
    expect(found.keep.filter(({ why }) => why === 'cluster alpha runs it').map(({ tag }) => tag)).toEqual(['1.0', 'old'])
  })

  it('leaves alone what somebody may be about to rely on', () => {
    const app = shelf('app', [manifest(1), manifest(2)], { v1: 1, v2: 2 })
    const recent = (_: string, reference: string): boolean => reference === 'v1' || reference === digest(1)
    expect(plan([app], newest(1), [], recent)).toMatchObject({
      remove: [],
      keep: [{ tag: 'v2' }, { tag: 'v1', why: expect.stringContaining('a moment ago') }],
    })
  })

  it('takes untagged manifests only when the rule says so, and never what an untagged one that stays holds', () => {
    const old = { timeMs: 0 }
    const app = shelf('app', [manifest(1, old), manifest(2, { children: [digest(3)], timeMs: now }), manifest(3, old), manifest(4, old)], {
      v4: 4,
    })
    expect(plan([app], newest(1)).remove).toEqual([])
    expect(plan([app], [{ repositories: '**', keep: { newest: 1 }, untaggedAfterMs: 1000 }]).remove).toEqual([
      { repository: 'app', tags: [], manifests: [digest(1)] },
    ])
  })

  it('leaves a repository alone in which a manifest cannot be read', () => {
    const damaged = { ...shelf('app', [manifest(1), manifest(2)], { v1: 1, v2: 2 }), damaged: digest(9) }
    expect(plan([damaged], newest(1))).toMatchObject({ remove: [], skipped: [{ repository: 'app' }] })
  })

  it('never takes what can be reached from what is needed, nor from a tag that stays, whatever the registry holds', () => {
    const seeds = fc.integer({ min: 0, max: 15 })
    // Manifests hold only those of higher numbers: content has no cycles.
    const content = fc.array(
      fc.record({
        children: fc.array(seeds, { maxLength: 3 }),
        subject: fc.option(seeds, { nil: undefined }),
        time: fc.integer({ min: 0, max: now }),
      }),
      { minLength: 16, maxLength: 16 },
    )
    const repositories = fc.array(
      fc.record({
        holds: fc.uniqueArray(seeds, { minLength: 1, maxLength: 12 }),
        tags: fc.dictionary(fc.constantFrom('v1', 'v2', 'v3', 'v4', 'stable'), seeds),
      }),
      { minLength: 1, maxLength: 4 },
    )
    const rule = fc.record({
      repositories: fc.constantFrom('**', 'r0', 'r1', 'r*'),
      keep: fc.constantFrom({ newest: 1 }, { newest: 2, tags: ['stable'] }, { youngerMs: now / 2 }, { tags: ['none'] }),
      untaggedAfterMs: fc.option(fc.integer({ min: 1, max: now }), { nil: undefined }),
    })
    fc.assert(
      fc.property(
        content,
        repositories,
        fc.array(rule, { minLength: 1, maxLength: 3 }),
        fc.uniqueArray(seeds, { maxLength: 3 }),
        (all, found, rules, needed) => {
          const manifests = all.map(({ children, subject, time }, seed) =>
            manifest(seed, {
              children: children.filter((child) => child > seed).map(digest),
              subject: subject === undefined || subject === seed ? undefined : digest(subject),
              timeMs: time,
            }),
          )
          const shelves = found.map(({ holds, tags }, at) =>
            shelf(
              `r${at}`,
              manifests.filter((_, seed) => holds.includes(seed)),
              Object.fromEntries(Object.entries(tags).filter(([, seed]) => holds.includes(seed))),
            ),
          )
          const { remove, keep } = plan(
            shelves,
            rules,
            needed.map((seed) => ({ digest: digest(seed), why: 'needed' })),
          )
          const reach = (roots: readonly string[], within: readonly Shelf[]): Set<string> => {
            const reached = new Set(roots)
            for (let grown = -1; grown !== reached.size; ) {
              grown = reached.size
              for (const { manifests: held } of within)
                for (const one of held.values()) {
                  if (reached.has(one.digest)) for (const child of one.children) reached.add(child)
                  if (one.subject !== undefined && reached.has(one.subject)) reached.add(one.digest)
                }
            }
            return reached
          }
          const protectedEverywhere = reach(needed.map(digest), shelves)
          for (const { repository, manifests: gone, tags } of remove) {
            const here = shelves.filter((one) => one.repository === repository)
            const staying = reach(
              keep.filter((one) => one.repository === repository).map((one) => one.digest),
              here,
            )
            for (const one of gone) {
              expect(protectedEverywhere.has(one)).toBe(false)
              expect(staying.has(one)).toBe(false)
            }
            for (const tag of tags) expect(protectedEverywhere.has(tag.digest)).toBe(false)
            // Nothing that stays holds what is gone.
            for (const one of here[0]?.manifests.values() ?? [])
              if (!gone.includes(one.digest)) for (const child of one.children) expect(gone).not.toContain(child)
          }
        },
      ),
      { numRuns: 1000 },
    )
  })
})
