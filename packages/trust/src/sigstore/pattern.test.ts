import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TrustError } from '../errors.ts'
import { compilePattern } from './pattern.ts'

const refusal = expect.objectContaining({ code: 'AuthorityInvalid' })

describe('a pattern', () => {
  it.each<[string, string[], string[]]>([
    [
      'https://git\\.example/team/.*',
      ['https://git.example/team/', 'https://git.example/team/app'],
      ['https://gitxexample/team/app', 'x https://git.example/team/app'],
    ],
    ['^(alice|bob)@example\\.test$', ['alice@example.test', 'bob@example.test'], ['carol@example.test', 'alice@example.test.evil', '']],
    ['v\\d{1,3}(\\.[0-9a-f]+)*', ['v1', 'v123.af.0'], ['v', 'v1234', 'v1.g']],
    ['[^/]+/[\\w-]?x', ['a/x', 'a/-x'], ['a/b/x', '/x']],
    ['a{2}|b{2,}', ['aa', 'bb', 'bbbb'], ['a', 'aaa', 'b']],
    ['.', ['é', '\u{1f600}'], ['', '\n', 'ab']],
    ['a|', ['a', ''], ['b']],
    ['[\\]a-c.]+', [']', 'ab.'], ['d']],
  ])('%s holds for the whole of a name or not at all', (source, good, bad) => {
    const pattern = compilePattern(source)
    for (const text of good) expect([text, pattern.matches(text)]).toEqual([text, true])
    for (const text of bad) expect([text, pattern.matches(text)]).toEqual([text, false])
  })

  it.each([
    '',
    '(',
    ')',
    'a)',
    '(?i)a',
    '(?=a)',
    'a**',
    'a+?',
    '*',
    '\\1',
    '\\b',
    '\\p{L}',
    '[b-a]',
    '[a',
    'a{',
    'a{3,2}',
    'a{101}',
    'a^b',
    'a$b',
    '[[:alpha:]]',
    `${'('.repeat(40)}a${')'.repeat(40)}`,
    'a'.repeat(513),
    '((a{100}){100}){100}',
  ])('%s is refused rather than misread', (source) => expect(() => compilePattern(source)).toThrow(refusal))

  it('that would stall another engine takes its time by length only', () => {
    expect(compilePattern('(a*)*b').matches('a'.repeat(4000))).toBe(false)
    expect(compilePattern('(a|a|aa)+').matches(`${'a'.repeat(4000)}!`)).toBe(false)
    expect(compilePattern('.*').matches('a'.repeat(5000))).toBe(false)
  })

  it('agrees with the language’s own engine wherever both understand it', () => {
    const atom = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '(a|b)', '(ab)?', 'a*', 'b+', 'a{1,2}', '\\.', '\\d')
    fc.assert(
      fc.property(
        fc.array(atom, { minLength: 1, maxLength: 6 }),
        fc.array(fc.constantFrom('a', 'b', 'c', '.', '1'), { maxLength: 8 }),
        (atoms, letters) => {
          const [source, text] = [atoms.join(''), letters.join('')]
          expect(compilePattern(source).matches(text)).toBe(new RegExp(`^(?:${source})$`, 'u').test(text))
        },
      ),
    )
  })

  it('of any text is compiled or refused, and nothing else is thrown', () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 40, unit: fc.constantFrom(...'ab()[]{}*+?|\\^$.-,01:') }),
        fc.string({ maxLength: 20 }),
        (source, text) => {
          try {
            compilePattern(source).matches(text)
          } catch (error) {
            expect(error).toBeInstanceOf(TrustError)
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})
