import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { readDocuments } from './documents.ts'
import { BundleError } from './errors.ts'

// Thousands of generated cases: longer on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

const read = (text: string, file = 'app.yaml') => readDocuments(text, { file, code: 'ManifestInvalid' })
const first = (text: string) => read(text)[0]?.value

describe('reading YAML', () => {
  it('reads numbers and booleans as Kubernetes does', () => {
    expect(first('[0644, 0o644, 0x1F, 0b11, 1_000, 08, -5, +3, 1.50, .5, 1e3, yes, Off, ~, 12:30, 2001-01-01, "0644"]')).toEqual([
      420,
      420,
      31,
      3,
      1000,
      8,
      -5,
      3,
      1.5,
      0.5,
      1000,
      true,
      false,
      null,
      '12:30',
      '2001-01-01',
      '0644',
    ])
  })

  it('keeps keys text', () => {
    expect(first('{y: 1, 8080: 2, on: 3}')).toEqual({ y: 1, '8080': 2, on: 3 })
  })

  it('expands anchors and merge keys', () => {
    expect(first('base: &b {a: 1, b: 2}\nx:\n  <<: *b\n  b: 3\n')).toEqual({ base: { a: 1, b: 2 }, x: { a: 1, b: 3 } })
  })

  it('tells document, line and column', () => {
    const documents = read('# a comment\n---\na: 1\n---\nb:\n  - c: 2\n')
    expect(documents.map(({ number, line }) => [number, line])).toEqual([
      [1, 3],
      [2, 5],
    ])
    expect(documents[1]?.position(['b', 0, 'c'])).toBe('app.yaml:6:5')
  })

  it('names the place of a key that occurs twice', () => {
    expect(() => read('a: 1\nb: 2\na: 3\n')).toThrow('app.yaml:3:1: the key "a" occurs twice')
  })

  it.each([
    ['a tab as indentation', 'a:\n\tb: 1'],
    ['an unknown tag', 'a: !secret b'],
    ['a number that would lose digits', 'a: 12345678901234567890'],
    ['no number', 'a: .inf'],
    ['a prototype', '__proto__: {a: 1}'],
    ['an alias without anchor', 'a: *b'],
    ['nesting without end', '['.repeat(20_000)],
    ['flow nesting past the bound', `a: ${'['.repeat(200)}${']'.repeat(200)}`],
  ])('refuses %s', (_what, text) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ code: 'ManifestInvalid' }))
  })

  it('refuses an alias bomb before it grows', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    for (let at = 1; at < 12; at += 1) lines.push(`a${at}: &a${at} [${Array.from({ length: 10 }, () => `*a${at - 1}`).join(', ')}]`)
    expect(() => read(lines.join('\n'))).toThrow(BundleError)
  })

  it('refuses digits that JSON would lose', () => {
    expect(() => read('{"a": 12345678901234567890}', 'app.json')).toThrow('too large to be carried exactly')
  })

  it('reads or refuses, whatever bytes come', () => {
    const noise = fc.string({
      unit: fc.constantFrom(
        'a',
        ':',
        ' ',
        '\n',
        '-',
        '[',
        ']',
        '{',
        '}',
        '&',
        '*',
        '!',
        '|',
        '>',
        '"',
        '#',
        '%',
        '\t',
        '?',
        ',',
        '<',
        '1',
        '\u0000',
      ),
    })
    fc.assert(
      fc.property(fc.oneof(noise, fc.string({ unit: 'binary' })), fc.constantFrom('a.yaml', 'a.json'), (text, file) => {
        try {
          read(text, file)
        } catch (error) {
          expect(error).toBeInstanceOf(BundleError)
        }
      }),
      { numRuns: 1500 },
    )
  })
})
