import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { Layout, Registry } from '@muster/oci'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { relocate } from './relocate.ts'
import { bundle, image, noise, startRegistry, temporaryDirectory } from './testing.ts'

// Against real registries: longer on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

type Fault = (incoming: IncomingMessage, response: ServerResponse, seen: number) => boolean

/** A real registry behind something that does to some answers what a test says. True: it has answered. */
async function behind(fault: Fault): Promise<{ registry: Registry; host: string; seen: string[] }> {
  const real = await startRegistry()
  const [host = '', port = ''] = real.registry.host.split(':')
  const seen: string[] = []
  const server = createServer((incoming, response) => {
    seen.push(`${incoming.method} ${incoming.url}`)
    if (fault(incoming, response, seen.length)) return void incoming.resume()
    const { method, url, headers } = incoming
    const onward = request({ host, port, method, path: url, headers: { ...headers, host: `${host}:${port}` } }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.destroy())
    incoming.pipe(onward)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const registry = new Registry({
    host: `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    plainHttp: true,
    credentials: { username: 'writer', password: 'w' },
    retry: { baseMs: 1, attempts: 4 },
    timeoutMs: 1000,
  })
  onTestFinished(async () => {
    registry.close()
    server.closeAllConnections()
    server.close()
  })
  return { registry, host: registry.host, seen }
}

/** A bundle goes to a registry that has a fault, or comes from one. */
async function attempt(fault: Fault, from: 'source' | 'target', only = /^\/v2\/./): Promise<unknown> {
  let armed = false
  const bad = await behind((incoming, response, seen) => armed && only.test(incoming.url ?? '') && fault(incoming, response, seen))
  const layout = await Layout.open(await temporaryDirectory(), { create: true })
  const good = (await startRegistry()).registry.repository('shop')
  const store = from === 'source' ? bad.registry.repository('shop') : layout
  const { root } = await bundle(store)
  armed = true
  const target = from === 'source' ? good : bad.registry.repository('shop')
  return relocate({ name: 'source', store, descriptor: root }, { name: 'target', store: target, tag: '1' }, { jobs: 2 }).then(
    ({ before, after }) => (JSON.stringify(before) === JSON.stringify(after) ? 'the same' : 'less'),
    (error: unknown) => (error instanceof Error && 'code' in error ? error.code : error),
  )
}

const status =
  (code: number, headers: Record<string, string> = {}): Fault =>
  (_, response) => {
    response.writeHead(code, headers).end()
    return true
  }

describe('a registry that fails for good is named, with what it said', () => {
  it.each([
    [403, 'Denied'],
    [404, 'NotFound'],
    [429, 'TooManyRequests'],
    [500, 'ServerError'],
    [503, 'ServerError'],
  ])('%i', async (code, expected) => {
    expect(await attempt(status(code), 'source')).toBe(expected)
    expect(await attempt((incoming, response) => incoming.method !== 'HEAD' && status(code)(incoming, response, 0), 'target')).toBe(
      expected,
    )
  })

  it('401', async () => {
    expect(await attempt(status(401, { 'www-authenticate': 'Basic realm="x"' }), 'source')).toBe('Unauthorized')
    expect(await attempt(status(401, { 'www-authenticate': 'Basic realm="x"' }), 'target')).toBe('Unauthorized')
  })

  it('a body that always breaks off', async () => {
    const cut: Fault = (_, response) => {
      response.writeHead(200, { 'content-length': '100000' })
      response.write('half', () => response.destroy())
      return true
    }
    expect(await attempt(cut, 'source', /\/blobs\//)).toMatch(/Unreachable|DigestMismatch|SizeMismatch/)
  })

  it('a manifest with a wrong Docker-Content-Digest or other content', async () => {
    const wrong: Fault = (_, response) => {
      response.writeHead(200, {
        'content-type': 'application/vnd.oci.image.index.v1+json',
        'docker-content-digest': `sha256:${'0'.repeat(64)}`,
      })
      response.end('{"schemaVersion":2,"manifests":[]}')
      return true
    }
    expect(await attempt(wrong, 'source', /\/manifests\/sha256:/)).toBe('DigestMismatch')
    const stored: Fault = (incoming, response) => {
      if (incoming.method !== 'PUT') return false
      return status(201, { 'docker-content-digest': `sha256:${'0'.repeat(64)}` })(incoming, response, 0)
    }
    expect(await attempt(stored, 'target', /\/manifests\//)).toBe('DigestMismatch')
  })

  it('one that only trickles', async () => {
    const trickle: Fault = (incoming, response) => {
      if (incoming.method !== 'GET') return false
      response.writeHead(200, { 'content-length': '100000' })
      const timer = setInterval(() => response.write('x'), 50)
      response.on('close', () => clearInterval(timer))
      return true
    }
    expect(await attempt(trickle, 'source', /\/blobs\//)).toBe('Timeout')
  })
})

describe('a registry that fails now and then does not stop it', () => {
  it.each([
    ['429 with Retry-After', status(429, { 'retry-after': '0' })],
    ['502', status(502)],
    ['an answer that breaks off', ((_, response) => Boolean(response.destroy())) as Fault],
  ])('%s', async (_, fault) => {
    const seldom: Fault = (incoming, response, seen) => seen % 9 === 0 && fault(incoming, response, seen)
    expect(await attempt(seldom, 'source')).toBe('the same')
    expect(await attempt(seldom, 'target')).toBe('the same')
  })
})

it('a redirect to another host is followed without credentials', async () => {
  const seen: (string | undefined)[] = []
  const content = noise(1000)
  const other = createServer((incoming, response) => {
    seen.push(incoming.headers.authorization)
    response.end(content)
  })
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void other.close())
  const address = other.address()
  const port = typeof address === 'object' ? address?.port : 0
  const { registry } = await behind((incoming, response) => {
    if (incoming.method !== 'GET' || !/\/blobs\//.test(incoming.url ?? '')) return false
    return status(307, { location: `http://127.0.0.1:${port}/elsewhere` })(incoming, response, 0)
  })
  const store = registry.repository('shop')
  const root = await image(store, 'one', content)
  const target = await Layout.open(await temporaryDirectory(), { create: true })
  // The config comes from elsewhere too, and is not what it should be there: refused, whoever says it.
  const work = relocate({ name: 'source', store, descriptor: root }, { name: 'target', store: target }, { jobs: 1 })
  await expect(work).rejects.toMatchObject({ code: expect.stringMatching(/Mismatch/) })
  expect(seen.length).toBeGreaterThan(0)
  expect(seen.every((authorization) => authorization === undefined)).toBe(true)
})
