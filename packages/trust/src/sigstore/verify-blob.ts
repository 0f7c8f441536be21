import { createHash, createVerify, type KeyObject, timingSafeEqual, verify } from 'node:crypto'
import { TrustError } from '../errors.ts'
import type { Authority, KeyAuthority, SigstoreAuthority, VerifiedIdentity } from './authority.ts'
import { type FileHash, type MessageBundle, readBlobBundle, type StatementBundle } from './blob-bundle.ts'
import { readAuthorityKey } from './key-authority.ts'
import { hashesOf } from './signature-check.ts'
import { contentOf, type Signed } from './signed.ts'
import { demandAuthority } from './verify-envelope.ts'

/** A file: its bytes, in chunks that are done with before the next is asked for, or only its digest (SHA-256, 384 or 512), which is enough for a statement about it. */
export type BlobArtifact = { readonly content: () => AsyncIterable<Uint8Array> } | { readonly digest: string }

export interface VerifyBlobOptions {
  readonly now: Date
  readonly signal?: AbortSignal | undefined
  /** With a key: a trusted root by which the bundle's log entries and time stamps must hold too. */
  readonly proofs?: Pick<SigstoreAuthority, 'trustedRoot' | 'tlogThreshold' | 'timestampThreshold'> | undefined
}

export interface VerifiedBlob extends VerifiedIdentity {
  /** Of the file: `sha256:…`, or what was given. */
  readonly digest: string
  /** Where the bundle holds a statement: what it says of the file is of this type. */
  readonly predicateType?: string | undefined
}

/** Ed25519 signs a message whole: a longer one would have to be held in memory. */
const maxWholeMessage = 64 * 1024 * 1024
const digestPattern = /^(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/

/**
 * Verifies a Sigstore bundle, v0.1 to v0.3, over a file: signature, signer, and all that came along. The file is read once, as a
 * stream. Nothing is asked of the network.
 * @param bundle the bundle's bytes (JSON)
 * @throws TrustError `WrongKey`, `IdentityNotAllowed`, `Expired`, `UnknownFormat`, `DataDamaged`, `NoneFound`; `AuthorityInvalid`,
 *   `KeyUnreadable`, `KeyNotAllowed` where the authority is at fault
 */
export async function verifyBlob(
  bundle: Uint8Array,
  artifact: BlobArtifact,
  authority: Authority,
  options: VerifyBlobOptions,
): Promise<VerifiedBlob> {
  const read = readBlobBundle(bundle)
  const { digest, signed } =
    read.kind === 'statement' ? await statementOf(read, artifact, options) : await messageOf(read, artifact, authority, options)
  const identity = await demandAuthority(signed, authority, options)
  const signedAt = options.proofs && authority.kind === 'key' ? await proofsOfKey(signed, authority, options) : undefined
  return {
    ...identity,
    ...(signedAt ? { signedAt } : {}),
    digest,
    ...(read.kind === 'statement' ? { predicateType: read.predicateType } : {}),
  }
}

interface Read {
  readonly digest: string
  readonly signed: Signed
}

async function statementOf(read: StatementBundle, artifact: BlobArtifact, options: VerifyBlobOptions): Promise<Read> {
  const digests = 'digest' in artifact ? givenDigest(artifact.digest) : hexOf(await digestsOf(artifact.content(), options))
  const [hash = '', value = ''] = Object.entries(digests)[0] ?? []
  const digest = `${hash}:${value}`
  const named = read.subjects.some((subject) =>
    Object.entries(digests).some(([name, hex]) => subject[name as FileHash]?.toLowerCase() === hex),
  )
  if (!named) throw new TrustError('DataDamaged', `The bundle is about other files than ${digest}: its statement does not name that one.`)
  return {
    digest,
    signed: {
      what: 'the bundle',
      content: contentOf(read.payload, read.signed, read.signature),
      material: read.material,
      bundle: read.json,
    },
  }
}

async function messageOf(read: MessageBundle, artifact: BlobArtifact, authority: Authority, options: VerifyBlobOptions): Promise<Read> {
  if ('digest' in artifact)
    throw new TrustError('UnknownFormat', 'The bundle signs the file itself, not a statement about its digest: give the file.')
  const candidates = await signerKeys(read, authority)
  const checks = candidates.map((key) => signatureChecks(key, read.signature))
  const digests = await digestsOf(
    artifact.content(),
    options,
    checks.flatMap((check) => check.update),
  )
  const claimed = read.digest
  if (claimed && !same(digests[claimed.hash], claimed.value))
    throw new TrustError('DataDamaged', `The bundle is over another file than this one, sha256:${digests.sha256.toString('hex')}.`)
  const holding = candidates.filter((_, at) => checks[at]?.holds() === true)
  return {
    digest: `sha256:${digests.sha256.toString('hex')}`,
    signed: {
      what: 'the bundle',
      content: {
        signature: read.signature,
        payloadDigest: digests.sha256,
        signedDigest: (hash) => digests[hash],
        holds: (key) => holding.some((one) => one.equals(key)),
      },
      material: read.material,
      bundle: read.json,
    },
  }
}

/** The keys that may have signed: known before the file is read, so that it is read once. */
async function signerKeys(read: MessageBundle, authority: Authority): Promise<KeyObject[]> {
  if (authority.kind === 'key') return authority.publicKeys.map(readAuthorityKey)
  const { signerCertificates } = await import('./x509-authority.ts')
  const [leaf] = signerCertificates('the bundle', read.material)
  return leaf ? [leaf.x509.publicKey] : []
}

interface SignatureCheck {
  readonly update: readonly ((chunk: Uint8Array) => void)[]
  readonly holds: () => boolean
}

/** Checks a signature over a stream, with each hash that goes with the key. */
function signatureChecks(key: KeyObject, signature: Uint8Array): SignatureCheck {
  const named = hashesOf(key).flatMap((hash) => (hash === undefined ? [] : [createVerify(hash)]))
  if (named.length === 0) return wholeMessageCheck(key, signature)
  return {
    update: named.map((check) => (chunk) => void check.update(chunk)),
    holds: () =>
      named
        .map((check) => {
          try {
            return check.verify(key, signature)
          } catch {
            return false // not a signature of this kind of key
          }
        })
        .includes(true),
  }
}

function wholeMessageCheck(key: KeyObject, signature: Uint8Array): SignatureCheck {
  const chunks: Uint8Array[] = []
  let size = 0
  return {
    update: [
      (chunk) => {
        size += chunk.length
        if (size > maxWholeMessage)
          throw new TrustError('UnknownFormat', 'Ed25519 signs a file whole, and this one is larger than 64 MiB: sign it with ECDSA.')
        chunks.push(Buffer.from(chunk))
      },
    ],
    holds: () => verify(undefined, Buffer.concat(chunks), key, signature),
  }
}

async function digestsOf(
  content: AsyncIterable<Uint8Array>,
  { signal }: VerifyBlobOptions,
  also: readonly ((chunk: Uint8Array) => void)[] = [],
): Promise<Readonly<Record<FileHash, Buffer>>> {
  const hashes = { sha256: createHash('sha256'), sha384: createHash('sha384'), sha512: createHash('sha512') }
  for await (const chunk of content) {
    signal?.throwIfAborted()
    for (const hash of Object.values(hashes)) hash.update(chunk)
    for (const update of also) update(chunk)
  }
  return { sha256: hashes.sha256.digest(), sha384: hashes.sha384.digest(), sha512: hashes.sha512.digest() }
}

async function proofsOfKey(signed: Signed, authority: KeyAuthority, { proofs, now }: VerifyBlobOptions): Promise<Date | undefined> {
  const key = authority.publicKeys.map(readAuthorityKey).find((one) => signed.content.holds(one))
  if (!key || !proofs) return undefined
  const { demandProofsOfKey } = await import('./sigstore-authority.ts')
  return demandProofsOfKey(signed, key, { ...proofs, kind: 'sigstore', name: authority.name }, { now })
}

function hexOf(digests: Readonly<Record<FileHash, Buffer>>): Readonly<Record<FileHash, string>> {
  return { sha256: digests.sha256.toString('hex'), sha384: digests.sha384.toString('hex'), sha512: digests.sha512.toString('hex') }
}

function givenDigest(digest: string): Readonly<Partial<Record<FileHash, string>>> {
  if (!digestPattern.test(digest))
    throw new TrustError('UnknownFormat', `${JSON.stringify(digest.slice(0, 100))} is not a digest, such as sha256:<64 hex digits>.`)
  const [hash = '', hex = ''] = digest.split(':')
  return { [hash]: hex }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
