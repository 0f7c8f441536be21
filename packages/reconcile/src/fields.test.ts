import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  asFields,
  type Fields,
  formatPath,
  fromMembers,
  hashFields,
  leaves,
  locate,
  members,
  missing,
  outside,
  type Path,
  pointer,
  touches,
  union,
  valueAt,
} from './fields.ts'

const element = fc.oneof(
  fc.constantFrom('f:spec', 'f:a', 'f:b', 'f:constructor', 'f:__proto__', 'f:example.test/x', 'i:0', 'v:"x"'),
  fc.constantFrom('web', 'db').map((name) => `k:${JSON.stringify({ name })}`),
)
const path = fc.array(element, { minLength: 1, maxLength: 4 })
const paths = fc.array(path, { maxLength: 12 })
const key = (one: Path): string => JSON.stringify(one)
const keys = (all: readonly Path[]): string[] => [...new Set(all.map(key))].sort()

/** The same set with its elements in another order. */
function shuffled(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields)
      .reverse()
      .map(([name, node]) => [name, shuffled(node)]),
  )
}

describe('a set of field paths', () => {
  it('holds exactly its members, in whatever form the server writes it', () => {
    fc.assert(
      fc.property(paths, (all) => {
        expect(keys(members(fromMembers(all)))).toEqual(keys(all))
      }),
    )
  })

  it('has one hash, however its elements are ordered, and another one for another set', () => {
    fc.assert(
      fc.property(paths, paths, (a, b) => {
        expect(hashFields(shuffled(fromMembers(a)))).toBe(hashFields(fromMembers(a)))
        expect(hashFields(fromMembers(a)) === hashFields(fromMembers(b))).toBe(key(keys(a)) === key(keys(b)))
      }),
    )
  })

  it('misses nothing of itself, and what it misses of another is the other’s and not its own', () => {
    fc.assert(
      fc.property(paths, paths, (a, b) => {
        const [x, y] = [fromMembers(a), fromMembers(b)]
        expect(missing(x, x)).toEqual([])
        expect(outside(x, x)).toEqual([])
        const [mine, theirs] = [new Set(keys(a)), new Set(keys(b))]
        for (const one of missing(x, y)) {
          expect(mine.has(key(one))).toBe(true)
          expect(theirs.has(key(one))).toBe(false)
        }
        expect(missing(x, y).length === 0).toBe(keys(a).every((one) => theirs.has(one)))
      }),
    )
  })

  it('never lists as outside what the other holds something of', () => {
    fc.assert(
      fc.property(paths, paths, (a, b) => {
        const [x, y] = [fromMembers(a), fromMembers(b)]
        for (const one of outside(x, y)) {
          expect(touches(x, one)).toBe(true)
          expect(touches(y, one)).toBe(false)
        }
      }),
    )
  })

  it('joins to a set with the members of both', () => {
    fc.assert(
      fc.property(paths, paths, (a, b) => {
        expect(keys(members(union(fromMembers(a), fromMembers(b))))).toEqual(keys([...a, ...b]))
      }),
    )
  })

  it('has as leaves the members with none below them', () => {
    const fields = { 'f:spec': { '.': {}, 'f:replicas': {}, 'f:template': { 'f:metadata': {} } }, 'f:data': {} }
    expect(leaves(fields)).toEqual([['f:spec', 'f:replicas'], ['f:spec', 'f:template', 'f:metadata'], ['f:data']])
  })

  it('reads anything without failing', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(typeof asFields(value)).toBe('object')
      }),
    )
  })
})

describe('a path', () => {
  const object = {
    metadata: { annotations: { 'example.test/a~b': '1' }, finalizers: ['x', 'y'] },
    spec: { containers: [{ name: 'a' }, { name: 'web', ports: [{ containerPort: 80, protocol: 'TCP', hostPort: 80 }] }] },
  }

  it.each([
    [['f:spec', 'f:containers', 'k:{"name":"web"}'], '.spec.containers[name=web]', '/spec/containers/1'],
    [
      ['f:spec', 'f:containers', 'k:{"name":"web"}', 'f:ports', 'k:{"containerPort":80,"protocol":"TCP"}', 'f:hostPort'],
      '.spec.containers[name=web].ports[containerPort=80,protocol=TCP].hostPort',
      '/spec/containers/1/ports/0/hostPort',
    ],
    [['f:metadata', 'f:finalizers', 'v:"y"'], '.metadata.finalizers[="y"]', '/metadata/finalizers/1'],
    [
      ['f:metadata', 'f:annotations', 'f:example.test/a~b'],
      '.metadata.annotations["example.test/a~b"]',
      '/metadata/annotations/example.test~1a~0b',
    ],
    [['f:metadata', 'f:finalizers', 'i:0'], '.metadata.finalizers[0]', '/metadata/finalizers/0'],
  ])('%j reads as %s and leads to %s', (one, text, where) => {
    expect(formatPath(one)).toBe(text)
    expect(pointer(locate(object, one) ?? [])).toBe(where)
  })

  it('leads to its value, and to none where the object has no such field', () => {
    expect(valueAt(object, ['f:spec', 'f:containers', 'k:{"name":"web"}', 'f:name'])).toBe('web')
    expect(valueAt(object, ['f:spec', 'f:containers', 'k:{"name":"gone"}', 'f:name'])).toBeUndefined()
  })

  it.each([
    [['f:nothing']],
    [['f:spec', 'f:containers', 'k:{"name":"gone"}']],
    [['f:spec', 'f:containers', 'k:broken']],
    [['f:constructor']],
    [['x']],
  ])('%j leads nowhere in an object without it', (one) => expect(locate(object, one)).toBeUndefined())
})
