import { X509Certificate } from 'node:crypto'
import { open } from 'node:fs/promises'
import { refusing, TrustError } from '../errors.ts'
import { maxKeyFileBytes, readPrivateKeyFile } from './key-file.ts'
import { memoryKey } from './memory-key.ts'
import type { ToolEnvironment } from './pkcs11-tool.ts'
import { parsePkcs11Uri } from './pkcs11-uri.ts'
import type { SignatureKey } from './signature-key.ts'
import { openTokenKey } from './token-key.ts'

export interface OpenKeyOptions {
  /** Asked for where the key is encrypted, or its token wants a PIN and the URI names no file with it. */
  readonly passphrase?: (() => Promise<string>) | undefined
  /** Of the process; only a token's tool sees it. */
  readonly env?: ToolEnvironment | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Opens a private key to sign with: the path of a file, or the PKCS#11 URI (RFC 7512) of a key in a token.
 * @throws TrustError `KeyUnreadable`, `KeyNotAllowed`, `KeyPassphrase`, `KeyProvider`; the system's errors for the file
 */
export async function openSignatureKey(uri: string, { passphrase, env = {}, signal }: OpenKeyOptions = {}): Promise<SignatureKey> {
  if (uri.startsWith('pkcs11:')) {
    const where = parsePkcs11Uri(uri)
    const { pinFile } = where
    return openTokenKey(where, { env, signal, pin: pinFile === undefined ? passphrase : () => readSecretFile(pinFile) })
  }
  const text = await readKeyText(uri)
  try {
    return memoryKey((await readPrivateKeyFile(text, passphrase)).key)
  } catch (cause) {
    if (cause instanceof TrustError) throw new TrustError(cause.code, `${uri}: ${cause.message}`, cause)
    throw cause
  }
}

/** The same key, with the certificate that an own PKI gave it. @throws TrustError `KeyUnreadable` where it is for another key */
export function withCertificates(key: SignatureKey, pem: string): SignatureKey {
  const chain = pem.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\n?/g) ?? []
  const [leaf] = chain
  const fits = refusing('KeyUnreadable', 'The certificate is damaged.', () => {
    if (leaf === undefined || chain.length > 16) throw new Error('no certificate in PEM')
    return new X509Certificate(leaf).publicKey.export({ type: 'spki', format: 'pem' }) === key.publicKey
  })
  if (!fits) throw new TrustError('KeyUnreadable', 'The first certificate is for another key than the one to sign with.')
  return { publicKey: key.publicKey, certificateChain: chain, sign: (bytes, signal) => key.sign(bytes, signal) }
}

/** The text of a key file or of a public one, bounded. @throws TrustError `KeyUnreadable` where it is too large; the system's errors */
export function readKeyText(path: string): Promise<string> {
  return readBounded(path, maxKeyFileBytes, 'key')
}

/** A passphrase or PIN from a file: its first line, as tools write them with or without a line's end. */
export async function readSecretFile(path: string): Promise<string> {
  return (await readBounded(path, 4096, 'passphrase')).split(/\r?\n/, 1)[0] ?? ''
}

async function readBounded(path: string, limit: number, what: string): Promise<string> {
  const handle = await open(path)
  try {
    const buffer = Buffer.alloc(limit + 1)
    let size = 0
    for (let read = -1; read !== 0 && size <= limit; size += read) read = (await handle.read(buffer, size, buffer.length - size)).bytesRead
    if (size > limit) throw new TrustError('KeyUnreadable', `${path} is far too large for a ${what}: more than ${limit} bytes.`)
    return buffer.toString('utf8', 0, size)
  } finally {
    await handle.close()
  }
}
