import { readdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { pushReferrer } from '../artifact.ts'
import { digestHex, digestOf } from '../digest.ts'
import { maximumManifestBytes, mediaTypes, parseManifest } from '../manifest.ts'
import { selfSigned } from '../testing/certificate.ts'
import { chunks, collect, describeBlob, failure, noise, pushImage, pushIndex } from '../testing/content.ts'
import { basic, client, reader, startRegistry, writer } from '../testing/registry.ts'

describe('the registry', () => {
  it('gives back what was pushed, by tag and by digest', async () => {
    const repository = (await startRegistry()).client().repository('team/app')
    const bytes = noise(3_000_000)
    await repository.putBlob(describeBlob(bytes), () => chunks(bytes))
    expect((await collect(repository.blob(describeBlob(bytes)))).equals(bytes)).toBe(true)
    const image = await pushImage(repository, 1, { tag: '1.0' })
    expect(await repository.resolve('1.0')).toEqual(image)
    expect((await repository.manifest('1.0')).descriptor).toEqual(image)
    expect((await repository.manifest(image.digest)).descriptor).toEqual(image)
    expect(await repository.resolve('2.0')).toBeUndefined()
    expect(await repository.tags()).toEqual(['1.0'])
  })

  it('keeps everything over a restart', async () => {
    const first = await startRegistry()
    const image = await pushImage(first.client().repository('team/app'), 1, { tag: '1.0' })
    await first.server.close()
    const second = await startRegistry({ root: first.root })
    expect(await second.client().repository('team/app').resolve('1.0')).toEqual(image)
  })

  it('never serves a changed byte as if it were right', async () => {
    const registry = await startRegistry()
    const repository = registry.client().repository('team/app')
    const image = await pushImage(repository, 1, { tag: '1.0' })
    const layer = parseManifest((await repository.manifest(image.digest)).bytes).layers[0] ?? image
    for (const digest of [layer.digest, image.digest]) {
      const hex = digestHex(digest)
      const path = join(registry.root, 'blobs', 'sha256', hex.slice(0, 2), hex)
      const content = await readFile(path)
      content.writeUInt8(content.readUInt8(9) ^ 1, 9)
      await writeFile(path, content)
    }
    expect(await failure(collect(repository.blob(layer)))).toBe('DigestMismatch')
    expect(await failure(repository.manifest('1.0'))).toBe('DigestMismatch')
    expect(await failure(repository.manifest(image.digest))).toBe('DigestMismatch')
    await pushImage(repository, 1)
    const bytes = noise(2000, 1)
    await repository.putBlob(layer, () => chunks(bytes))
    expect((await collect(repository.blob(layer))).equals(bytes)).toBe(true)
  })

  it('lets nobody in without a password, not even to ask its version', async () => {
    const registry = await startRegistry()
    for (const path of ['/v2/', '/v2/_catalog', '/v2/team/app/manifests/1.0', '/anything']) {
      const response = await fetch(`${registry.server.url}${path}`)
      expect(response.status).toBe(401)
      expect(response.headers.get('www-authenticate')).toMatch(/^Basic realm=/)
    }
    const wrong = [
      { ...writer, password: 'x' },
      { ...writer, username: 'x' },
      { username: '', password: '' },
      { username: 'writer', password: '' },
    ]
    for (const credentials of wrong) expect(await failure(registry.client(credentials).ping())).toBe('Unauthorized')
    expect(await failure(client({ host: registry.host, plainHttp: true }).ping())).toBe('Unauthorized')
    await registry.client(reader).ping()
  })

  it('lets a reader read and nothing else', async () => {
    const registry = await startRegistry()
    const image = await pushImage(registry.client().repository('team/app'), 1, { tag: '1.0' })
    const repository = registry.client(reader).repository('team/app')
    expect(await repository.resolve('1.0')).toEqual(image)
    expect(await failure(pushImage(repository, 2, { tag: '1.0' }))).toBe('Denied')
    expect(await failure(repository.deleteManifest('1.0'))).toBe('Denied')
    expect(await failure(repository.mount(image, 'other'))).toBe('Denied')
    expect(await repository.resolve('1.0')).toEqual(image)
  })

  it('speaks TLS, and is trusted only with its own certificate', async () => {
    const tls = selfSigned('127.0.0.1')
    const registry = await startRegistry({ tls })
    expect(registry.server.url).toMatch(/^https:/)
    await client({ host: registry.host, ca: tls.cert, credentials: writer }).ping()
    expect(await failure(client({ host: registry.host, credentials: writer }).ping())).toBe('Untrusted')
    expect(await failure(client({ host: registry.host, ca: selfSigned('127.0.0.1').cert, credentials: writer }).ping())).toBe('Untrusted')
  })

  it('refuses names that would leave its directory, however they are written', async () => {
    const registry = await startRegistry()
    const authorization = basic(writer)
    const paths = [
      '/v2/../../etc/manifests/passwd',
      '/v2/a/../../b/manifests/x',
      '/v2/..%2f..%2fetc/manifests/x',
      '/v2/%2e%2e/%2e%2e/manifests/x',
      '/v2/a/manifests/..',
      '/v2/a/manifests/%2e%2e%2fx',
      '/v2/a/manifests/..%2f..%2fx',
      '/v2/a/blobs/sha256:..%2f..%2fx',
      '/v2/a/blobs/sha256:../x',
      '/v2/A/manifests/x',
      '/v2/_blobs/manifests/x',
      '/v2/a/_tags/manifests/x',
      '/v2/a//b/manifests/x',
      '/v2/a%00/manifests/x',
      '/v2/a/blobs/uploads/..%2f..%2fx',
      `/v2/${'a'.repeat(256)}/manifests/x`,
      '/v2/app/manifests/x?ns=../../etc',
      '/v2/app/manifests/x?ns=%2e%2e',
    ]
    for (const path of paths) {
      for (const method of ['GET', 'PUT', 'DELETE']) {
        const status = await rawStatus(registry.server.port, method, path, authorization)
        expect([400, 404, 405], `${method} ${path}`).toContain(status)
      }
    }
    expect((await readdir(registry.root)).sort()).toEqual(['audit', 'blobs', 'lock', 'repositories', 'tmp', 'upkeep', 'uploads'])
    expect(await readdir(join(registry.root, 'repositories'))).toEqual([])
  })

  it('refuses a manifest over 4 MiB, one that is none, and one that points to what is missing', async () => {
    const registry = await startRegistry()
    const put = (body: string | Uint8Array<ArrayBuffer>, type: string = mediaTypes.imageManifest): Promise<Response> =>
      registry.raw('PUT', '/v2/app/manifests/1.0', { headers: { 'content-type': type }, body })
    expect((await put(new Uint8Array(maximumManifestBytes + 1))).status).toBe(413)
    expect(await errorOf(await put('{}'))).toEqual([400, 'MANIFEST_INVALID'])
    expect(await errorOf(await put('{"schemaVersion":2}', 'text/plain'))).toEqual([400, 'MANIFEST_INVALID'])
    const blob = { mediaType: 'text/plain', digest: digestOf(noise(3)), size: 3 }
    const image = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.imageManifest, config: blob, layers: [] })
    expect(await errorOf(await put(image))).toEqual([400, 'MANIFEST_BLOB_UNKNOWN'])
    const child = { ...blob, mediaType: mediaTypes.imageManifest }
    const index = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests: [child] })
    expect(await errorOf(await put(index, mediaTypes.imageIndex))).toEqual([400, 'MANIFEST_BLOB_UNKNOWN'])
    const repository = registry.client().repository('app')
    await repository.putBlob({ ...blob, digest: digestOf(noise(3)) }, () => chunks(noise(3)))
    expect((await put(image)).status).toBe(201)
    expect(await errorOf(await put(image.replace('"size":3', '"size":4')))).toEqual([400, 'MANIFEST_INVALID'])
    const other = await registry.raw('PUT', `/v2/app/manifests/${digestOf(noise(1))}`, {
      headers: { 'content-type': mediaTypes.imageManifest },
      body: image,
    })
    expect(await errorOf(other)).toEqual([400, 'DIGEST_INVALID'])
  })

  it('lets the last of parallel pushes of one tag win, whole', async () => {
    const registry = await startRegistry()
    const clients = Array.from({ length: 8 }, () => registry.client().repository('team/app'))
    const images = await Promise.all(clients.map((repository, seed) => pushImage(repository, seed, { tag: 'latest', bytes: 20_000 })))
    const winner = await registry.client().repository('team/app').manifest('latest')
    expect(images.map((image) => image.digest)).toContain(winner.descriptor.digest)
    for (const image of images) expect((await registry.client().repository('team/app').manifest(image.digest)).descriptor).toEqual(image)
  })

  it('lists tags in order, page by page', async () => {
    const registry = await startRegistry()
    const repository = registry.client().repository('team/app')
    for (const tag of ['b', 'A', 'c', 'B', '1.0']) await pushImage(repository, 1, { tag })
    expect(await repository.tags()).toEqual(['1.0', 'A', 'B', 'b', 'c'])
    const first = await registry.raw('GET', '/v2/team/app/tags/list?n=2')
    expect(await first.json()).toEqual({ name: 'team/app', tags: ['1.0', 'A'] })
    expect(first.headers.get('link')).toBe('</v2/team/app/tags/list?n=2&last=A>; rel="next"')
    const last = await registry.raw('GET', '/v2/team/app/tags/list?n=3&last=A')
    expect(await last.json()).toMatchObject({ tags: ['B', 'b', 'c'] })
    expect(last.headers.get('link')).toBeNull()
    expect(await (await registry.raw('GET', '/v2/team/app/tags/list?n=0')).json()).toMatchObject({ tags: [] })
    expect((await registry.raw('GET', '/v2/team/app/tags/list?n=x')).status).toBe(400)
    expect(await failure(registry.client().repository('none').tags())).toBe('NotFound')
    expect(await (await registry.raw('GET', '/v2/_catalog')).json()).toEqual({ repositories: ['team/app'] })
  })

  it('lists referrers, filtered by type, and knows none of an unknown subject', async () => {
    const registry = await startRegistry()
    const repository = registry.client().repository('team/app')
    const image = await pushImage(repository, 1)
    const annotations = { 'org.example.by': 'us' }
    const signature = await pushReferrer(repository, image, { artifactType: 'application/vnd.example.signature', layers: [], annotations })
    await pushReferrer(repository, image, { artifactType: 'application/vnd.example.sbom', layers: [] })
    expect(await repository.referrers(image.digest)).toHaveLength(2)
    const filtered = await registry.raw('GET', `/v2/team/app/referrers/${image.digest}?artifactType=application/vnd.example.signature`)
    expect(filtered.headers.get('oci-filters-applied')).toBe('artifactType')
    expect(filtered.headers.get('content-type')).toBe(mediaTypes.imageIndex)
    expect(await filtered.json()).toEqual({
      schemaVersion: 2,
      mediaType: mediaTypes.imageIndex,
      manifests: [{ ...signature, artifactType: 'application/vnd.example.signature', annotations }],
    })
    expect(await repository.referrers(digestOf(noise(1)))).toEqual([])
    expect((await registry.raw('GET', '/v2/team/app/referrers/sha256:x')).status).toBe(400)
    expect(await repository.deleteManifest(signature.digest)).toBe(true)
    expect(await repository.referrers(image.digest)).toHaveLength(1)
  })

  it('pages a long list of referrers so that none is lost', async () => {
    const repository = (await startRegistry()).client().repository('team/app')
    const image = await pushImage(repository, 1)
    const annotations = { 'org.example.text': 'x'.repeat(900_000) }
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      await pushReferrer(repository, image, {
        artifactType: 'application/vnd.example.big',
        layers: [],
        annotations: { ...annotations, name },
      })
    }
    expect(await repository.referrers(image.digest, { artifactType: 'application/vnd.example.big' })).toHaveLength(5)
  })

  it('lists a referrer that came before its subject', async () => {
    const registry = await startRegistry()
    const image = await pushImage(registry.client().repository('elsewhere'), 1)
    const repository = registry.client().repository('team/app')
    await pushReferrer(repository, image, { artifactType: 'application/vnd.example.signature', layers: [] })
    expect(await repository.referrers(image.digest)).toHaveLength(1)
  })

  it('deletes tags, manifests with their tags, and blobs', async () => {
    const registry = await startRegistry()
    const repository = registry.client().repository('team/app')
    const image = await pushImage(repository, 1, { tag: 'a' })
    await pushImage(repository, 1, { tag: 'b' })
    const index = await pushIndex(repository, [image], 'c')
    expect(await repository.deleteManifest('a')).toBe(true)
    expect(await repository.deleteManifest('a')).toBe(false)
    expect(await repository.resolve(image.digest)).toEqual(image)
    expect(await repository.deleteManifest(image.digest)).toBe(true)
    expect(await repository.tags()).toEqual(['c'])
    expect(await repository.resolve('c')).toEqual(index)
    const blob = describeBlob(noise(2000, 1))
    expect((await registry.raw('DELETE', `/v2/team/app/blobs/${blob.digest}`)).status).toBe(202)
    expect((await registry.raw('DELETE', `/v2/team/app/blobs/${blob.digest}`)).status).toBe(404)
    expect(await repository.hasBlob(blob)).toBe(false)
  })

  it('serves parts of blobs', async () => {
    const registry = await startRegistry()
    const bytes = noise(1000)
    const blob = describeBlob(bytes)
    await registry
      .client()
      .repository('app')
      .putBlob(blob, () => chunks(bytes))
    const get = (range: string): Promise<Response> => registry.raw('GET', `/v2/app/blobs/${blob.digest}`, { headers: { range } })
    const part = await get('bytes=10-19')
    expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 10-19/1000'])
    expect(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(10, 20))).toBe(true)
    expect(Buffer.from(await (await get('bytes=-5')).arrayBuffer()).equals(bytes.subarray(995))).toBe(true)
    const beyond = await get('bytes=1000-')
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */1000'])
    expect((await get('bytes=0-1,3-4')).status).toBe(200)
    const head = await registry.raw('HEAD', `/v2/app/blobs/${blob.digest}`)
    expect([head.status, head.headers.get('content-length'), head.headers.get('docker-content-digest')]).toEqual([200, '1000', blob.digest])
  })

  it('holds an empty blob', async () => {
    const repository = (await startRegistry()).client().repository('app')
    const empty = describeBlob(new Uint8Array())
    await repository.putBlob(empty, () => chunks(new Uint8Array()))
    expect(await collect(repository.blob(empty))).toHaveLength(0)
  })

  it('gives a blob only from repositories that hold it', async () => {
    const registry = (await startRegistry()).client()
    const [a, b] = [registry.repository('a'), registry.repository('b')]
    const bytes = noise(1000)
    const blob = describeBlob(bytes)
    await a.putBlob(blob, () => chunks(bytes))
    expect(await failure(collect(b.blob(blob)))).toBe('NotFound')
    expect(await b.mount(blob, 'c')).toBe(false)
    expect(await b.mount(blob, 'a')).toBe(true)
    expect((await collect(b.blob(blob))).equals(bytes)).toBe(true)
  })

  it('logs each request without secrets, and answers running requests when it closes', async () => {
    const lines: string[] = []
    const logger = {
      info: (fields: object) => void lines.push(JSON.stringify(fields)),
      error: (fields: object) => void lines.push(JSON.stringify(fields)),
    }
    const registry = await startRegistry({ logger })
    const running = registry.client().ping()
    await running
    await registry.server.close()
    expect(lines.some((line) => line.includes('"path":"/v2/"') && line.includes('"user":"writer"') && line.includes('"status":200'))).toBe(
      true,
    )
    expect(lines.join()).not.toContain('write:me')
    expect(await failure(registry.client(writer, { retry: { attempts: 1 } }).ping())).toBe('Unreachable')
  })

  it('closes when its signal is aborted', async () => {
    const controller = new AbortController()
    const registry = await startRegistry({ signal: controller.signal })
    await registry.client().ping()
    controller.abort()
    await registry.server.close()
    expect(await failure(registry.client(writer, { retry: { attempts: 1 } }).ping())).toBe('Unreachable')
  })

  it('says when its address is taken', async () => {
    const first = await startRegistry()
    expect(await failure(startRegistry({ listen: { host: '127.0.0.1', port: first.server.port } }))).toBe('Unreachable')
  })
})

describe('mirror requests of containerd', () => {
  it('find an image under the name that it has at its own host', async () => {
    const registry = await startRegistry({ mirrorOf: 'registry.example' })
    const own = await pushImage(registry.client().repository('team/app'), 1, { tag: '1.0' })
    const foreign = await pushImage(registry.client().repository('mirror/other.example__5000/team/app'), 2, { tag: '1.0' })
    const digest = async (ns: string): Promise<string | number> => {
      const response = await registry.raw('HEAD', `/v2/team/app/manifests/1.0?ns=${encodeURIComponent(ns)}`)
      return response.headers.get('docker-content-digest') ?? response.status
    }
    expect(await digest('other.example:5000')).toBe(foreign.digest)
    expect(await digest(registry.host)).toBe(own.digest)
    expect(await digest('registry.example')).toBe(own.digest)
    const blob = describeBlob(noise(2000, 2))
    expect((await registry.raw('GET', `/v2/team/app/blobs/${blob.digest}?ns=other.example:5000`)).status).toBe(200)
  })

  it('never get a repository of ours, or of a third host, for a foreign name', async () => {
    const registry = await startRegistry()
    await pushImage(registry.client().repository('team/app'), 1, { tag: '1.0' })
    await pushImage(registry.client().repository('mirror/a.example/team/app'), 1, { tag: '1.0' })
    for (const ns of ['other.example', 'a.example:443'])
      expect((await registry.raw('GET', `/v2/team/app/manifests/1.0?ns=${ns}`)).status).toBe(404)
    expect((await registry.raw('GET', '/v2/a.example/team/app/manifests/1.0?ns=b.example')).status).toBe(404)
  })

  it('do not write', async () => {
    const registry = await startRegistry()
    const start = await registry.raw('POST', '/v2/team/app/blobs/uploads/?ns=other.example')
    expect(start.headers.get('location')).toMatch(/^\/v2\/team\/app\//)
  })
})

async function errorOf(response: Response): Promise<[number, unknown]> {
  const body: unknown = await response.json()
  return [response.status, JSON.stringify(body).match(/"code":"([A-Z_]+)"/)?.[1]]
}

/** `fetch` would tidy the path up before sending it. */
function rawStatus(port: number, method: string, path: string, authorization: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(
        `${method} ${path} HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
      )
    })
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(Number(text.split(' ')[1])))
  })
}
