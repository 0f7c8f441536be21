import { createPublicKey, sign } from 'node:crypto'
import { publicKeyOf } from './keys.ts'

/**
 * Makes a certificate signing request (PKCS#10, PEM; RFC 2986) for a P-256 key. Written byte by byte: an agent makes one in a
 * hundred days, and the library that reads requests would take 8 MiB of its memory for all that time.
 * @throws PkiError `KeyUnreadable`, `KeyNotAllowed`
 */
export async function createRequest(privateKey: string, commonName: string): Promise<string> {
  const publicKey = createPublicKey(publicKeyOf(privateKey)).export({ type: 'spki', format: 'der' })
  const version = element(tags.integer, Buffer.of(0))
  const subject = element(
    tags.sequence,
    element(tags.set, element(tags.sequence, objectIds.commonName, element(tags.utf8String, Buffer.from(commonName, 'utf8')))),
  )
  const info = element(tags.sequence, version, subject, publicKey, element(tags.attributes))
  const algorithm = element(tags.sequence, objectIds.ecdsaWithSha256)
  const signature = element(tags.bitString, Buffer.of(0), sign('sha256', info, privateKey))
  const base64 = element(tags.sequence, info, algorithm, signature).toString('base64')
  const lines = base64.match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE REQUEST-----', ...lines, '-----END CERTIFICATE REQUEST-----', ''].join('\n')
}

/** Of DER (X.690). */
const tags = { integer: 0x02, bitString: 0x03, utf8String: 0x0c, sequence: 0x30, set: 0x31, attributes: 0xa0 } as const

/** 2.5.4.3 and 1.2.840.10045.4.3.2, as elements. */
const objectIds = { commonName: Buffer.from('0603550403', 'hex'), ecdsaWithSha256: Buffer.from('06082a8648ce3d040302', 'hex') } as const

function element(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const header = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.of(tag, ...header), content])
}
