import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { selfSigned } from '../testing/certificate.ts'
import { chunks, describeBlob, failure, noise } from '../testing/content.ts'
import { basic, client, startRegistry, writer } from '../testing/registry.ts'
import { scripted } from '../testing/scripted.ts'
import type { Repository } from './repository.ts'

const bytes = noise(9 * 2 ** 20)
const blob = describeBlob(bytes)

/** As those read who are done with a chunk when they ask for the next. */
async function read(repository: Repository, signal?: AbortSignal): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const chunk of repository.blob(blob, { reuse: true, signal })) parts.push(Buffer.from(chunk))
  return Buffer.concat(parts)
}

function from(host: string, options: { timeoutMs?: number; attempts?: number; credentials?: typeof writer } = {}): Repository {
  const { attempts = 2, ...rest } = options
  return client({ host, plainHttp: true, retry: { attempts, baseMs: 1 }, ...rest }).repository('app')
}

function promise(response: ServerResponse, length = bytes.length): ServerResponse {
  return response.writeHead(200, { 'content-length': length })
}

const startOf = (request: Pick<IncomingMessage, 'headers'> | undefined): number =>
  Number(/bytes=([0-9]+)-/.exec(request?.headers.range ?? '')?.[1] ?? 0)

describe('a large blob that nobody keeps chunks of', () => {
  it('comes whole through TLS, several at once', async () => {
    const { cert, key } = selfSigned('127.0.0.1')
    const { host } = await startRegistry({ tls: { cert, key } })
    const repository = client({ host, ca: cert, credentials: writer }).repository('app')
    await repository.putBlob(blob, () => chunks(bytes))
    const all = await Promise.all([read(repository), read(repository), read(repository)])
    expect(all.map((one) => one.equals(bytes))).toEqual([true, true, true])
    expect(await failure(read(client({ host, credentials: writer }).repository('app')))).toBe('Untrusted')
  })

  it('goes on with the very byte where it broke off', async () => {
    const sent = 5 * 2 ** 20 + 12_345
    const peer = await scripted((request, response, count) => {
      const start = startOf(request)
      if (count === 1) promise(response).write(bytes.subarray(0, sent), () => response.socket?.end())
      else
        response
          .writeHead(206, {
            'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}`,
            'content-length': bytes.length - start,
          })
          .end(bytes.subarray(start))
    })
    expect((await read(from(peer.host))).equals(bytes)).toBe(true)
    expect(peer.seen.map(startOf)).toEqual([0, sent])
  })

  it('is read as everything else is where it has no length', async () => {
    const peer = await scripted((_, response) => response.writeHead(200).end(bytes))
    expect((await read(from(peer.host))).equals(bytes)).toBe(true)
    expect(peer.seen).toHaveLength(2)
  })

  it('may be elsewhere, where no credentials follow', async () => {
    const store = await scripted((_, response) => promise(response).end(bytes))
    const peer = await scripted((request, response) => {
      if (request.headers.authorization === undefined)
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"', 'content-length': 0 }).end()
      else response.writeHead(307, { location: `${store.url}/bucket?signature=x`, 'content-length': 0 }).end()
    })
    expect((await read(from(peer.host, { credentials: writer }))).equals(bytes)).toBe(true)
    expect(peer.seen.map(({ authorization }) => authorization)).toEqual([undefined, basic(writer)])
    expect(store.seen.map(({ authorization }) => authorization)).toEqual([undefined])
  })

  it('that is not what it should be is refused', async () => {
    const other = Buffer.from(bytes)
    other[4_000_000] = 1
    const changed = await scripted((_, response) => promise(response).end(other))
    expect(await failure(read(from(changed.host)))).toBe('DigestMismatch')
    const longer = await scripted((_, response) => promise(response, bytes.length + 1).end(Buffer.concat([bytes, bytes.subarray(0, 1)])))
    expect(await failure(read(from(longer.host)))).toBe('SizeMismatch')
    const shorter = await scripted((_, response) => promise(response, 1000).end(bytes.subarray(0, 1000)))
    expect(await failure(read(from(shorter.host)))).toBe('SizeMismatch')
  })

  it('does not keep who is silent, trickles or speaks something else', async () => {
    const silent = await scripted((_, response) => promise(response).write(bytes.subarray(0, 300_000)))
    expect(await failure(read(from(silent.host, { timeoutMs: 50 })))).toBe('Timeout')
    const trickling = await scripted((_, response) => {
      promise(response)
      const timer = setInterval(() => response.write('x'), 10)
      response.on('close', () => clearInterval(timer))
    })
    expect(await failure(read(from(trickling.host, { timeoutMs: 200 })))).toBe('Timeout')
    const strange = createServer((socket) => socket.on('error', () => {}).end('220 mail.example ESMTP\r\n\r\n'))
    await new Promise<void>((resolve) => strange.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void strange.close())
    const address = strange.address()
    expect(await failure(read(from(`127.0.0.1:${typeof address === 'object' ? address?.port : ''}`)))).toBe('BadResponse')
  })

  it('may be taken more slowly than a registry may be silent', async () => {
    const peer = await scripted((_, response) => promise(response).end(bytes))
    const parts: Buffer[] = []
    for await (const chunk of from(peer.host, { timeoutMs: 30 }).blob(blob, { reuse: true })) {
      parts.push(Buffer.from(chunk))
      if (parts.length % 10 === 0) await sleep(90)
    }
    expect(Buffer.concat(parts).equals(bytes)).toBe(true)
    expect(peer.seen).toHaveLength(1)
  })

  it('ends with an abort, and with who leaves', async () => {
    const controller = new AbortController()
    const peer = await scripted((_, response, count) => {
      promise(response).write(bytes.subarray(0, 300_000), () => count === 1 && controller.abort(new Error('enough')))
    })
    await expect(read(from(peer.host), controller.signal)).rejects.toThrow('enough')
    for await (const chunk of from(peer.host).blob(blob, { reuse: true })) {
      expect(chunk.length).toBeGreaterThan(0)
      break
    }
    expect(peer.seen).toHaveLength(2)
  })
})
