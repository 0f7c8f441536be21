import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parsePath, pathText, type Step } from './path.ts'

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ key: fc.string({ minLength: 1, unit: 'grapheme' }) }),
  fc.record({ index: fc.integer({ min: 0, max: 999 }) }),
  fc.constant<Step>({ all: true }),
  fc.record({ where: fc.constantFrom('name', 'port'), is: fc.string() }),
)

describe('a path to a field', () => {
  it('is read as people write it', () => {
    expect(parsePath('spec.template.spec.containers[name=web].env[*].value')).toHaveLength(8)
    expect(parsePath('data["app.conf"]')).toEqual([{ key: 'data' }, { key: 'app.conf' }])
    expect(parsePath('rules[0].verbs')).toEqual([{ key: 'rules' }, { index: 0 }, { key: 'verbs' }])
  })

  it('is written so that it reads back the same', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 6 }), (steps) => {
        expect(parsePath(pathText(steps))).toEqual(steps)
      }),
    )
  })

  it.each(['.a', 'a..b', 'a.', 'a[', 'a[x', 'a[0]b', 'a b', 'a.[0]', '[name=x'])('%s is refused', (text) => {
    expect(() => parsePath(text)).toThrow('is no path')
  })

  it('is read or refused, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 600 }), (text) => {
        try {
          parsePath(text)
        } catch (error) {
          expect(error).toMatchObject({ code: 'Malformed' })
        }
      }),
    )
  })
})
