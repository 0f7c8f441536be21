import { type ScryptOptions, scrypt } from 'node:crypto'
import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js'
import * as z from 'zod'
import { TrustError } from '../errors.ts'
import { wrongPassphrase } from './pkcs8-encryption.ts'

/** What cosign writes (sigstore/pkg/cryptoutils, go-securesystemslib/encrypted), and what it wrote before version 2. */
export const cosignKeyLabels: readonly string[] = ['ENCRYPTED SIGSTORE PRIVATE KEY', 'ENCRYPTED COSIGN PRIVATE KEY']

const written = { N: 65_536, r: 8, p: 1 } as const

/** Weaker is no protection; stronger takes memory (128·N·r bytes) and time that whoever writes the file would choose for its reader. */
const bounds = { least: 16_384, most: 262_144, r: 8, p: 4 } as const

const base64 = z
  .string()
  .max(32_768)
  .regex(/^[A-Za-z0-9+/]*={0,2}$/)

const fileSchema = z.strictObject({
  kdf: z.strictObject({
    name: z.string(),
    params: z.strictObject({ N: z.int(), r: z.int(), p: z.int() }),
    salt: base64,
  }),
  cipher: z.strictObject({ name: z.string(), nonce: base64 }),
  ciphertext: base64,
})

/**
 * Opens the body of a key file of cosign: JSON with a passphrase by scrypt (RFC 7914) and NaCl's secretbox.
 * @returns PKCS#8, DER
 * @throws TrustError `KeyUnreadable`; `KeyNotAllowed` for parameters out of bounds; `KeyPassphrase`
 */
export async function decryptCosignKey(body: Uint8Array, passphrase: string): Promise<Uint8Array> {
  const { kdf, cipher, ciphertext } = parse(body)
  const { N, r, p } = kdf.params
  const within = N >= bounds.least && N <= bounds.most && (N & (N - 1)) === 0 && r === bounds.r && p >= 1 && p <= bounds.p
  if (kdf.name !== 'scrypt' || cipher.name !== 'nacl/secretbox' || !within)
    throw new TrustError(
      'KeyNotAllowed',
      `The private key is encrypted with ${JSON.stringify(kdf.name)} (N=${N}, r=${r}, p=${p}) and ${JSON.stringify(cipher.name)}; of cosign's keys those by scrypt (N from ${bounds.least} to ${bounds.most}, r=8) and nacl/secretbox are read.`,
    )
  const salt = Buffer.from(kdf.salt, 'base64')
  const nonce = Buffer.from(cipher.nonce, 'base64')
  if (salt.length < 16 || salt.length > 64 || nonce.length !== 24)
    throw new TrustError('KeyUnreadable', 'The private key has a salt or nonce of a wrong length: it is damaged.')
  const key = await derive(passphrase, salt, { N, r, p })
  try {
    return xsalsa20poly1305(key, nonce).decrypt(Buffer.from(ciphertext, 'base64'))
  } catch (cause) {
    throw wrongPassphrase(cause)
  }
}

/** @param random 56 bytes from a cryptographic source: salt and nonce */
export async function encryptCosignKey(pkcs8: Uint8Array, passphrase: string, random: Uint8Array): Promise<Uint8Array> {
  if (random.length !== 56) throw new RangeError(`56 random bytes are needed, not ${random.length}.`)
  const salt = random.subarray(0, 32)
  const nonce = random.subarray(32)
  const sealed = xsalsa20poly1305(await derive(passphrase, salt, written), nonce).encrypt(pkcs8)
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  return Buffer.from(
    JSON.stringify({
      kdf: { name: 'scrypt', params: written, salt: text(salt) },
      cipher: { name: 'nacl/secretbox', nonce: text(nonce) },
      ciphertext: text(sealed),
    }),
  )
}

function parse(body: Uint8Array): z.infer<typeof fileSchema> {
  try {
    return fileSchema.parse(JSON.parse(Buffer.from(body).toString('utf8')))
  } catch (cause) {
    throw new TrustError(
      'KeyUnreadable',
      'The private key is not in the format of cosign that its first line names, or it is damaged.',
      cause,
    )
  }
}

function derive(passphrase: string, salt: Uint8Array, options: { N: number; r: number; p: number }): Promise<Buffer> {
  const limits: ScryptOptions = { ...options, maxmem: 128 * options.N * options.r * 2 }
  return new Promise((resolve, reject) => {
    scrypt(passphrase, salt, 32, limits, (error, key) => (error === null ? resolve(key) : reject(error)))
  })
}
