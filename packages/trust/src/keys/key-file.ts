import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { TrustError } from '../errors.ts'
import { cosignKeyLabels, decryptCosignKey, encryptCosignKey } from './cosign-key.ts'
import { kindOf } from './keys.ts'
import { decryptPkcs8, encryptPkcs8, wrongPassphrase } from './pkcs8-encryption.ts'

/** How a private key is written: as cosign reads it, or as PKCS#8 as everything else does. */
export type KeyFormat = 'cosign' | 'pkcs8'

/** What can be made: ECDSA (FIPS 186-5), by cosign's and OpenSSL's names. */
export const curves = ['P-256', 'P-384'] as const
export type Curve = (typeof curves)[number]

/** Longer than any key file that is accepted. */
export const maxKeyFileBytes = 64 * 1024

/** A private key that was read, and how its file held it. */
export interface PrivateKeyFile {
  readonly key: KeyObject
  readonly format: KeyFormat
  readonly encrypted: boolean
}

/**
 * Reads a private key: cosign's encrypted format; PKCS#8, plain or encrypted with PBES2; the older plain forms that OpenSSL writes.
 * @param passphrase asked only where the key is encrypted
 * @throws TrustError `KeyUnreadable`, `KeyNotAllowed` (by name: its kind, or how it is encrypted), `KeyPassphrase`
 */
export async function readPrivateKeyFile(text: string, passphrase?: () => Promise<string>): Promise<PrivateKeyFile> {
  const { label, headers, body } = pemBlock(text)
  const ask = async (): Promise<string> => {
    if (passphrase === undefined) throw new TrustError('KeyPassphrase', 'The private key is encrypted, and no passphrase was given.')
    return passphrase()
  }
  if (cosignKeyLabels.includes(label)) {
    const key = privateKey(await decryptCosignKey(body, await ask()), 'pkcs8')
    return { key, format: 'cosign', encrypted: true }
  }
  if (headers.includes('ENCRYPTED'))
    throw new TrustError(
      'KeyNotAllowed',
      'The private key is encrypted in the old way of OpenSSL, whose passphrases go through MD5. Encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 600000.',
    )
  switch (label) {
    case 'ENCRYPTED PRIVATE KEY': {
      const der = await decryptPkcs8(body, await ask())
      try {
        return { key: privateKey(der, 'pkcs8'), format: 'pkcs8', encrypted: true }
      } catch (cause) {
        throw cause instanceof TrustError && cause.code === 'KeyUnreadable' ? wrongPassphrase(cause) : cause
      }
    }
    case 'PRIVATE KEY':
      return { key: privateKey(body, 'pkcs8'), format: 'pkcs8', encrypted: false }
    case 'EC PRIVATE KEY':
      return { key: privateKey(body, 'sec1'), format: 'pkcs8', encrypted: false }
    case 'RSA PRIVATE KEY':
      return { key: privateKey(body, 'pkcs1'), format: 'pkcs8', encrypted: false }
    default:
      throw new TrustError(
        'KeyUnreadable',
        `The file holds "${label}", which is no private key. Give a key that "muster key create", cosign or OpenSSL wrote.`,
      )
  }
}

/** Whether a text holds a private key, in any form. It is not read. */
export function isPrivateKey(text: string): boolean {
  return /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)
}

/**
 * A private key as the text of a file. Without a passphrase, PKCS#8 is plain.
 * @throws TrustError `KeyNotAllowed` for its kind; `KeyPassphrase` for cosign's format without one: it has no plain form
 */
export async function writePrivateKey(key: KeyObject, format: KeyFormat, passphrase?: string): Promise<string> {
  kindOf(key)
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' })
  if (format === 'cosign') {
    if (passphrase === undefined)
      throw new TrustError('KeyPassphrase', "cosign's format is always encrypted: give a passphrase, or use the format pkcs8.")
    return pem(cosignKeyLabels[0] ?? '', await encryptCosignKey(pkcs8, passphrase, randomBytes(56)))
  }
  if (passphrase === undefined) return pem('PRIVATE KEY', pkcs8)
  return pem('ENCRYPTED PRIVATE KEY', await encryptPkcs8(pkcs8, passphrase, randomBytes(32)))
}

/** Makes a private key. */
export function generatePrivateKey(curve: Curve): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: curve }).privateKey
}

/** The public half, SPKI, PEM. */
export function publicPem(key: KeyObject): string {
  return createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString()
}

function privateKey(der: Uint8Array, type: 'pkcs8' | 'sec1' | 'pkcs1'): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey({ key: Buffer.from(der), format: 'der', type })
  } catch (cause) {
    throw new TrustError('KeyUnreadable', 'The private key is damaged, or on a curve that is not known here: use P-256 or P-384.', cause)
  }
  kindOf(key)
  return key
}

/** The first block (RFC 7468) that is not the curve which OpenSSL writes before a key. */
function pemBlock(text: string): { label: string; headers: string; body: Buffer } {
  if (text.length <= maxKeyFileBytes) {
    const block =
      /-----BEGIN ((?!EC PARAMETERS)[A-Z0-9 ]{1,64})-----\r?\n((?:[A-Za-z-]{1,32}: [^\r\n]{0,200}\r?\n)*)\r?\n?([A-Za-z0-9+/=\r\n]*)-----END \1-----/.exec(
        text,
      )
    const [, label, headers = '', base64 = ''] = block ?? []
    if (label !== undefined) return { label, headers, body: Buffer.from(base64, 'base64') }
  }
  throw new TrustError('KeyUnreadable', 'The file holds no key in PEM. Give a key that "muster key create", cosign or OpenSSL wrote.')
}

function pem(label: string, body: Uint8Array): string {
  const lines =
    Buffer.from(body)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
