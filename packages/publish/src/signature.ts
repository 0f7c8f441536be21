import { type ContentSource, type ContentTarget, copy, type Descriptor, OciError, parseManifest, readBlob } from '@muster/oci'
import {
  attachSignature,
  maxSignatureBytes,
  maxSignatures,
  signDigest,
  sigstoreBundleMediaType,
  TrustError,
  verifySigstoreBundle,
} from '@muster/trust'

/** Who signs: both halves of an ECDSA P-256 key, as PEM. */
export interface Signer {
  readonly privateKey: string
  readonly publicKey: string
}

/** What a step works with: a layout, or a repository. */
export type Store = ContentSource & ContentTarget

/**
 * Sees to it that `store` holds one signature by the signer's key: one that is there is kept, one that is at `elsewhere` is taken
 * over (ECDSA signatures differ each time, so signing again would pile them up), else a new one is made.
 * @returns whether a new one was made
 * @throws TrustError for keys that are none; OciError
 */
export async function ensureSigned(
  store: Store,
  subject: Descriptor,
  signer: Signer,
  elsewhere: readonly ContentSource[],
  signal?: AbortSignal,
): Promise<boolean> {
  if ((await ownSignature(store, subject, signer, signal)) !== undefined) return false
  for (const source of elsewhere) {
    const found = await ownSignature(source, subject, signer, signal)
    if (found === undefined) continue
    await copy(source, store, found, { signal })
    return false
  }
  await attachSignature(store, subject, signDigest({ digest: subject.digest, ...signer }), { signal })
  return true
}

/** The referrer that is a good signature by the signer's key. */
async function ownSignature(
  source: ContentSource,
  subject: Descriptor,
  signer: Signer,
  signal: AbortSignal | undefined,
): Promise<Descriptor | undefined> {
  const referrers = await source.referrers(subject.digest, { artifactType: sigstoreBundleMediaType, signal })
  for (const referrer of referrers.slice(0, maxSignatures)) {
    if (await isSignedBy(source, referrer, subject.digest, signer, signal)) return referrer
  }
  return undefined
}

async function isSignedBy(
  source: ContentSource,
  referrer: Descriptor,
  digest: string,
  signer: Signer,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    const { bytes } = await source.manifest(referrer.digest, { signal })
    const { subject, layers } = parseManifest(bytes)
    const [layer] = layers
    if (subject?.digest !== digest || layer === undefined || layers.length !== 1) return false
    const signature = await readBlob(source, layer, { limit: maxSignatureBytes, signal })
    return verifySigstoreBundle(signature, digest, [{ name: 'own', publicKey: signer.publicKey }]) !== undefined
  } catch (error) {
    // Somebody else's signature, or a damaged one, is not ours. Trouble with the key or the registry is no answer.
    if (error instanceof TrustError && (error.code === 'SignatureWrongKey' || error.code === 'SignatureInvalid')) return false
    if (error instanceof OciError && notASignature.has(error.code)) return false
    throw error
  }
}

const notASignature: ReadonlySet<string> = new Set<OciError['code']>([
  'NotFound',
  'DigestMismatch',
  'SizeMismatch',
  'TooLarge',
  'InvalidManifest',
  'InvalidJson',
  'Unsupported',
])
