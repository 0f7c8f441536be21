import { describe, expect, it } from 'vitest'
import { basic, reader, startRegistry, writer } from '../../testing/registry.ts'
import { LoginGuard } from './login-guard.ts'

describe('wrong passwords', () => {
  it('are answered 429 after ten different ones, the right one too, until a minute is over', async () => {
    let now = 1_000_000
    const registry = await startRegistry({ now: () => now })
    const ask = (credentials: { username: string; password: string }): Promise<Response> =>
      registry.raw('GET', '/v2/', { headers: { authorization: basic(credentials) } })
    expect((await ask(reader)).status).toBe(200)
    for (let guess = 0; guess < 10; guess += 1) expect((await ask({ ...writer, password: `guess ${guess}` })).status).toBe(401)
    const refused = await ask(writer)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '60'])
    expect(await refused.json()).toMatchObject({ errors: [{ code: 'TOOMANYREQUESTS' }] })
    // Who was let in before is not shut out by a guesser at his address.
    expect((await ask(reader)).status).toBe(200)
    now += 60_000
    expect((await ask(writer)).status).toBe(200)
  })

  it('that are the same one over and over are no guesses: a client that missed a change is only told so', async () => {
    const registry = await startRegistry()
    const old = { headers: { authorization: basic({ ...writer, password: 'old' }) } }
    for (let round = 0; round < 30; round += 1) expect((await registry.raw('GET', '/v2/', old)).status).toBe(401)
    expect((await registry.raw('GET', '/v2/')).status).toBe(200)
  })

  it('of ever more addresses take no more memory than those of a thousand', () => {
    const guard = new LoginGuard(() => 0)
    for (let guess = 0; guess < 10; guess += 1) guard.wrong('first', `${guess}`)
    expect(guard.wait('first', 'x')).toBe(60)
    for (let address = 0; address < 1024; address += 1) guard.wrong(`${address}`, 'x')
    expect(guard.wait('first', 'x')).toBe(0)
  })
})
