import { readdir } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { digestOf } from '../../digest.ts'
import { maximumManifestBytes, mediaTypes } from '../../manifest.ts'
import { basic, startRegistry } from '../../testing/registry.ts'
import { scripted } from '../../testing/scripted.ts'

const host = 'images.example'
const credentials = { username: 'puller', password: 'of the upstream' }
const empty = new TextEncoder().encode('{}')
const manifest = new TextEncoder().encode(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.imageManifest,
    config: { mediaType: mediaTypes.imageConfig, digest: digestOf(empty), size: empty.length },
    layers: [],
  }),
)
const type = { 'content-type': mediaTypes.imageManifest }

async function cacheOf(upstream: { readonly host: string }) {
  return startRegistry({ upstreams: [{ host, registry: upstream.host, plainHttp: true, credentials, tagMs: 0 }] })
}

describe('a cache whose upstream misbehaves', { timeout: 30_000 }, () => {
  const status =
    (code: number, headers: Record<string, string> = {}) =>
    (response: ServerResponse) =>
      response.writeHead(code, headers).end()
  it.each<[string, number, (response: ServerResponse) => unknown]>([
    ['refuses the credentials', 502, status(401, { 'www-authenticate': 'Basic realm="upstream"' })],
    ['forbids it', 502, status(403)],
    ['does not have it', 404, status(404)],
    ['has had enough', 502, status(429, { 'retry-after': '3600' })],
    ['fails', 502, status(500)],
    ['sends other bytes than were asked for', 502, (response) => response.writeHead(200, type).end('{"schemaVersion":2}')],
    [
      'sends less than it says',
      502,
      (response) => response.writeHead(200, { ...type, 'content-length': '1000' }).write('{', () => response.destroy()),
    ],
    [
      'sends more than a manifest may have',
      502,
      (response) => response.writeHead(200, type).end(Buffer.alloc(maximumManifestBytes + 1, 32)),
    ],
    ['redirects for ever', 502, status(307, { location: '/v2/app/manifests/again' })],
  ])('that %s: answers %i by name, keeps nothing and tells no credentials', async (_, expected, answer) => {
    const upstream = await scripted((request, response) => {
      if (request.headers.authorization === undefined) status(401, { 'www-authenticate': 'Basic realm="upstream"' })(response)
      else answer(response)
    })
    const cache = await cacheOf(upstream)
    const response = await cache.raw('GET', `/v2/cache/${host}/app/manifests/${digestOf(manifest)}`)
    const text = await response.text()
    expect(response.status).toBe(expected)
    expect((JSON.parse(text) as { errors: object[] }).errors).toHaveLength(1)
    const said = `${JSON.stringify([...response.headers])}${text}`
    for (const secret of [credentials.password, basic(credentials).slice(6), 'realm="upstream"']) expect(said).not.toContain(secret)
    expect(
      upstream.seen
        .filter(({ authorization }) => authorization !== undefined)
        .every(({ authorization }) => authorization === basic(credentials)),
    ).toBe(true)
    const blobs = await readdir(join(cache.root, 'blobs', 'sha256'))
    expect(blobs).toEqual([])
  })

  it('that names another digest for a tag than it sends: is not believed', async () => {
    const upstream = await scripted((request, response) => {
      const headers = { ...type, 'docker-content-digest': `sha256:${'0'.repeat(64)}`, 'content-length': String(manifest.length) }
      response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : manifest)
    })
    const cache = await cacheOf(upstream)
    expect((await cache.raw('GET', `/v2/cache/${host}/app/manifests/1.0`)).status).toBe(502)
  })

  it('that sends a blob from another host: that host gets no credentials', async () => {
    const store = await scripted((_, response) => response.writeHead(200).end(empty))
    const upstream = await scripted((request, response) => {
      if (request.headers.authorization === undefined) status(401, { 'www-authenticate': 'Basic realm="upstream"' })(response)
      else if (request.url?.includes('/blobs/') === true) status(307, { location: `${store.url}/content` })(response)
      else response.writeHead(200, type).end(request.method === 'HEAD' ? undefined : manifest)
    })
    const cache = await cacheOf(upstream)
    expect((await cache.raw('GET', `/v2/cache/${host}/app/manifests/${digestOf(manifest)}`)).status).toBe(200)
    const blob = await cache.raw('GET', `/v2/cache/${host}/app/blobs/${digestOf(empty)}`)
    expect(await blob.text()).toBe('{}')
    expect(store.seen.map(({ authorization }) => authorization)).toEqual([undefined])
  })
})
