import { readdir } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestOf } from '../digest.ts'
import { collect, describeBlob, noise } from '../testing/content.ts'
import { basic, type RunningRegistry, startRegistry, writer } from '../testing/registry.ts'

// The same cases in each run: a red test is red again.
fc.configureGlobal({ seed: 20_261_124 })

async function begin(registry: RunningRegistry, repository = 'app'): Promise<string> {
  const response = await registry.raw('POST', `/v2/${repository}/blobs/uploads/`)
  expect(response.status).toBe(202)
  return response.headers.get('location') ?? ''
}

function patch(registry: RunningRegistry, location: string, bytes: Uint8Array<ArrayBuffer>, start?: number): Promise<Response> {
  const range: Record<string, string> = start === undefined ? {} : { 'content-range': `${start}-${start + bytes.length - 1}` }
  return registry.raw('PATCH', location, { headers: { 'content-type': 'application/octet-stream', ...range }, body: bytes })
}

/** A PATCH that sends only a part of what it announced, and stays open. */
function hang(registry: RunningRegistry, location: string, announced: number, sent: Uint8Array): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect(registry.server.port, '127.0.0.1', () => {
      socket.write(`PATCH ${location} HTTP/1.1\r\nhost: x\r\nauthorization: ${basic(writer)}\r\ncontent-length: ${announced}\r\n\r\n`)
      socket.write(sent, () => resolve(socket))
    })
    socket.on('error', () => {})
  })
}

/** Asks until the upload stands at `bytes`: the answer is the event that is waited for. */
async function untilReceived(registry: RunningRegistry, location: string, bytes: number): Promise<void> {
  for (;;) {
    const status = await registry.raw('GET', location)
    if (status.headers.get('range') === `0-${bytes - 1}`) return
  }
}

describe('an upload', () => {
  it('is the same blob however it is cut into chunks', async () => {
    const registry = await startRegistry()
    const cuts = fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.array(fc.nat(200), { maxLength: 5 }))
    await fc.assert(
      fc.asyncProperty(cuts, async ([content, points]) => {
        const bytes = new Uint8Array(content)
        const bounds = [0, ...points.filter((point) => point < bytes.length), bytes.length].toSorted((a, b) => a - b)
        let location = await begin(registry)
        for (const [at, start] of bounds.entries()) {
          const chunk = bytes.slice(start, bounds[at + 1])
          if (chunk.length === 0 || at === bounds.length - 1) continue
          const response = await patch(registry, location, chunk, start)
          expect([response.status, response.headers.get('range')]).toEqual([202, `0-${start + chunk.length - 1}`])
          location = response.headers.get('location') ?? ''
        }
        expect((await registry.raw('PUT', `${location}?digest=${digestOf(bytes)}`)).status).toBe(201)
        const repository = registry.client().repository('app')
        expect((await collect(repository.blob(describeBlob(bytes)))).equals(bytes)).toBe(true)
      }),
      { numRuns: 20 },
    )
  })

  it('can be sent whole, in one request or two', async () => {
    const registry = await startRegistry()
    const [a, b] = [noise(1000, 1), noise(1000, 2)]
    expect((await registry.raw('POST', `/v2/app/blobs/uploads/?digest=${digestOf(a)}`, { body: a })).status).toBe(201)
    const put = await registry.raw('PUT', `${await begin(registry)}?digest=${encodeURIComponent(digestOf(b))}`, { body: b })
    expect([put.status, put.headers.get('location')]).toEqual([201, `/v2/app/blobs/${digestOf(b)}`])
    expect((await registry.raw('HEAD', `/v2/app/blobs/${digestOf(a)}`)).status).toBe(200)
  })

  it('refuses a chunk out of order, and says where it stands', async () => {
    const registry = await startRegistry()
    const location = await begin(registry)
    await patch(registry, location, noise(100), 0)
    for (const start of [0, 50, 101]) {
      const refused = await patch(registry, location, noise(10), start)
      expect([refused.status, refused.headers.get('range')]).toEqual([416, '0-99'])
    }
    expect((await patch(registry, location, noise(10), 100)).status).toBe(202)
  })

  it('keeps what arrived when the connection breaks, also over a restart', async () => {
    const first = await startRegistry()
    const bytes = noise(300_000)
    const location = await begin(first)
    const socket = await hang(first, location, bytes.length, bytes.subarray(0, 100_000))
    await untilReceived(first, location, 100_000)
    socket.destroy()
    await first.server.close()
    const second = await startRegistry({ root: first.root })
    expect((await second.raw('GET', location)).headers.get('range')).toBe('0-99999')
    expect((await patch(second, location, bytes.slice(100_000), 100_000)).status).toBe(202)
    expect((await second.raw('PUT', `${location}?digest=${digestOf(bytes)}`)).status).toBe(201)
  })

  it('does not wait for its own dead connection', async () => {
    const registry = await startRegistry()
    const bytes = noise(300_000)
    const location = await begin(registry)
    const dead = await hang(registry, location, bytes.length, bytes.subarray(0, 100_000))
    await untilReceived(registry, location, 100_000)
    expect((await patch(registry, location, bytes.slice(100_000), 100_000)).status).toBe(202)
    expect((await registry.raw('PUT', `${location}?digest=${digestOf(bytes)}`)).status).toBe(201)
    dead.destroy()
  })

  it('of other bytes than promised is refused and forgotten', async () => {
    const registry = await startRegistry()
    const location = await begin(registry)
    await patch(registry, location, noise(100), 0)
    const refused = await registry.raw('PUT', `${location}?digest=${digestOf(noise(101))}`)
    expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('DIGEST_INVALID')])
    expect((await registry.raw('GET', location)).status).toBe(404)
    expect((await registry.raw('HEAD', `/v2/app/blobs/${digestOf(noise(101))}`)).status).toBe(404)
    expect(await readdir(join(registry.root, 'uploads'))).toEqual([])
  })

  it('can be cancelled, and belongs to its repository', async () => {
    const registry = await startRegistry()
    const location = await begin(registry)
    expect((await registry.raw('GET', location.replace('/app/', '/other/'))).status).toBe(404)
    expect((await registry.raw('DELETE', location)).status).toBe(204)
    expect((await registry.raw('PATCH', location, { body: noise(1) })).status).toBe(404)
    expect(await readdir(join(registry.root, 'uploads'))).toEqual([])
  })

  it('expires when nobody goes on with it, so that new ones find room', async () => {
    let now = Date.now()
    const registry = await startRegistry({ now: () => now, limits: { sessions: 2, expiryMs: 1000 } })
    const old = await begin(registry)
    await begin(registry)
    const refused = await registry.raw('POST', '/v2/app/blobs/uploads/')
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '10'])
    now += 1001
    await begin(registry)
    expect((await registry.raw('GET', old)).status).toBe(404)
    expect(await readdir(join(registry.root, 'uploads'))).toHaveLength(1)
  })

  it('over the size limit is refused, with an answer', async () => {
    const registry = await startRegistry({ limits: { blobBytes: 1000 } })
    expect((await patch(registry, await begin(registry), noise(1001))).status).toBe(413)
    expect((await patch(registry, await begin(registry), noise(1000))).status).toBe(202)
  })

  it('with a malformed digest or range is refused', async () => {
    const registry = await startRegistry()
    const location = await begin(registry)
    expect((await registry.raw('PUT', location)).status).toBe(400)
    expect((await registry.raw('PUT', `${location}?digest=sha256:../../x`)).status).toBe(400)
    expect((await registry.raw('POST', '/v2/app/blobs/uploads/?digest=x')).status).toBe(400)
    expect((await registry.raw('POST', '/v2/app/blobs/uploads/?mount=x&from=y')).status).toBe(400)
    expect((await registry.raw('POST', `/v2/app/blobs/uploads/?mount=${digestOf(noise(1))}&from=../y`)).status).toBe(400)
    expect((await registry.raw('PATCH', location, { headers: { 'content-range': '0-5' }, body: noise(3) })).status).toBe(416)
  })
})
