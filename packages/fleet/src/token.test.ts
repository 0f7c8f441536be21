import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createJoinToken } from './token.ts'

describe('a join token', () => {
  it('says for whom it is, is kept as its hash alone, and ends after half an hour', () => {
    const { token, secret } = createJoinToken('charlie', new Date('2030-01-01T00:00:00Z'))
    expect(token).toMatch(/^charlie\.[\w-]{43}$/)
    expect(JSON.stringify(secret)).not.toContain(token)
    expect(secret).toMatchObject({
      metadata: { name: 'join-charlie' },
      stringData: { 'token-sha256': createHash('sha256').update(token).digest('hex'), 'expires-at': '2030-01-01T00:30:00.000Z' },
    })
  })
})
