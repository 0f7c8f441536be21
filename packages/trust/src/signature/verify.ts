import { type ContentSource, type Descriptor, OciError, parseManifest, readBlob } from '@muster/oci'
import { TrustError, type TrustErrorCode } from '../errors.ts'
import { keyId } from '../keys/keys.ts'
import { predicateTypeAnnotation } from './attach.ts'
import { sigstoreBundleMediaType } from './bundle-reader.ts'
import { maxSignatures } from './read-envelopes.ts'
import { maxSignatureBytes, type Publisher, verifySigstoreBundle } from './sigstore-bundle.ts'
import { signPredicateType } from './statement.ts'

export interface VerifyOptions {
  readonly publishers: readonly Publisher[]
  /** How many publishers, with keys of their own, must have signed. Default 1. */
  readonly threshold?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** What stands against an artifact most when several things do: the first of these. */
const gravity: readonly TrustErrorCode[] = ['DataDamaged', 'SignatureInvalid', 'SignatureWrongKey', 'SignatureMissing']

/**
 * Verifies that an artifact was signed by enough of the named publishers, from the signatures attached to it. A bad signature
 * beside good ones does no harm; a registry that does not answer is no verdict.
 * @throws TrustError `SignatureMissing`, `SignatureWrongKey`, `SignatureInvalid`, `DataDamaged`, `KeyUnreadable`, `KeyNotAllowed`
 * @throws OciError where the registry could not be asked
 */
export async function verifyArtifact(
  source: ContentSource,
  subject: Descriptor,
  { publishers, threshold = 1, signal }: VerifyOptions,
): Promise<{ readonly signedBy: string[] }> {
  if (!Number.isInteger(threshold) || threshold < 1)
    throw new RangeError(`The threshold must be a whole number of at least 1, not ${threshold}.`)
  const { digest } = subject
  const referrers = (await source.referrers(digest, { artifactType: sigstoreBundleMediaType, signal })).filter(mayBeSignature)
  const signers = new Map<string, string>()
  const refusals: TrustError[] = []
  for (const referrer of referrers.slice(0, maxSignatures)) {
    try {
      const publisher = verifySigstoreBundle(await readSignature(source, referrer, digest, signal), digest, publishers)
      if (publisher) signers.set(keyId(publisher.publicKey), publisher.name)
      if (signers.size >= threshold) return { signedBy: [...signers.values()] }
    } catch (error) {
      refusals.push(asRefusal(error, digest))
    }
  }
  if (referrers.length > maxSignatures)
    refusals.push(
      new TrustError(
        'SignatureInvalid',
        `${digest} has ${referrers.length} signatures; only the first ${maxSignatures} were read. Remove the ones not needed.`,
      ),
    )
  const gravest = gravity.flatMap((code) => refusals.filter((refusal) => refusal.code === code))[0]
  if (gravest) throw gravest
  throw new TrustError(
    'SignatureMissing',
    signers.size > 0
      ? `${digest} is signed by ${[...signers.values()].join(', ')}, but ${threshold} publishers must sign it.`
      : `${digest} has no signature. Sign it with a key of ${publishers.map((publisher) => publisher.name).join(' or ') || 'a publisher (none is named)'}.`,
  )
}

/** Sets aside what says by annotation that it is an attestation. One that lies is only not counted. */
function mayBeSignature(referrer: Descriptor): boolean {
  const predicateType = referrer.annotations?.[predicateTypeAnnotation]
  return referrer.artifactType === sigstoreBundleMediaType && (predicateType === undefined || predicateType === signPredicateType)
}

async function readSignature(
  source: ContentSource,
  referrer: Descriptor,
  digest: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const { bytes } = await source.manifest(referrer.digest, { signal })
  const { subject, layers } = parseManifest(bytes)
  const layer = layers[0]
  if (subject?.digest !== digest || layers.length !== 1 || layer?.mediaType !== sigstoreBundleMediaType)
    throw new TrustError('SignatureInvalid', `The referrer ${referrer.digest} of ${digest} is not a manifest with one Sigstore bundle.`)
  return readBlob(source, layer, { limit: maxSignatureBytes, signal })
}

/** What an error says about one signature. What says nothing, such as an outage, is thrown on: it must not read as a refusal. */
function asRefusal(error: unknown, digest: string): TrustError {
  if (error instanceof TrustError) {
    if (gravity.includes(error.code)) return error
    throw error
  }
  if (!(error instanceof OciError)) throw error
  switch (error.code) {
    case 'DigestMismatch':
    case 'SizeMismatch':
      return new TrustError('DataDamaged', `A signature on ${digest} was changed or damaged in the registry: ${error.message}`, error)
    case 'NotFound':
      return new TrustError('SignatureMissing', `A signature on ${digest} is listed but not there: ${error.message}`, error)
    case 'TooLarge':
    case 'InvalidManifest':
    case 'InvalidJson':
    case 'Unsupported':
      return new TrustError('SignatureInvalid', `A signature on ${digest} is not readable: ${error.message}`, error)
    default:
      throw error
  }
}
