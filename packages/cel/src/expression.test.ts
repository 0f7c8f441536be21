import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CelError } from './errors.ts'
import { compileExpressions } from './expression.ts'

const options = { variables: { object: 'dyn' }, gives: 'bool' } as const

/** Its value, or the code of the error. */
async function answer(text: string, object: unknown): Promise<unknown> {
  try {
    const [expression] = await compileExpressions([text], options)
    return expression?.evaluate({ object })
  } catch (error) {
    expect(error).toBeInstanceOf(CelError)
    return (error as CelError).code
  }
}

describe('an expression', { timeout: 60_000 }, () => {
  it('tells a field that is not there from what cannot be answered', async () => {
    expect(await answer('object.a == 1', { a: 1 })).toBe(true)
    expect(await answer('object.a.b == 1', { a: {} })).toBe('Missing')
    expect(await answer('object.a < "x"', { a: 1 })).toBe('Failed')
    expect(await answer('object.a <', { a: 1 })).toBe('Invalid')
    expect(await answer('"a text"', {})).toBe('Invalid')
  })

  it('is answered or refused, whatever is written and whatever it looks at', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.mixedCase(fc.constant('object.a.all(x, x > 1)'))), fc.jsonValue(), async (text, object) => {
        await answer(text, object)
        await answer('object.a == 1 || object[0] == 1 || has(object.b) || object.exists(x, x == 1)', object)
      }),
    )
  })
})
