import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { administer, createToken } from '../../testing/administration.ts'
import { failure, pushImage } from '../../testing/content.ts'
import { basic, startRegistry, temporaryDirectory } from '../../testing/registry.ts'
import { serveRegistry } from '../serve.ts'
import { allows, parseScope } from './scopes.ts'

const tokenAs = (token: string) => ({ username: 'any', password: token })

describe('a scope', () => {
  it('is read as it is written, and nothing else is', () => {
    expect(parseScope('repository:team/**:pull,push')).toEqual({ kind: 'repository', pattern: 'team/**', actions: ['pull', 'push'] })
    expect(parseScope('registry:metrics:pull')).toEqual({ kind: 'metrics' })
    for (const text of [
      '',
      'repository:team',
      'repository:team:',
      'repository:team:admin',
      'repository::pull',
      'repository:a:pull:b',
      'registry:catalog:*',
      'repository:[a]:pull',
    ])
      expect(parseScope(text)).toBeUndefined()
  })

  it('allows nothing that it does not name', () => {
    const names = fc.constantFrom('team/app', 'team/app/web', 'team', 'other/app', 'teamx/app')
    const action = fc.constantFrom('pull' as const, 'push' as const, 'delete' as const)
    const scopes = fc.array(
      fc.record({
        pattern: fc.constantFrom('team/app', 'team/*', 'team/**', 'other/*'),
        actions: fc.uniqueArray(action, { minLength: 1 }),
      }),
      { maxLength: 4 },
    )
    const inside: Record<string, RegExp> = {
      'team/app': /^team\/app$/,
      'team/*': /^team\/[^/]+$/,
      'team/**': /^team(?:\/.*)?$/,
      'other/*': /^other\/[^/]+$/,
    }
    fc.assert(
      fc.property(scopes, action, names, (given, asked, repository) => {
        const parsed = given.flatMap(({ pattern, actions }) => parseScope(`repository:${pattern}:${actions.join(',')}`) ?? [])
        const expected = given.some(({ pattern, actions }) => actions.includes(asked) && inside[pattern]?.test(repository))
        expect(allows(parsed, asked, repository)).toBe(expected)
      }),
    )
  })
})

describe('a token', { timeout: 30_000 }, () => {
  it('is good for what its scopes say, and for nothing else', async () => {
    const registry = await startRegistry()
    const image = await pushImage(registry.client().repository('team/app'), 1, { tag: '1.0' })
    await pushImage(registry.client().repository('secret/app'), 2, { tag: '1.0' })
    const token = await createToken(registry, 'ci', ['repository:team/*:pull', 'repository:team/ci:pull,push'])
    const client = registry.client(tokenAs(token))
    expect(await client.repository('team/app').resolve('1.0')).toEqual(image)
    expect(await failure(client.repository('secret/app').resolve('1.0'))).toBe('Denied')
    expect(await failure(pushImage(client.repository('team/app'), 3, { tag: '2.0' }))).toBe('Denied')
    const pushed = await pushImage(client.repository('team/ci'), 3, { tag: '2.0' })
    expect(await client.repository('team/ci').resolve('2.0')).toEqual(pushed)
    expect(await failure(client.repository('team/ci').deleteManifest('2.0'))).toBe('Denied')
    expect(await client.repositories()).toEqual(['team/app', 'team/ci'])
    expect((await registry.raw('GET', '/_muster/v1/tokens', { headers: { authorization: basic(tokenAs(token)) } })).status).toBe(403)
    expect((await registry.raw('GET', '/metrics', { headers: { authorization: basic(tokenAs(token)) } })).status).toBe(403)
  })

  it('takes no content over from where it may not read', async () => {
    const registry = await startRegistry()
    const secret = registry.client().repository('secret/app')
    const { bytes } = await secret.manifest((await pushImage(secret, 1, { tag: '1.0' })).digest)
    const layer = (JSON.parse(new TextDecoder().decode(bytes)) as { layers: { digest: string; size: number; mediaType: string }[] })
      .layers[0]
    const mine = registry.client(tokenAs(await createToken(registry, 'ci', ['repository:team/ci:pull,push']))).repository('team/ci')
    if (layer === undefined) throw new Error('no layer')
    expect(await mine.mount(layer, 'secret/app')).toBe(false)
    expect(await mine.hasBlob(layer)).toBe(false)
    const anywhere = await registry.raw('POST', `/v2/team/ci/blobs/uploads/?mount=${layer.digest}`, {
      headers: { authorization: basic(tokenAs(await createToken(registry, 'ci2', ['repository:team/ci:pull,push']))) },
    })
    expect(anywhere.status).toBe(202)
  })

  it('is taken as a bearer too', async () => {
    const registry = await startRegistry()
    const token = await createToken(registry, 'ci', ['repository:**:pull', 'registry:metrics:pull'])
    for (const path of ['/v2/', '/metrics'])
      expect((await registry.raw('GET', path, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200)
    expect((await registry.raw('GET', '/v2/', { headers: { authorization: `Bearer ${token}x` } })).status).toBe(401)
  })

  it('counts no more when it is revoked or has expired, also after a restart', async () => {
    let now = Date.now()
    const registry = await startRegistry({ now: () => now })
    const [kept, revoked, brief] = [
      await createToken(registry, 'kept', ['repository:**:pull']),
      await createToken(registry, 'revoked', ['repository:**:pull']),
      await createToken(registry, 'brief', ['repository:**:pull'], now + 60_000),
    ]
    const works = (token: string, of = registry) => failure(of.client(tokenAs(token)).ping())
    expect(await Promise.all([kept, revoked, brief].map((token) => works(token)))).toEqual(Array(3).fill('nothing was thrown'))
    expect((await administer(registry, 'DELETE', 'tokens/revoked')).status).toBe(204)
    expect((await administer(registry, 'DELETE', 'tokens/revoked')).status).toBe(404)
    now += 60_000
    expect(await works(revoked)).toBe('Unauthorized')
    expect(await works(brief)).toBe('Unauthorized')
    await registry.server.close()
    const again = await startRegistry({ root: registry.root, now: () => now })
    expect(await works(kept, again)).toBe('nothing was thrown')
    expect(await works(revoked, again)).toBe('Unauthorized')
    expect(await works(brief, again)).toBe('Unauthorized')
  })

  it('is replaced in one step, and a name is taken only once', async () => {
    const registry = await startRegistry()
    const first = await createToken(registry, 'alpha', ['repository:**:pull'])
    const wanted = { name: 'alpha', scopes: ['repository:**:pull'] }
    expect((await administer(registry, 'POST', 'tokens', wanted)).status).toBe(409)
    const { json } = await administer(registry, 'POST', 'tokens', { ...wanted, replace: true })
    expect(await failure(registry.client(tokenAs(first)).ping())).toBe('Unauthorized')
    await registry.client(tokenAs((json as { token: string }).token)).ping()
    const { json: listed } = await administer(registry, 'GET', 'tokens')
    expect(listed).toMatchObject({ tokens: [{ name: 'alpha', scopes: ['repository:**:pull'] }] })
    const { json: audited } = await administer(registry, 'GET', 'audit')
    const created = { who: 'admin', action: 'create token', detail: 'alpha: repository:**:pull' }
    const { records } = audited as { records: object[] }
    expect(records).toEqual(
      [created, { action: 'POST /_muster/v1/tokens', status: 409 }, created].map((one) => expect.objectContaining(one)),
    )
    expect(JSON.stringify(records)).not.toContain(first.slice(-43))
  })

  it('is nowhere on disk: who reads the file cannot use it', async () => {
    const registry = await startRegistry()
    const token = await createToken(registry, 'ci', ['repository:**:pull'])
    const file = join(registry.root, 'upkeep', 'tokens.json')
    const text = await readFile(file, 'utf8')
    expect(text).not.toContain(token.slice(-43))
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const { hash } = (JSON.parse(text) as { tokens: { hash: string }[] }).tokens[0] ?? { hash: '' }
    expect(await failure(registry.client(tokenAs(hash)).ping())).toBe('Unauthorized')
  })

  it('file that is damaged stops the registry, and is named', async () => {
    const root = await temporaryDirectory()
    const registry = await startRegistry({ root })
    await createToken(registry, 'ci', ['repository:**:pull'])
    await registry.server.close()
    await writeFile(join(root, 'upkeep', 'tokens.json'), '{"version":1,"tokens":[{}]}')
    await expect(serveRegistry({ root, listen: { host: '127.0.0.1', port: 0 }, users: [] })).rejects.toThrow(/tokens\.json is damaged/)
  })

  it('with a wrong scope or name is refused with its place', async () => {
    const registry = await startRegistry()
    const { status, json } = await administer(registry, 'POST', 'tokens', { name: 'a', scopes: ['repository:x:admin'] })
    expect(status).toBe(400)
    expect(JSON.stringify(json)).toContain('scopes[0]')
  })
})
