import { createHash, randomBytes } from 'node:crypto'
import { ASN1Obj } from '@sigstore/core'
import { TrustError } from '../errors.ts'
import { derTags, writeDer, writeInteger, writeOid } from '../keys/der.ts'
import { asRefusal } from './as-refusal.ts'
import { askService, type ServiceOptions, serviceUrl } from './service.ts'
import { maxTimestampBytes, readTimestamp } from './timestamp.ts'

const sha256 = '2.16.840.1.101.3.4.2.1'
const what = 'The timestamp authority'
const boolean = 0x01

export interface TimestampOptions extends ServiceOptions {
  /** For tests: 8 bytes. */
  readonly nonce?: Uint8Array | undefined
}

/**
 * Asks a timestamp authority (RFC 3161, over HTTP) to vouch that a signature is there now. Its certificate is asked for, so that who
 * knows the authority's root alone can verify. An address without a path is taken for Sigstore's timestamp server.
 * @returns the response, DER, as it goes into a Sigstore bundle
 * @throws TrustError `ServiceUnreachable`, `ServiceRefused`
 */
export async function timestamp(signature: Uint8Array, url: string, options: TimestampOptions = {}): Promise<Uint8Array> {
  const nonce = options.nonce ?? randomBytes(8)
  const digest = createHash('sha256').update(signature).digest()
  const at = serviceUrl(what, url, '')
  const { body } = await askService(
    what,
    {
      method: 'POST',
      url: at.pathname === '/' ? serviceUrl(what, url, '/api/v1/timestamp') : at,
      contentType: 'application/timestamp-query',
      accept: 'application/timestamp-reply',
      body: timestampQuery(digest, nonce),
      limit: maxTimestampBytes,
    },
    options,
  )
  asRefusal('ServiceRefused', `${what} at ${at.host} did not answer with a time stamp of this signature.`, () => {
    const { stamp } = readTimestamp(body)
    stamp.tstInfo.verify(Buffer.from(signature))
    if (!nonceOf(stamp.tstInfo.raw).equals(positive(nonce))) throw new Error('another nonce: an answer to another question')
  })
  return body
}

/** TimeStampReq (RFC 3161, 2.4.1): version 1, SHA-256 imprint, nonce, certificate asked for. */
function timestampQuery(digest: Uint8Array, nonce: Uint8Array): Buffer {
  const algorithm = writeDer(derTags.sequence, writeOid(sha256), writeDer(derTags.nothing))
  const imprint = writeDer(derTags.sequence, algorithm, writeDer(derTags.octets, digest))
  return writeDer(
    derTags.sequence,
    writeInteger(1),
    imprint,
    writeDer(derTags.integer, positive(nonce)),
    writeDer(boolean, Buffer.of(0xff)),
  )
}

/** The content of a positive INTEGER in its shortest form. */
function positive(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0)
  const rest = Buffer.from(first < 0 ? [0] : bytes.subarray(first))
  return (rest[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.of(0), rest]) : rest
}

/** TSTInfo (2.4.2): after version, policy, imprint, serial and time the first INTEGER is the nonce. */
function nonceOf(tstInfo: Buffer): Buffer {
  const nonce = ASN1Obj.parseBuffer(Buffer.from(tstInfo))
    .subs.slice(5)
    .find((field) => field.tag.isInteger())
  if (!nonce) throw new TrustError('ServiceRefused', `${what} answered without the nonce that it was sent.`)
  return nonce.value
}
