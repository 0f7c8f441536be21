import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Claimant, Handover } from './handover.ts'

/** A cluster as the rules see it: who holds each object, by its uid, and what each release wants. */
interface World {
  readonly live: Map<string, { holder: string; uid: string }>
  readonly releases: Map<string, Claimant>
  channel: { generation: number; releases: { name: string }[] }
  readonly wanted: Map<string, ReadonlySet<string>>
  made: number
}

const keyOf = (name: string): string => `ConfigMap//${name}`
const entry = (name: string, uid?: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', name, ...(uid === undefined ? {} : { uid }) })

function rulesOf({ channel, releases }: World): Handover {
  return new Handover(channel as never, { get: (name) => releases.get(name), all: () => [...releases.values()] })
}

type Mutable = { -readonly [K in keyof Claimant]: Claimant[K] }

/** One pass over one release, as the agent makes it: it plans, applies what it may, and then takes away what nobody wants. */
function pass(world: World, name: string, waits: boolean): void {
  const release = (world.releases.get(name) ?? { name, inventory: [], wishes: undefined, settled: undefined }) as Mutable
  const wanted = world.wanted.get(name)
  if (wanted !== undefined) {
    world.releases.set(name, release)
    if (waits) return
    release.wishes = { target: 'x', generation: world.channel.generation, keys: new Set([...wanted].map(keyOf)) }
    for (const object of wanted) apply(world, release, object)
  }
  if (!world.releases.has(name) || rulesOf(world).undecided(name).length > 0) return
  for (const { name: object } of [...release.inventory]) {
    if (wanted?.has(object) === true) continue
    const heir = rulesOf(world).heirOf(keyOf(object), name)
    if (heir !== undefined && world.live.get(object)?.holder === name) continue
    if (heir === undefined && world.live.get(object)?.holder === name) {
      const stillWanted = [...world.wanted.values()].some((keys) => keys.has(object))
      expect(stillWanted, `${object} is deleted by ${name} and is wanted`).toBe(false)
      world.live.delete(object)
    }
    release.inventory = release.inventory.filter((one) => one.name !== object)
  }
  if (wanted === undefined && release.inventory.length === 0) world.releases.delete(name)
}

function apply(world: World, release: Mutable, object: string): void {
  const live = world.live.get(object)
  if (live !== undefined && live.holder !== release.name && !rulesOf(world).letsGo(live.holder, keyOf(object))) return
  const uid = live?.uid ?? `uid-${world.made++}`
  world.live.set(object, { holder: release.name, uid })
  release.inventory = [...release.inventory.filter((one) => one.name !== object), entry(object, uid)]
}

const names = ['a', 'b', 'c']
const objects = ['one', 'two', 'three', 'four']
/** Which release wants each object, or none of them. */
const channel = fc.tuple(...objects.map(() => fc.constantFrom(...names, undefined)))
const order = fc.array(fc.tuple(fc.constantFrom(...names), fc.boolean()), { minLength: 0, maxLength: 12 })

describe('objects that move between releases, over any sequence of channels and in any order of work', () => {
  it('are never deleted while somebody wants them, keep their uid, and nothing that nobody wants stays', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(channel, order), { minLength: 1, maxLength: 8 }), (channels) => {
        const world: World = { live: new Map(), releases: new Map(), channel: { generation: 0, releases: [] }, wanted: new Map(), made: 0 }
        for (const [holders, passes] of channels) {
          world.wanted.clear()
          for (const name of names) {
            const keys = objects.filter((_, at) => holders[at] === name)
            if (keys.length > 0) world.wanted.set(name, new Set(keys))
          }
          const before = new Map([...world.live].map(([object, { uid }]) => [object, uid]))
          world.channel = { generation: world.channel.generation + 1, releases: [...world.wanted.keys()].map((name) => ({ name })) }
          for (const [name, waits] of passes) pass(world, name, waits)
          // The next channel may come before this one is done; the last has all the time that it needs.
          if (passes.length % 2 === 0) continue
          settle(world)
          for (const [object, uid] of before) if (holderIn(world, object) !== undefined) expect(world.live.get(object)?.uid).toBe(uid)
        }
        settle(world)
        const wanted = objects.filter((object) => holderIn(world, object) !== undefined)
        expect([...world.live.keys()].sort()).toEqual(wanted.sort())
        for (const object of wanted) expect(world.live.get(object)?.holder).toBe(holderIn(world, object))
        expect([...world.releases.keys()].sort()).toEqual([...world.wanted.keys()].sort())
      }),
      { numRuns: 500 },
    )
  })
})

function settle(world: World): void {
  for (let round = 0; round < 6; round++) for (const name of names) pass(world, name, false)
}

function holderIn(world: World, object: string): string | undefined {
  return [...world.wanted].find(([, keys]) => keys.has(object))?.[0]
}
