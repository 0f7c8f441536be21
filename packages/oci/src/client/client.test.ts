import type { IncomingMessage } from 'node:http'
import { describe, expect, it } from 'vitest'
import { pushReferrer } from '../artifact.ts'
import { digestOf } from '../digest.ts'
import { mediaTypes } from '../manifest.ts'
import { chunks, collect, describeBlob, failure, noise, pushImage } from '../testing/content.ts'
import { basic, client, startRegistry, writer } from '../testing/registry.ts'
import { scripted } from '../testing/scripted.ts'

const bytes = noise(200_000)
const blob = describeBlob(bytes)

describe('credentials', () => {
  it('are sent only after the registry asked, and then at once', async () => {
    const peer = await scripted((request, response) => {
      response.writeHead(request.headers.authorization === undefined ? 401 : 200, { 'www-authenticate': 'Basic realm="x"' }).end()
    })
    const registry = client({ host: peer.host, plainHttp: true, credentials: writer })
    await registry.ping()
    await registry.ping()
    expect(peer.seen.map((request) => request.authorization)).toEqual([undefined, basic(writer), basic(writer)])
  })

  it('do not follow a redirect to another host', async () => {
    const store = await scripted((_, response) => response.end(bytes))
    const peer = await scripted((request, response) => {
      if (request.headers.authorization === undefined) response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      else response.writeHead(307, { location: `${store.url}/bucket?signature=x` }).end()
    })
    const repository = client({ host: peer.host, plainHttp: true, credentials: writer }).repository('app')
    expect((await collect(repository.blob(blob))).equals(bytes)).toBe(true)
    expect(peer.seen.at(-1)?.authorization).toBe(basic(writer))
    expect(store.seen.map((request) => request.authorization)).toEqual([undefined])
  })

  it('do not follow an upload to another host', async () => {
    const store = await scripted((_, response) => response.writeHead(201).end())
    const peer = await scripted((request, response) => {
      if (request.headers.authorization === undefined) response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      else response.writeHead(202, { location: `${store.url}/upload?token=x` }).end()
    })
    const small = noise(10)
    await client({ host: peer.host, plainHttp: true, credentials: writer })
      .repository('app')
      .putBlob(describeBlob(small), () => chunks(small))
    expect(store.seen).toEqual([
      expect.objectContaining({
        method: 'PUT',
        url: `/upload?token=x&digest=${encodeURIComponent(digestOf(small))}`,
        authorization: undefined,
      }),
    ])
  })

  it('are exchanged for a token of the scope needed, once', async () => {
    const tokens = await scripted((_, response) => response.end(JSON.stringify({ token: 'abc', expires_in: 300 })))
    const peer = await scripted((request, response) => {
      const allowed = request.headers.authorization === 'Bearer abc'
      response.writeHead(allowed ? 404 : 401, { 'www-authenticate': `Bearer realm="${tokens.url}/token",service="registry"` }).end()
    })
    const repository = client({ host: peer.host, plainHttp: true, credentials: writer }).repository('team/app')
    await repository.resolve('1.0')
    await repository.resolve('2.0')
    expect(tokens.seen.map(({ url, authorization }) => [url, authorization])).toEqual([
      ['/token?service=registry&scope=repository%3Ateam%2Fapp%3Apull', basic(writer)],
    ])
    expect(peer.seen.map((request) => request.authorization)).toEqual([undefined, 'Bearer abc', 'Bearer abc'])
  })

  it('get a new token when the old one ran out', async () => {
    let now = 0
    const tokens = await scripted((_, response, count) => response.end(JSON.stringify({ access_token: `t${count}`, expires_in: 100 })))
    const peer = await scripted((request, response) => {
      response
        .writeHead(request.headers.authorization === undefined ? 401 : 404, { 'www-authenticate': `Bearer realm="${tokens.url}"` })
        .end()
    })
    const repository = client({ host: peer.host, plainHttp: true, now: () => now }).repository('app')
    await repository.resolve('1')
    now += 95_000
    await repository.resolve('2')
    expect(peer.seen.map((request) => request.authorization)).toEqual([undefined, 'Bearer t1', undefined, 'Bearer t2'])
  })

  it('that are refused are not tried again and again', async () => {
    const peer = await scripted((_, response) => response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end())
    expect(await failure(client({ host: peer.host, plainHttp: true, credentials: writer }).ping())).toBe('Unauthorized')
    expect(peer.seen).toHaveLength(2)
  })

  it('never appear in an error', async () => {
    const peer = await scripted((_, response) => response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end())
    const error = await client({ host: peer.host, plainHttp: true, credentials: writer })
      .ping()
      .catch((reason: unknown) => reason)
    expect(JSON.stringify([String(error), error])).not.toContain(writer.password)
  })
})

it('gives the rest of a blob to who has its beginning, and asks only for that', async () => {
  const peer = await scripted((request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1])
    response.writeHead(206, { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }).end(bytes.subarray(from))
  })
  const repository = client({ host: peer.host, plainHttp: true }).repository('app')
  expect((await collect(repository.blobRest(blob, 150_000))).equals(bytes.subarray(150_000))).toBe(true)
  const deaf = await scripted((_, response) => response.end(bytes))
  const other = client({ host: deaf.host, plainHttp: true }).repository('app')
  expect((await collect(other.blobRest(blob, 150_000))).equals(bytes.subarray(150_000))).toBe(true)
})

describe('trouble that passes', () => {
  it('is waited out, as long as the registry asks', async () => {
    const peer = await scripted((_, response, count) => {
      if (count === 1) response.writeHead(429, { 'retry-after': '0' }).end()
      else if (count === 2) response.writeHead(503).end()
      else if (count === 3) response.destroy()
      else response.writeHead(200).end()
    })
    await client({ host: peer.host, plainHttp: true }).ping()
    expect(peer.seen).toHaveLength(4)
  })

  it('ends with an error that says so when it does not pass', async () => {
    const peer = await scripted((_, response) =>
      response.writeHead(503).end('{"errors":[{"code":"UNAVAILABLE","message":"full\\u0007 moon"}]}'),
    )
    const error = await client({ host: peer.host, plainHttp: true, retry: { baseMs: 1, attempts: 3 } })
      .ping()
      .catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      code: 'ServerError',
      transient: true,
      status: 503,
      message: expect.stringContaining('UNAVAILABLE: full  moon'),
    })
    expect(peer.seen).toHaveLength(3)
  })

  it('does not include silence without end', async () => {
    const silent = await scripted(() => {})
    const registry = client({ host: silent.host, plainHttp: true, timeoutMs: 30, retry: { attempts: 2, baseMs: 1 } })
    expect(await failure(registry.ping())).toBe('Timeout')
    expect(silent.seen).toHaveLength(2)
    const stuck = await scripted((_, response) => response.writeHead(200, { 'content-length': 1000 }).write('x'))
    expect(
      await failure(
        collect(
          client({ host: stuck.host, plainHttp: true, timeoutMs: 30, retry: { attempts: 2, baseMs: 1 } })
            .repository('a')
            .blob(blob),
        ),
      ),
    ).toBe('Timeout')
  })

  it('does not outlive an abort', async () => {
    const silent = await scripted(() => controller.abort(new Error('enough')))
    const controller = new AbortController()
    await expect(client({ host: silent.host, plainHttp: true }).ping({ signal: controller.signal })).rejects.toThrow('enough')
    expect(silent.seen).toHaveLength(1)
  })
})

describe('a download', () => {
  it('goes on where it broke off', async () => {
    const peer = await scripted((request, response, count) => {
      const start = Number(/bytes=([0-9]+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      if (count > 1)
        response.writeHead(206, {
          'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}`,
          'content-length': bytes.length - start,
        })
      else response.writeHead(200, { 'content-length': bytes.length })
      response.write(bytes.subarray(start, start + 70_000), () =>
        count < 3 ? response.destroy() : response.end(bytes.subarray(start + 70_000)),
      )
    })
    const repository = client({ host: peer.host, plainHttp: true, retry: { attempts: 2, baseMs: 1 } }).repository('app')
    expect((await collect(repository.blob(blob))).equals(bytes)).toBe(true)
    expect(peer.seen).toHaveLength(3)
    expect(Number(/bytes=([0-9]+)-/.exec(peer.seen[2]?.headers.range ?? '')?.[1])).toBeGreaterThan(70_000)
  })

  it('is right too where the registry knows no ranges', async () => {
    const peer = await scripted((_, response, count) => {
      response.writeHead(200, { 'content-length': bytes.length })
      if (count === 1) response.write(bytes.subarray(0, 70_000), () => response.destroy())
      else response.end(bytes)
    })
    expect((await collect(client({ host: peer.host, plainHttp: true }).repository('app').blob(blob))).equals(bytes)).toBe(true)
  })

  it('that never ends is cut at its promised size', async () => {
    const peer = await scripted((_, response) => {
      const more = (): void => void response.write(bytes, (error) => error ?? more())
      more()
    })
    expect(await failure(collect(client({ host: peer.host, plainHttp: true }).repository('app').blob(blob)))).toBe('SizeMismatch')
  })

  it('of a manifest stops at 4 MiB', async () => {
    const peer = await scripted((_, response) => {
      response.writeHead(200, { 'content-type': mediaTypes.imageManifest })
      const more = (): void => void response.write(bytes, (error) => error ?? more())
      more()
    })
    expect(await failure(client({ host: peer.host, plainHttp: true }).repository('app').manifest('1.0'))).toBe('TooLarge')
  })
})

describe('an upload', () => {
  it('goes on where it broke off', async () => {
    const large = noise(3_000_000)
    const descriptor = describeBlob(large)
    let breaks = 2
    const lines: string[] = []
    const logger = { info: (fields: object) => void lines.push(JSON.stringify(fields)), error: () => {} }
    const registry = await startRegistry({ logger })
    const repository = registry.client(writer, { retry: { attempts: 3, baseMs: 1 } }).repository('app')
    let sent = 0
    const content = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunks(large)) {
        sent += chunk.length
        yield chunk
        if (breaks > 0 && sent > 1_000_000) {
          breaks -= 1
          sent = 0
          // As a lost connection: the client's sockets end in the middle of the body.
          interrupted.close()
        }
      }
    }
    const interrupted = registry.client(writer, { retry: { attempts: 4, baseMs: 1 } })
    await interrupted.repository('app').putBlob(descriptor, content)
    expect((await collect(repository.blob(descriptor))).equals(large)).toBe(true)
    const requests = lines.map((line): { method: string; status: number; complete: boolean } => JSON.parse(line))
    expect(requests.filter(({ method }) => method === 'POST')).toHaveLength(2)
    expect(requests.filter(({ method }) => method === 'PATCH').length).toBeGreaterThan(1)
  })

  it('of content that is not what was announced fails at once, and is not kept', async () => {
    const registry = await startRegistry()
    const repository = registry.client().repository('app')
    expect(await failure(repository.putBlob(blob, () => chunks(noise(200_000, 2))))).toBe('DigestMismatch')
    expect(await failure(repository.putBlob(describeBlob(noise(2_000_000)), () => chunks(noise(2_000_000, 2))))).toBe('DigestMismatch')
    expect(await repository.hasBlob(blob)).toBe(false)
  })

  it('that is refused half-way fails with the reason, not with a broken connection', async () => {
    const registry = await startRegistry({ limits: { blobBytes: 1_500_000 } })
    const large = noise(30_000_000)
    expect(
      await failure(
        registry
          .client()
          .repository('app')
          .putBlob(describeBlob(large), () => chunks(large)),
      ),
    ).toBe('TooLarge')
    await registry.client().ping()
  })

  it('throws what its own content throws, as it is', async () => {
    const repository = (await startRegistry()).client().repository('app')
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 10)
      throw new RangeError('my disk')
    }
    await expect(repository.putBlob(blob, broken)).rejects.toThrow(RangeError)
  })
})

describe('a registry without the referrers API', () => {
  it('keeps referrers at the tag that the specification names', async () => {
    const registry = await startRegistry()
    const peer = await withoutReferrers(registry.server.url)
    const repository = client({ host: peer.host, plainHttp: true, credentials: writer }).repository('team/app')
    const image = await pushImage(repository, 1, { tag: '1.0' })
    const signature = await pushReferrer(repository, image, {
      artifactType: 'application/vnd.example.signature',
      layers: [],
      annotations: { a: 'b' },
    })
    await pushReferrer(repository, image, { artifactType: 'application/vnd.example.sbom', layers: [] })
    await pushReferrer(repository, image, { artifactType: 'application/vnd.example.sbom', layers: [] })
    expect(await repository.referrers(image.digest, { artifactType: 'application/vnd.example.signature' })).toEqual([
      { ...signature, artifactType: 'application/vnd.example.signature', annotations: { a: 'b' } },
    ])
    expect(await repository.referrers(image.digest)).toHaveLength(2)
    expect(await repository.tags()).toContain(image.digest.replace(':', '-'))
    expect(await repository.referrers(digestOf(noise(1)))).toEqual([])
  })

  it('is not taken for one when it is only broken', async () => {
    const peer = await scripted((_, response) => response.writeHead(500).end())
    const repository = client({ host: peer.host, plainHttp: true, retry: { attempts: 1 } }).repository('app')
    expect(await failure(repository.referrers(digestOf(noise(1))))).toBe('ServerError')
    const garbage = await scripted((_, response) => response.end('<html>sign in</html>'))
    expect(
      await failure(
        client({ host: garbage.host, plainHttp: true })
          .repository('app')
          .referrers(digestOf(noise(1))),
      ),
    ).toBe('InvalidManifest')
  })
})

/** Stands before our registry and hides its referrers API, as an older registry would. */
async function withoutReferrers(upstream: string): Promise<{ host: string }> {
  return scripted((request, response) => {
    if (request.url?.includes('/referrers/')) {
      response.writeHead(404).end()
      return
    }
    const parts: Uint8Array[] = []
    request.on('data', (part: Uint8Array) => parts.push(part))
    request.on('end', () => {
      forward(upstream, request, Buffer.concat(parts)).then(
        ({ status, headers, body }) => response.writeHead(status, headers).end(body),
        () => response.destroy(),
      )
    })
  })
}

async function forward(
  upstream: string,
  request: Pick<IncomingMessage, 'url' | 'method' | 'headers'>,
  body: Buffer<ArrayBuffer>,
): Promise<{ status: number; headers: Record<string, string>; body: Buffer }> {
  const kept = ['authorization', 'content-type', 'content-range', 'accept', 'range']
  const headers = kept.flatMap((name) =>
    typeof request.headers[name] === 'string' ? [[name, request.headers[name]] as [string, string]] : [],
  )
  const method = request.method ?? 'GET'
  const answer = await fetch(`${upstream}${request.url}`, { method, headers, ...(['GET', 'HEAD'].includes(method) ? {} : { body }) })
  const back = [...answer.headers].filter(([name]) => !['oci-subject', 'connection', 'keep-alive', 'transfer-encoding'].includes(name))
  return { status: answer.status, headers: Object.fromEntries(back), body: Buffer.from(await answer.arrayBuffer()) }
}
