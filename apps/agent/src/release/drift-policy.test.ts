import { describe, expect, it } from 'vitest'
import { driftPolicyOf } from './drift-policy.ts'

describe('what is done about drift', () => {
  it('is to prevent it, where nobody says otherwise', () => {
    for (const settings of [undefined, {}, { drift: {} }, { drift: { ignore: [] } }]) expect(driftPolicyOf(settings).mode).toBe('prevent')
    for (const mode of ['correct', 'detect', 'prevent'] as const) expect(driftPolicyOf({ drift: { mode } }).mode).toBe(mode)
  })
})
