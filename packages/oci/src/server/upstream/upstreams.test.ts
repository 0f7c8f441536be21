import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { pushReferrer } from '../../artifact.ts'
import { copy } from '../../copy.ts'
import { digestHex } from '../../digest.ts'
import { Layout } from '../../layout/layout.ts'
import { parseManifest } from '../../manifest.ts'
import { chunks, collect, describeBlob, failure, noise, pushImage, pushIndex } from '../../testing/content.ts'
import { basic, reader, startRegistry, temporaryDirectory } from '../../testing/registry.ts'

const host = 'images.example'

/** A registry that caches another, and the other. */
async function cacheOf(more: { tagMs?: number; quotas?: { repositories: string; bytes: number }[] } = {}) {
  const gets: string[] = []
  const credentials: (string | undefined)[] = []
  const upstream = await startRegistry({
    logger: {
      info: (fields) => {
        if ('path' in fields && 'method' in fields && fields.method === 'GET') gets.push(String(fields.path))
        if ('user' in fields) credentials.push(fields.user === undefined ? undefined : String(fields.user))
      },
      error: () => {},
    },
  })
  const { tagMs = 0, quotas = [] } = more
  const line = { host, registry: upstream.host, plainHttp: true, credentials: reader, tagMs }
  const cache = await startRegistry({ upstreams: [line], quotas })
  return {
    upstream,
    cache,
    gets,
    credentials,
    there: upstream.client().repository('team/app'),
    here: cache.client(reader).repository(`cache/${host}/team/app`),
  }
}

async function layerOf(repository: { manifest(digest: string): Promise<{ bytes: Uint8Array }> }, digest: string) {
  const layer = parseManifest((await repository.manifest(digest)).bytes).layers[0]
  if (layer === undefined) throw new Error('no layer')
  return layer
}

// Registries are started and stopped, and retried: on a busy machine that takes its time.
describe('a pull-through cache', { timeout: 30_000 }, () => {
  it('fetches what is asked for, with its signatures, and serves it without the upstream', async () => {
    const { upstream, there, here } = await cacheOf()
    const image = await pushImage(there, 1, { bytes: 600_000 })
    const index = await pushIndex(there, [image], '1.0')
    const signature = await pushReferrer(there, index, {
      artifactType: 'application/vnd.example.signature',
      layers: [{ mediaType: 'text/plain', bytes: noise(10) }],
    })
    const first = await Layout.open(join(await temporaryDirectory(), 'first'), { create: true })
    expect(await here.resolve('1.0')).toEqual(index)
    await copy(here, first, index, { tag: '1.0', referrers: true })
    expect((await first.referrers(index.digest)).map(({ digest }) => digest)).toEqual([signature.digest])
    await upstream.server.close()
    const second = await Layout.open(join(await temporaryDirectory(), 'second'), { create: true })
    expect(await here.resolve('1.0')).toEqual(index)
    expect(await here.tags()).toEqual(['1.0'])
    await copy(here, second, index, { tag: '1.0', referrers: true })
    expect((await second.referrers(index.digest)).map(({ digest }) => digest)).toEqual([signature.digest])
    expect(await failure(here.resolve('2.0'))).toBe('ServerError')
  })

  it('asks the upstream once however many ask for a blob at once, and for nothing that is here', async () => {
    const { there, here, gets } = await cacheOf()
    const image = await pushImage(there, 1, { tag: '1.0', bytes: 1_000_000 })
    const layer = await layerOf(here, image.digest)
    const bodies = await Promise.all(Array.from({ length: 20 }, () => collect(here.blob(layer))))
    for (const body of bodies) expect(body.length).toBe(1_000_000)
    expect(gets.filter((path) => path.endsWith(layer.digest))).toHaveLength(1)
    await collect(here.blob(layer))
    expect(gets.filter((path) => path.endsWith(layer.digest))).toHaveLength(1)
  })

  it('gives a node what it asks for by the image’s own host, and what was published here before that', async () => {
    const { cache, there } = await cacheOf()
    const image = await pushImage(there, 1, { tag: '1.0' })
    const own = await pushImage(cache.client().repository(`mirror/${host}/team/own`), 2, { tag: '1.0' })
    const digestOf = async (path: string) =>
      (await cache.raw('HEAD', `/v2/${path}/manifests/1.0?ns=${host}`)).headers.get('docker-content-digest')
    expect(await digestOf('team/app')).toBe(image.digest)
    expect(await digestOf('team/own')).toBe(own.digest)
    const layer = await layerOf(there, image.digest)
    const blob = await cache.raw('GET', `/v2/team/app/blobs/${layer.digest}?ns=${host}`)
    expect((await blob.arrayBuffer()).byteLength).toBe(layer.size)
    expect((await cache.raw('HEAD', `/v2/team/app/manifests/1.0?ns=other.example`)).status).toBe(404)
    // A publisher that asks what is here is not told of the cache: it would leave out what it must send.
    expect(await cache.client().repository(`mirror/${host}/team/app`).resolve('1.0')).toBeUndefined()
  })

  it('follows a tag that moved, and lets go one that was deleted', async () => {
    const { there, here } = await cacheOf()
    await pushImage(there, 1, { tag: '1.0' })
    await here.resolve('1.0')
    const moved = await pushImage(there, 2, { tag: '1.0' })
    expect(await here.resolve('1.0')).toEqual(moved)
    await there.deleteManifest('1.0')
    expect(await here.resolve('1.0')).toBeUndefined()
  })

  it('believes a tag for the time that it was told to', async () => {
    const { there, here } = await cacheOf({ tagMs: 60_000 })
    const first = await pushImage(there, 1, { tag: '1.0' })
    expect(await here.resolve('1.0')).toEqual(first)
    await pushImage(there, 2, { tag: '1.0' })
    expect(await here.resolve('1.0')).toEqual(first)
  })

  it('never keeps or hands out whole what the upstream changed', async () => {
    const { upstream, cache, there, here } = await cacheOf()
    const image = await pushImage(there, 1, { tag: '1.0', bytes: 700_000 })
    const layer = await layerOf(here, image.digest)
    const hex = digestHex(layer.digest)
    await writeFile(join(upstream.root, 'blobs', 'sha256', hex.slice(0, 2), hex), noise(700_000, 7))
    const response = await cache.raw('GET', `/v2/cache/${host}/team/app/blobs/${layer.digest}`)
    await expect(response.arrayBuffer()).rejects.toThrow()
    expect(await readdir(join(cache.root, 'tmp'))).toEqual([])
    await writeFile(join(upstream.root, 'blobs', 'sha256', hex.slice(0, 2), hex), noise(700_000, 1))
    expect((await collect(here.blob(layer))).length).toBe(700_000)
  })

  it('serves a part of a blob that was not here, and its size', async () => {
    const { cache, there } = await cacheOf()
    const image = await pushImage(there, 1, { tag: '1.0', bytes: 1_000_000 })
    await cache.raw('GET', `/v2/cache/${host}/team/app/manifests/1.0`)
    const { digest } = await layerOf(there, image.digest)
    const path = `/v2/cache/${host}/team/app/blobs/${digest}`
    expect((await cache.raw('HEAD', path)).headers.get('content-length')).toBe('1000000')
    const part = await cache.raw('GET', path, { headers: { range: 'bytes=10-19' } })
    expect(part.status).toBe(206)
    expect(new Uint8Array(await part.arrayBuffer())).toEqual(noise(1_000_000).subarray(10, 20))
  })

  it('speaks to the upstream as itself, and takes nothing pushed', async () => {
    const { cache, there, here, credentials } = await cacheOf()
    await pushImage(there, 1, { tag: '1.0' })
    credentials.length = 0
    await here.resolve('1.0')
    expect(new Set(credentials)).toEqual(new Set([undefined, reader.username]))
    expect(await failure(pushImage(cache.client().repository(`cache/${host}/team/app`), 2, { tag: '2.0' }))).toBe('Denied')
    const response = await cache.raw('GET', `/v2/cache/${host}/none/manifests/1.0`)
    expect(response.status).toBe(404)
    expect(JSON.stringify([...response.headers]) + (await response.text())).not.toContain(basic(reader).slice(6))
  })

  it('fetches only what a manifest here names, and no more than its quota', async () => {
    const { there, here } = await cacheOf({ quotas: [{ repositories: 'cache/**', bytes: 100_000 }] })
    const loose = noise(1000, 5)
    await there.putBlob(describeBlob(loose), () => chunks(loose))
    expect(await failure(collect(here.blob(describeBlob(loose))))).toBe('NotFound')
    const image = await pushImage(there, 1, { tag: '1.0', bytes: 200_000 })
    const layer = await layerOf(here, image.digest)
    expect(await failure(collect(here.blob(layer)))).toBe('Denied')
  })
})
