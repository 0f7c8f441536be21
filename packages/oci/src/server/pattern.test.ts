import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isPattern, matches } from './pattern.ts'

describe('a pattern of repositories', () => {
  it.each([
    ['team/app', 'team/app', true],
    ['team/app', 'team/apps', false],
    ['team/*', 'team/app', true],
    ['team/*', 'team/app/web', false],
    ['team/*', 'team', false],
    ['team/**', 'team/app/web', true],
    ['team/**', 'team', true],
    ['team/**', 'teams/app', false],
    ['**', 'anything/at/all', true],
    ['*', 'one/two', false],
    ['**/app', 'a/b/app', true],
    ['channels/alpha', 'channels/alpha2', false],
    ['v*', 'v1.2', true],
  ])('%s and %s: %s', (pattern, name, expected) => {
    expect(matches(pattern, name)).toBe(expected)
  })

  it('means what a regular expression would mean, for any pattern and name', () => {
    const part = fc.constantFrom('a', 'b', '/', '*', '**', '.')
    const patterns = fc.array(part, { minLength: 1, maxLength: 8 }).map((parts) => parts.join('').replace(/\*{3,}/g, '**'))
    const names = fc.array(fc.constantFrom('a', 'b', '/', '.'), { maxLength: 10 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(patterns, names, (pattern, name) => {
        const source = pattern.replace(/\*\*|\*|\./g, (found) => ({ '**': '.*', '*': '[^/]*', '.': '\\.' })[found] ?? '')
        const also = pattern.endsWith('/**')
          ? pattern.slice(0, -3).replace(/\*\*|\*|\./g, (found) => ({ '**': '.*', '*': '[^/]*', '.': '\\.' })[found] ?? '')
          : undefined
        const expected = new RegExp(`^${source}$`).test(name) || (also !== undefined && matches(pattern.slice(0, -3), name))
        expect(matches(pattern, name)).toBe(expected)
      }),
    )
  })

  it('of the worst kind takes no time', () => {
    const pattern = '**a'.repeat(80)
    expect(isPattern(pattern)).toBe(true)
    const started = performance.now()
    expect(matches(pattern, 'a'.repeat(254) + 'b')).toBe(false)
    expect(performance.now() - started).toBeLessThan(10_000)
  })

  it('has no other characters than names and stars', () => {
    for (const text of ['', '***', 'a b', '[a]', 'a?', 'x'.repeat(256)]) expect(isPattern(text)).toBe(false)
  })
})
