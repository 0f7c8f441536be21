import { createHash, generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { afterEach, describe, expect, it } from 'vitest'
import { signatureKeyFromPem } from '../keys/memory-key.ts'
import { signStatement } from '../signature/sigstore-bundle.ts'
import { logSignature, openKeylessKey, readSigningConfig, timestamp } from './making.ts'
import { startInstance } from './testing/instance.ts'

const refusal = (code: string) => expect.objectContaining({ name: 'TrustError', code })
const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

/** A service of the test on loopback. */
async function serve(answer: (request: IncomingMessage, body: Buffer, response: ServerResponse) => void | Promise<void>): Promise<string> {
  const server = createServer((request, response) => {
    buffer(request)
      .then((body) => answer(request, body, response))
      .catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => server.close().closeAllConnections())
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
}

describe('asking for a time stamp', { timeout: 60_000 }, () => {
  const signature = Buffer.from('a signature')

  it('is not answered by one of another question, by an error page, or by more than is read', async () => {
    const { stampOf } = await startInstance()
    const answers = [await stampOf(signature), await stampOf(Buffer.from('another')), Buffer.from('<html>'), Buffer.alloc(100_000)]
    for (const body of answers) {
      const url = await serve((_request, _body, response) => void response.end(body))
      await expect(timestamp(signature, url)).rejects.toThrow(refusal('ServiceRefused'))
    }
  })

  it('goes to the path of Sigstore’s server where the address has none, with the hash and nothing else of the signature', async () => {
    const asked: [string | undefined, string | undefined, boolean][] = []
    const url = await serve((request, body, response) => {
      const hash = createHash('sha256').update(signature).digest()
      asked.push([request.url, request.headers['content-type'], body.includes(hash) && !body.includes(signature)])
      response.end()
    })
    for (const address of [url, `${url}/tsr`]) await expect(timestamp(signature, address)).rejects.toThrow(refusal('ServiceRefused'))
    expect(asked).toEqual([
      ['/api/v1/timestamp', 'application/timestamp-query', true],
      ['/tsr', 'application/timestamp-query', true],
    ])
  })

  it('is tried again while the authority is busy, and not where it refuses or sends elsewhere', async () => {
    let asked = 0
    const busy = await serve((_request, _body, response) => {
      asked += 1
      response.statusCode = asked < 3 ? 503 : 400
      response.end('no')
    })
    await expect(timestamp(signature, busy)).rejects.toThrow(refusal('ServiceRefused'))
    expect(asked).toBe(3)
    const elsewhere = await serve((_request, _body, response) => void response.writeHead(302, { location: busy }).end())
    await expect(timestamp(signature, elsewhere)).rejects.toThrow(refusal('ServiceRefused'))
    expect(asked).toBe(3)
  })

  it('ends when it is told to, or at its deadline', async () => {
    const silent = await serve(() => undefined)
    const stop = new AbortController()
    const asked = timestamp(signature, silent, { signal: stop.signal })
    stop.abort(new Error('enough'))
    await expect(asked).rejects.toThrow('enough')
    await expect(timestamp(signature, 'ftp://example.test')).rejects.toThrow(refusal('ServiceRefused'))
  })
})

describe('asking Fulcio for a certificate', { timeout: 60_000 }, () => {
  const token = `x.${Buffer.from(JSON.stringify({ sub: 'me' })).toString('base64url')}.y`

  it('is not done in the open, nor with what is no token', async () => {
    await expect(openKeylessKey({ fulcioUrl: 'http://fulcio.example.test', identityToken: token })).rejects.toThrow(
      refusal('ServiceRefused'),
    )
    for (const identityToken of ['', 'a.b', 'a.e30.c', 'x'.repeat(20_000)])
      await expect(openKeylessKey({ fulcioUrl: 'https://fulcio.example.test', identityToken })).rejects.toThrow(refusal('KeyUnreadable'))
  })

  it('does not take a certificate for another key', async () => {
    const { signBlob } = await startInstance()
    const { verificationMaterial } = await signBlob(Buffer.from('x'))
    const pem = `-----BEGIN CERTIFICATE-----\n${verificationMaterial.certificate?.rawBytes}\n-----END CERTIFICATE-----\n`
    for (const answer of [
      {},
      { signedCertificateEmbeddedSct: { chain: { certificates: [pem] } } },
      { signedCertificateDetachedSct: { chain: { certificates: ['x'] } } },
    ]) {
      const fulcioUrl = await serve((_request, _body, response) => void response.end(JSON.stringify(answer)))
      await expect(openKeylessKey({ fulcioUrl, identityToken: token })).rejects.toThrow(refusal('ServiceRefused'))
    }
  })
})

describe('logging in Rekor v1', () => {
  const key = signatureKeyFromPem(
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  )
  const hash = 'ab'.repeat(32)
  const entry = {
    body: Buffer.from(JSON.stringify({ kind: 'dsse', apiVersion: '0.0.1' })).toString('base64'),
    integratedTime: 1,
    logID: hash,
    logIndex: 7,
    verification: {
      signedEntryTimestamp: 'AAAA',
      inclusionProof: { checkpoint: 'c', hashes: [hash], logIndex: 7, rootHash: hash, treeSize: 8 },
    },
  }
  const signed = () => signStatement({ subject: { digest: `sha256:${hash}` }, key })

  it('puts the entry into the bundle, also where it was there before', async () => {
    const paths: string[] = []
    const rekorUrl = await serve((request, body, response) => {
      paths.push(`${request.method} ${request.url}`)
      if (request.method === 'POST') {
        expect(JSON.parse(body.toString('utf8'))).toMatchObject({ kind: 'dsse', spec: { proposedContent: {} } })
        response.writeHead(409, { location: '/api/v1/log/entries/1234' }).end('{}')
      } else response.end(JSON.stringify({ '1234': entry }))
    })
    const bundle = await logSignature(await signed(), { rekorUrl, rekorVersion: 1, publicKey: key.publicKey })
    expect(paths).toEqual(['POST /api/v1/log/entries', 'GET /api/v1/log/entries/1234'])
    expect(bundle.verificationMaterial.tlogEntries).toEqual([
      {
        logIndex: '7',
        logId: { keyId: Buffer.from(hash, 'hex').toString('base64') },
        kindVersion: { kind: 'dsse', version: '0.0.1' },
        integratedTime: '1',
        inclusionPromise: { signedEntryTimestamp: 'AAAA' },
        inclusionProof: {
          logIndex: '7',
          rootHash: Buffer.from(hash, 'hex').toString('base64'),
          treeSize: '8',
          hashes: [Buffer.from(hash, 'hex').toString('base64')],
          checkpoint: { envelope: 'c' },
        },
        canonicalizedBody: entry.body,
      },
    ])
  })

  it('is refused where the log answers anything else', async () => {
    for (const answer of ['', '[]', '{}', JSON.stringify({ a: entry, b: entry }), JSON.stringify({ a: { ...entry, body: '' } })]) {
      const rekorUrl = await serve((_request, _body, response) => void response.end(answer))
      for (const rekorVersion of [1, 2] as const)
        await expect(logSignature(await signed(), { rekorUrl, rekorVersion, publicKey: key.publicKey })).rejects.toThrow(
          refusal('ServiceRefused'),
        )
    }
    await expect(logSignature(await signed(), { rekorUrl: 'https://rekor.example.test', rekorVersion: 1 })).rejects.toThrow(
      refusal('ServiceRefused'),
    )
  })
})

describe('a signing config', () => {
  const now = new Date('2026-06-01T00:00:00Z')
  const service = (url: string, start: string, majorApiVersion = 1, end?: string) => ({
    url,
    majorApiVersion,
    validFor: { start, ...(end ? { end } : {}) },
    operator: 'x',
  })
  const config = {
    mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.2+json',
    caUrls: [
      service('https://old', '2024-01-01T00:00:00Z', 1, '2025-01-01T00:00:00Z'),
      service('https://ca', '2025-01-01T00:00:00Z'),
      service('https://to-come', '2027-01-01T00:00:00Z'),
    ],
    rekorTlogUrls: [
      service('https://rekor-1', '2026-01-01T00:00:00Z'),
      service('https://rekor-2', '2025-01-01T00:00:00Z', 2),
      service('https://rekor-9', '2025-01-01T00:00:00Z', 9),
    ],
  }

  it('gives the newest services that are in use now and understood', () => {
    expect(readSigningConfig(config, now)).toEqual({ fulcioUrl: 'https://ca', rekor: { url: 'https://rekor-2', version: 2 } })
  })

  it('is refused where it is none, or nothing of it is in use', () => {
    for (const bad of [
      null,
      {},
      { ...config, mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.1+json' },
      { ...config, caUrls: config.caUrls.slice(0, 1) },
    ])
      expect(() => readSigningConfig(bad, now)).toThrow(refusal('AuthorityInvalid'))
  })
})
