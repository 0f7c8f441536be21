import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { withoutSecrets } from './masking.ts'

const key = `-----BEGIN PRIVATE KEY-----\n${'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg'}\nqGSM49AwEHBG0\n-----END PRIVATE KEY-----\n`

describe('a text without secrets', () => {
  it.each([
    ['as it is', 'tried s3cr3t "one"', 's3cr3t "one"'],
    ['in JSON', `{"password":${JSON.stringify('s3cr3t "one"')}}`, 's3cr3t "one"'],
    ['in a URL', `postgres://shop:${encodeURIComponent('p@ss/word')}@db`, 'p@ss/word'],
    ['in base64', `Authorization: ${Buffer.from('p@ss/word').toString('base64')}`, 'p@ss/word'],
    ['in base64 without padding', `${Buffer.from('p@ss/words').toString('base64url')}.`, 'p@ss/words'],
    ['with the end of its line', 'echoes hunter22', 'hunter22\n'],
  ])('does not have them %s', (_, text, secret) => {
    const shown = withoutSecrets(text, [secret])
    expect(shown).toContain('****')
    for (const part of [secret.trim(), JSON.stringify(secret.trim()).slice(1, -1), encodeURIComponent(secret.trim())])
      expect(shown).not.toContain(part)
    expect(shown).not.toContain(Buffer.from(secret.trim()).toString('base64').replace(/=+$/, ''))
  })

  it('does not have them split over lines, nor a part of one where it was cut', () => {
    const lines = key.trim().split('\n')
    expect(withoutSecrets(`read ${lines.slice(1).join(' | ')} and gave up`, [key])).toBe('read **** | **** | **** and gave up')
    expect(withoutSecrets('the password is correct-ho', ['correct-horse'])).toBe('the password is ****')
    const long = 'x7'.repeat(120)
    const wrapped = Buffer.from(long).toString('base64').replace(/.{76}/g, '$&\n')
    expect(withoutSecrets(wrapped, [long]).replaceAll('\n', '')).toMatch(/^\*+$/)
  })

  it('has no token of an account, whether or not it is known', () => {
    expect(withoutSecrets('Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzaG9wIn0.c2lnbmF0dXJl refused', [])).toBe('Bearer **** refused')
  })

  it('says all else as it was: no value, or none longer than a short word, changes nothing', () => {
    expect(withoutSecrets('no such table: items', ['abc', '', 'on\noff'])).toBe('no such table: items')
  })

  it('never has a value in it, wherever that stands', () => {
    const secret = fc.string({ minLength: 8, maxLength: 40 }).filter((text) => text.trim().length >= 8 && !text.includes('*'))
    fc.assert(
      fc.property(fc.string(), secret, fc.string(), (before, value, after) => {
        expect(withoutSecrets(`${before}${value}${after}`, [value])).not.toContain(value)
      }),
    )
  })
})
