import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { selfSigned } from '../testing/certificate.ts'
import { failure } from '../testing/content.ts'
import { client, temporaryDirectory } from '../testing/registry.ts'
import { scripted } from '../testing/scripted.ts'
import { findCertificates, findCredentials } from './credentials.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const auth = (text: string): { auth: string } => ({ auth: base64(text) })

async function withConfig(config: unknown, helpers: Record<string, string> = {}): Promise<Record<string, string>> {
  const directory = await temporaryDirectory()
  await writeFile(join(directory, 'config.json'), typeof config === 'string' ? config : JSON.stringify(config))
  for (const [name, script] of Object.entries(helpers)) {
    const file = join(directory, `docker-credential-${name}`)
    await writeFile(file, `#!/bin/sh\n${script}\n`)
    await chmod(file, 0o755)
  }
  return { DOCKER_CONFIG: directory, PATH: `${directory}:/usr/bin:/bin` }
}

describe('credentials as docker and podman keep them', () => {
  it('are found by host, by old addresses, and by the most specific path', async () => {
    const environment = await withConfig({
      auths: {
        'registry.example': auth('host:1'),
        'registry.example/team': auth('team:pass:word'),
        'https://old.example/v1/': auth('old:2'),
        'https://index.docker.io/v1/': auth('hub:3'),
        'plain.example': { username: 'plain', password: '4' },
      },
    })
    const find = (host: string, repository?: string) => findCredentials(host, { environment, repository })
    expect(await find('registry.example', 'other/app')).toEqual({ username: 'host', password: '1' })
    expect(await find('registry.example', 'team/app')).toEqual({ username: 'team', password: 'pass:word' })
    expect(await find('old.example')).toEqual({ username: 'old', password: '2' })
    expect(await find('docker.io', 'library/x')).toEqual({ username: 'hub', password: '3' })
    expect(await find('plain.example')).toEqual({ username: 'plain', password: '4' })
    expect(await find('unknown.example')).toBeUndefined()
  })

  it('REGISTRY_AUTH_FILE counts before the docker config', async () => {
    const environment = await withConfig({ auths: { 'registry.example': auth('docker:1') } })
    const file = join(await temporaryDirectory(), 'auth.json')
    await writeFile(file, JSON.stringify({ auths: { 'registry.example': auth('podman:2') } }))
    expect(await findCredentials('registry.example', { environment: { ...environment, REGISTRY_AUTH_FILE: file } })).toMatchObject({
      username: 'podman',
    })
  })

  it('come from a helper for the host, from the store for others, without a shell', async () => {
    const helper = 'read -r server; printf \'{"ServerURL":"%s","Username":"%s","Secret":"s3cret"}\' "$server" "$server"'
    const environment = await withConfig({ credHelpers: { 'one.example': 'one' }, credsStore: 'store' }, { one: helper, store: helper })
    expect(await findCredentials('one.example', { environment })).toEqual({ username: 'one.example', password: 's3cret' })
    expect(await findCredentials('two.example', { environment })).toEqual({ username: 'two.example', password: 's3cret' })
    expect(await findCredentials('docker.io', { environment })).toMatchObject({ username: 'https://index.docker.io/v1/' })
  })

  it('a helper that has none means none, one that fails or is missing is named', async () => {
    const none = await withConfig({ credsStore: 'none' }, { none: 'echo credentials not found in native keychain; exit 1' })
    expect(await findCredentials('one.example', { environment: none })).toBeUndefined()
    const broken = await withConfig({ credsStore: 'broken' }, { broken: 'echo it is locked; exit 1' })
    await expect(findCredentials('one.example', { environment: broken })).rejects.toThrow(/docker-credential-broken/)
    expect(await failure(findCredentials('one.example', { environment: await withConfig({ credsStore: 'missing' }) }))).toBe('Unauthorized')
    expect(await failure(findCredentials('one.example', { environment: await withConfig({ credsStore: '../evil; rm' }) }))).toBe(
      'Unauthorized',
    )
    const endless = await withConfig({ credsStore: 'endless' }, { endless: 'exec yes' })
    expect(await failure(findCredentials('one.example', { environment: endless }))).toBe('Unauthorized')
  })

  it('a damaged config says which file, and quotes nothing of it', async () => {
    const environment = await withConfig('{"auths":{"registry.example":{"auth":"c2VjcmV0')
    await expect(findCredentials('registry.example', { environment })).rejects.toThrow(expect.not.stringContaining('c2VjcmV0'))
    expect(await failure(findCredentials('registry.example', { environment }))).toBe('InvalidJson')
  })

  it('an identity token is exchanged in the body of a POST, never in the address', async () => {
    const bodies: string[] = []
    const { host, url, seen } = await scripted((request, response) => {
      if (request.url?.startsWith('/token') === true) {
        request.setEncoding('utf8').on('data', (text: string) => bodies.push(text))
        request.on('end', () => response.end(JSON.stringify({ token: 'fresh' })))
      } else if (request.headers.authorization === 'Bearer fresh') response.writeHead(200).end()
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="${url}/token",service="registry"` }).end()
    })
    await client({ host, plainHttp: true, credentials: { username: '', password: '', identityToken: 'refresh-me' } }).ping()
    expect(bodies.join('')).toContain('grant_type=refresh_token')
    expect(bodies.join('')).toContain('refresh_token=refresh-me')
    expect(seen.map((one) => one.url).join()).not.toContain('refresh-me')
  })
})

describe('certificates for a host', () => {
  it('are those of certs.d besides those that are trusted anyway', async () => {
    const folder = await temporaryDirectory()
    await mkdir(join(folder, 'registry.example:5000'))
    const { cert } = selfSigned('registry.example')
    await writeFile(join(folder, 'registry.example:5000', 'ca.crt'), cert)
    const found = await findCertificates('registry.example:5000', { environment: {}, folders: [folder] })
    expect(found?.startsWith(cert)).toBe(true)
    expect(await findCertificates('other.example', { environment: {}, folders: [folder] })).toBeUndefined()
  })
})
