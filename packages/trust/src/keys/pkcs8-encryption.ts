import { createCipheriv, createDecipheriv, pbkdf2 } from 'node:crypto'
import { promisify } from 'node:util'
import { TrustError } from '../errors.ts'
import { derTags, readDer, readInteger, readOctets, readOid, readSequence, writeDer, writeInteger, writeOid } from './der.ts'

const derive = promisify(pbkdf2)

const oids = {
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  sha256: '1.2.840.113549.2.9',
  aes256: '2.16.840.1.101.3.4.1.42',
}

/** Of PBKDF2 (SP 800-132), approved for FIPS 140. */
const prfs: ReadonlyMap<string, string> = new Map([
  [oids.sha256, 'sha256'],
  ['1.2.840.113549.2.10', 'sha384'],
  ['1.2.840.113549.2.11', 'sha512'],
])

/** AES in CBC mode (SP 800-38A): name and bytes of the key. */
const ciphers: ReadonlyMap<string, { readonly name: string; readonly keyBytes: number }> = new Map([
  ['2.16.840.1.101.3.4.1.2', { name: 'aes-128-cbc', keyBytes: 16 }],
  ['2.16.840.1.101.3.4.1.22', { name: 'aes-192-cbc', keyBytes: 24 }],
  [oids.aes256, { name: 'aes-256-cbc', keyBytes: 32 }],
])

/** What is refused, by the names that people know it by. */
const weak: ReadonlyMap<string, string> = new Map([
  ['1.2.840.113549.1.5.1', 'PBES1 with MD2 and DES'],
  ['1.2.840.113549.1.5.3', 'PBES1 with MD5 and DES'],
  ['1.2.840.113549.1.5.4', 'PBES1 with MD2 and RC2'],
  ['1.2.840.113549.1.5.6', 'PBES1 with MD5 and RC2'],
  ['1.2.840.113549.1.5.10', 'PBES1 with SHA-1 and DES'],
  ['1.2.840.113549.1.5.11', 'PBES1 with SHA-1 and RC2'],
  ['1.2.840.113549.1.12.1.1', 'PKCS#12 encryption with SHA-1 and RC4'],
  ['1.2.840.113549.1.12.1.2', 'PKCS#12 encryption with SHA-1 and RC4'],
  ['1.2.840.113549.1.12.1.3', 'PKCS#12 encryption with SHA-1 and triple DES'],
  ['1.2.840.113549.1.12.1.4', 'PKCS#12 encryption with SHA-1 and triple DES'],
  ['1.2.840.113549.1.12.1.5', 'PKCS#12 encryption with SHA-1 and RC2'],
  ['1.2.840.113549.1.12.1.6', 'PKCS#12 encryption with SHA-1 and RC2'],
  ['1.3.6.1.4.1.11591.4.11', 'scrypt, which FIPS 140 does not approve'],
  ['1.2.840.113549.2.7', 'PBKDF2 with HMAC-SHA-1'],
  ['1.3.14.3.2.7', 'DES'],
  ['1.2.840.113549.3.2', 'RC2'],
  ['1.2.840.113549.3.7', 'triple DES'],
])

/** What OWASP asks for PBKDF2 with HMAC-SHA-256. Below `least` (SP 800-132) a passphrase is no protection; above `most` reading takes minutes. */
const iterations = { written: 600_000, least: 1000, most: 10_000_000 } as const

/**
 * Opens an encrypted PKCS#8 (RFC 5958, `EncryptedPrivateKeyInfo`): PBES2 (RFC 8018) with PBKDF2 over HMAC-SHA-2 and AES-CBC.
 * @returns PKCS#8, DER
 * @throws TrustError `KeyNotAllowed` for other ciphers, by name; `KeyPassphrase`; `KeyUnreadable`
 */
export async function decryptPkcs8(der: Uint8Array, passphrase: string): Promise<Uint8Array> {
  const { prf, cipher, salt, rounds, iv, encrypted } = parameters(der)
  const key = await derive(passphrase, salt, rounds, cipher.keyBytes, prf)
  try {
    const decipher = createDecipheriv(cipher.name, key, iv)
    return Buffer.concat([decipher.update(encrypted), decipher.final()])
  } catch (cause) {
    throw wrongPassphrase(cause)
  }
}

/** Whoever guesses wrong gets padding that is wrong, or once in a while bytes that are no key. */
export function wrongPassphrase(cause: unknown): TrustError {
  return new TrustError('KeyPassphrase', 'The passphrase does not open the private key, or the key is damaged.', cause)
}

/** @param random 32 bytes from a cryptographic source: salt and initialization vector */
export async function encryptPkcs8(pkcs8: Uint8Array, passphrase: string, random: Uint8Array): Promise<Uint8Array> {
  if (random.length !== 32) throw new RangeError(`32 random bytes are needed, not ${random.length}.`)
  const salt = random.subarray(0, 16)
  const iv = random.subarray(16)
  const cipher = createCipheriv('aes-256-cbc', await derive(passphrase, salt, iterations.written, 32, 'sha256'), iv)
  const encrypted = Buffer.concat([cipher.update(pkcs8), cipher.final()])
  const { sequence, octets, nothing } = derTags
  const prf = writeDer(sequence, writeOid(oids.sha256), writeDer(nothing))
  const kdf = writeDer(
    sequence,
    writeOid(oids.pbkdf2),
    writeDer(sequence, writeDer(octets, salt), writeInteger(iterations.written), writeInteger(32), prf),
  )
  const scheme = writeDer(
    sequence,
    writeOid(oids.pbes2),
    writeDer(sequence, kdf, writeDer(sequence, writeOid(oids.aes256), writeDer(octets, iv))),
  )
  return writeDer(sequence, scheme, writeDer(octets, encrypted))
}

function parameters(der: Uint8Array) {
  try {
    const [outer, ...rest] = readDer(der)
    if (rest.length > 0) throw new Error('there is more behind it')
    const [algorithm, encrypted] = readSequence(outer, 2)
    const [scheme, schemeParameters] = readSequence(algorithm, 1)
    demand(readOid(scheme), oids.pbes2)
    const [kdf, encryption] = readSequence(schemeParameters, 2)
    const [kdfName, kdfParameters] = readSequence(kdf, 2)
    demand(readOid(kdfName), oids.pbkdf2)
    const [salt, rounds, ...optional] = readSequence(kdfParameters, 2)
    const [cipherName, iv] = readSequence(encryption, 2)
    const prf = optional.find(({ tag }) => tag === derTags.sequence)
    // RFC 8018 A.2: without one it is HMAC-SHA-1.
    const read = {
      prf: named(prfs, prf === undefined ? '1.2.840.113549.2.7' : readOid(readSequence(prf, 1)[0])),
      cipher: named(ciphers, readOid(cipherName)),
      salt: readOctets(salt),
      rounds: readInteger(rounds),
      iv: readOctets(iv),
      encrypted: readOctets(encrypted),
    }
    if (read.iv.length !== 16 || read.salt.length < 8 || read.salt.length > 1024) throw new Error('a salt or vector of a wrong length')
    if (read.rounds < iterations.least || read.rounds > iterations.most)
      throw notAllowed(`${read.rounds} iterations of PBKDF2, where ${iterations.least} to ${iterations.most} are accepted`)
    return read
  } catch (cause) {
    if (cause instanceof TrustError) throw cause
    throw new TrustError('KeyUnreadable', 'The encrypted private key is not PKCS#8 (RFC 5958), or it is damaged.', cause)
  }
}

function demand(found: string, wanted: string): void {
  if (found !== wanted) throw notAllowed(weak.get(found) ?? `an unknown scheme (${found})`)
}

function named<T>(known: ReadonlyMap<string, T>, oid: string): T {
  const found = known.get(oid)
  if (found === undefined) throw notAllowed(weak.get(oid) ?? `an unknown scheme (${oid})`)
  return found
}

function notAllowed(what: string): TrustError {
  return new TrustError(
    'KeyNotAllowed',
    `The private key is encrypted with ${what}. Encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 600000.`,
  )
}
