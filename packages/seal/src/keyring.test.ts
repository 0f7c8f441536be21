import { beforeAll, describe, expect, it } from 'vitest'
import { createSealingKey, formatKeyring, newKeyDue, type PrivateSealingKey, parseKeyring, withNewKey, withoutUnused } from './index.ts'

const day = 86_400_000
const at = (days: number) => new Date(Date.UTC(2030, 0, 1) + days * day)
let first: PrivateSealingKey
let second: PrivateSealingKey

beforeAll(async () => {
  ;[first, second] = await Promise.all([createSealingKey(), createSealingKey()])
})

describe('sealing keys', () => {
  it('are read back as they were stored, the present one first', async () => {
    const keyring = withNewKey(withNewKey([], first, at(0)), second, at(10))
    expect(await parseKeyring(formatKeyring(keyring))).toEqual(keyring)
    expect(keyring.map(({ key, retiredAt }) => [key.kid, retiredAt])).toEqual([
      [second.kid, undefined],
      [first.kid, at(10).toISOString()],
    ])
  })

  it('that are damaged are said to be, by the name of the entry and without what it holds', async () => {
    const entries = formatKeyring(withNewKey([], first, at(0)))
    const [[name = '', text = ''] = []] = Object.entries(entries)
    for (const damaged of [text.slice(0, 40), text.replace(first.kid, second.kid), text.replace(first.x, second.x)]) {
      const refusal: unknown = await parseKeyring({ [name]: damaged }).catch((error: unknown) => error)
      expect(refusal).toMatchObject({ code: 'KeyInvalid', message: expect.stringContaining(name) as string })
      expect((refusal as Error).message).not.toContain(first.d)
    }
  })

  it('are due when there is none, after a year, and when asked for after the present one was made', () => {
    const keyring = withNewKey([], first, at(0))
    const options = { now: at(10), maxAgeMs: 365 * day }
    expect(newKeyDue([], options)).toBe(true)
    expect(newKeyDue(keyring, options)).toBe(false)
    expect(newKeyDue(keyring, { ...options, now: at(365) })).toBe(true)
    expect(newKeyDue(keyring, { ...options, askedAt: at(-1).toISOString() })).toBe(false)
    expect(newKeyDue(keyring, { ...options, askedAt: at(9).toISOString() })).toBe(true)
  })

  it('go when their grace is over and nothing is sealed to them, never before, and the present one never', () => {
    const keyring = withNewKey(withNewKey([], first, at(0)), second, at(10))
    const kept = (days: number, ...used: string[]) =>
      withoutUnused(keyring, { now: at(days), graceMs: 30 * day, used: new Set(used) }).map(({ key }) => key.kid)
    expect(kept(39)).toEqual([second.kid, first.kid])
    expect(kept(40)).toEqual([second.kid])
    expect(kept(4000, first.kid)).toEqual([second.kid, first.kid])
    expect(kept(4000)).toEqual([second.kid])
  })
})
