import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { parse } from 'yaml'
import { canonicalYaml, withoutServerFields } from './canonical.ts'
import { readCanonicalYaml } from './canonical-read.ts'
import { readDocuments } from './documents.ts'
import type { KubeObjectLike } from './object.ts'

// Thousands of generated cases: longer on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

const configMap = (rest: Record<string, unknown>): KubeObjectLike => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'x' },
  ...rest,
})
const readBack = (text: string): unknown =>
  readDocuments(text, { file: 'canonical.yaml', code: 'ManifestInvalid', aliases: false })[0]?.value

const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: fc.constantFrom('a', ' ', '\n', '\t', '-', ':', '#', '\r', '0', '\u0085', '\u2028', '\ufeff', '"', "'") }),
  fc.constantFrom(
    'yes',
    'No',
    'on',
    'y',
    'null',
    '~',
    '',
    '0644',
    '1_000',
    '12:30',
    '2001-01-01',
    '.5',
    '-',
    '---',
    '...',
    '=',
    '<<',
    '!x',
    '&a',
    '*a',
    '|',
    '1e3',
    'a: b',
    'a #b',
    ' a',
    'a ',
    'a:',
  ),
)
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    text,
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    tie('list'),
    tie('map'),
  ),
  list: fc.array(tie('any'), { maxLength: 4 }),
  map: fc.dictionary(
    text.filter((key) => key !== '__proto__' && key !== '<<'),
    tie('any'),
    { maxKeys: 4, noNullPrototype: true },
  ),
})).any

describe('canonical YAML', () => {
  it('reads back as the same object, whatever it holds', () => {
    fc.assert(
      fc.property(value, (data) => {
        const object = configMap({ data })
        expect(readBack(canonicalYaml(object))).toEqual(JSON.parse(JSON.stringify(object)))
      }),
      { numRuns: 1000 },
    )
  })

  it('means the same to a YAML 1.1 and a YAML 1.2 reader', () => {
    fc.assert(
      fc.property(fc.array(text), (data) => {
        const written = canonicalYaml(configMap({ data }))
        expect(parse(written, { version: '1.1' })).toMatchObject({ data })
        expect(parse(written, { version: '1.2' })).toMatchObject({ data })
      }),
      { numRuns: 1000 },
    )
  })

  it('does not depend on the order in which keys were written', () => {
    const one = configMap({ data: { b: '1', a: '2' }, kind: 'ConfigMap' })
    const other = { data: { a: '2', b: '1' }, kind: 'ConfigMap', metadata: { name: 'x' }, apiVersion: 'v1' }
    expect(canonicalYaml(other)).toBe(canonicalYaml(one))
  })

  it('begins with apiVersion, kind, metadata and spec, and sorts the rest', () => {
    const written = canonicalYaml({
      zeta: 1,
      spec: { b: 1, a: 1 },
      alpha: 1,
      kind: 'Thing',
      metadata: { name: 'x', labels: { b: '2', a: 'x y' } },
      apiVersion: 'v1',
    })
    expect(written).toBe(
      'apiVersion: v1\nkind: Thing\nmetadata:\n  labels:\n    a: x y\n    b: "2"\n  name: x\nspec:\n  a: 1\n  b: 1\nalpha: 1\nzeta: 1\n',
    )
  })

  it('keeps text of several lines readable', () => {
    expect(canonicalYaml(configMap({ data: { 'app.conf': 'listen: 80\n\nroot: /srv\n' } }))).toContain(
      '  app.conf: |\n    listen: 80\n\n    root: /srv\n',
    )
  })

  it('drops what only a server writes', () => {
    const cleaned = withoutServerFields({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', ...{ uid: '1', resourceVersion: '2', creationTimestamp: null, managedFields: [], generation: 3 } },
      spec: { template: { metadata: { creationTimestamp: null, labels: { app: 'web' } }, spec: { creationTimestamp: null } } },
      status: { replicas: 1 },
    })
    expect(cleaned).toEqual({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web' },
      spec: { template: { metadata: { labels: { app: 'web' } }, spec: { creationTimestamp: null } } },
    })
  })

  it('refuses an object that no API server would take for its size', () => {
    expect(() => canonicalYaml(configMap({ data: { big: 'x'.repeat(4 * 1024 * 1024) } }))).toThrow(
      expect.objectContaining({ code: 'TooLarge' }),
    )
  })

  it('refuses a key that Go would take for a merge and drop', () => {
    expect(() => canonicalYaml(configMap({ data: { '<<': 'x' } }))).toThrow(expect.objectContaining({ code: 'ManifestInvalid' }))
  })

  it('refuses text that is no Unicode, and values that JSON cannot carry', () => {
    for (const data of ['\ud800', Number.NaN, 1n]) {
      expect(() => canonicalYaml(configMap({ data }))).toThrow(expect.objectContaining({ code: 'ManifestInvalid' }))
    }
  })
})

describe('the reader of canonical YAML', () => {
  it('reads all that is written', () => {
    fc.assert(
      fc.property(value, (data) => {
        const object = configMap({ data })
        expect(readCanonicalYaml(canonicalYaml(object))).toEqual(JSON.parse(JSON.stringify(object)))
      }),
      { numRuns: 1000 },
    )
  })

  it('gives what a YAML reader gives or nothing, whatever is changed in a text', () => {
    const change = fc.record({ at: fc.nat(), cut: fc.nat(3), put: fc.stringMatching(/^[-: \n"'#|>&*!{}[\],a0\\u?%\t+.~<=]{0,3}$/) })
    fc.assert(
      fc.property(value, fc.array(change, { minLength: 1, maxLength: 3 }), (data, changes) => {
        let written = canonicalYaml(configMap({ data }))
        for (const { at, cut, put } of changes) {
          const start = at % (written.length + 1)
          written = written.slice(0, start) + put + written.slice(start + cut)
        }
        const read = readCanonicalYaml(written)
        if (read !== undefined) expect(read).toEqual(readBack(written))
      }),
      { numRuns: 3000 },
    )
  })

  it('is not held up by nesting', () => {
    const deep = Array.from({ length: 5000 }, (_, at) => `${'  '.repeat(at)}a:`).join('\n')
    expect(readCanonicalYaml(`${deep} 1\n`)).toBeUndefined()
    expect(readCanonicalYaml(`a:\n${Array.from({ length: 5000 }, (_, at) => `${'  '.repeat(at)}-`).join('\n')}\n`)).toBeUndefined()
  })
})
