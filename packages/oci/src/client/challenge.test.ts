import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseChallenges } from './challenge.ts'

// The same cases in each run: a red test is red again.
fc.configureGlobal({ seed: 20_261_124 })

function read(header: string): [string, Record<string, string>][] {
  return parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])
}

describe('challenges', () => {
  it('are read with their parameters, several in one header', () => {
    expect(read('Basic realm="a, b", Bearer realm="https://auth.example/token",service=reg , scope="repository:a:pull,push"')).toEqual([
      ['basic', { realm: 'a, b' }],
      ['bearer', { realm: 'https://auth.example/token', service: 'reg', scope: 'repository:a:pull,push' }],
    ])
    expect(read('Bearer realm="say \\"x\\""')).toEqual([['bearer', { realm: 'say "x"' }]])
    expect(read('Negotiate')).toEqual([['negotiate', {}]])
  })

  it('come back as they were written', () => {
    const value = fc.string({ unit: fc.constantFrom('a', '"', '\\', ' ', ',', '=', '/') })
    fc.assert(
      fc.property(value, value, (a, b) => {
        const quote = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`
        expect(read(`Bearer a=${quote(a)}, b=${quote(b)}`)).toEqual([['bearer', { a, b }]])
      }),
    )
  })

  it('never fail or hang, whatever the header', () => {
    fc.assert(
      fc.property(fc.string(), (header) => {
        expect(parseChallenges(header).every(({ scheme }) => scheme !== '')).toBe(true)
      }),
    )
    expect(parseChallenges('"'.repeat(100_000))).toEqual([])
    expect(parseChallenges(`a b="${'\\'.repeat(100_000)}`).length).toBeLessThan(3)
  })
})
