import { type ContentSource, type Descriptor, digestHex, type Manifest, OciError, parseManifest, readBlob } from '@muster/oci'
import { TrustError } from '../errors.ts'
import { maxBundleBytes, readSigstoreBundle, sigstoreBundleMediaTypes } from './bundle-reader.ts'
import {
  dsseMediaType,
  maxSimpleSigningBytes,
  readCosignAttestation,
  readCosignSignature,
  simpleSigningMediaType,
} from './cosign-reader.ts'
import type { SignedEnvelope } from './envelope.ts'

/** More signatures of one kind on one artifact are not read: whoever may write to a repository must not be able to stall its readers. */
export const maxSignatures = 64

/** More bytes of signatures on one artifact are not read. */
const maxTotalBytes = 64 * 1024 * 1024

/** Requests that run at once. */
const concurrency = 8

/** Artifact types of signatures that are known, and not read here. */
const foreign: ReadonlyMap<string, string> = new Map([['application/vnd.cncf.notary.signature', 'Notation']])

/** Artifact types by which cosign attached its older formats as referrers (cosign 2, experimental). */
const cosignReferrers: readonly string[] = [
  'application/vnd.dev.cosign.artifact.sig.v1+json',
  'application/vnd.dev.cosign.artifact.att.v1+json',
]

export interface EnvelopesOptions {
  readonly signal?: AbortSignal | undefined
}

export interface Envelopes {
  readonly envelopes: SignedEnvelope[]
  /**
   * What could not be read, and so proves nothing: `UnknownFormat`, `DataDamaged`, `SignatureInvalid` (about another artifact),
   * `RegistryUnreachable` (then the list is not complete).
   */
  readonly problems: TrustError[]
}

/** A layer that holds a signature, and what it hangs on. */
interface Found {
  readonly layer: Descriptor
  readonly referrer: string
}

/**
 * Reads every signature and attestation of an artifact, in all formats: Sigstore bundles and cosign's older layers as referrers
 * (by API or fallback tag), and cosign's tags `sha256-<hex>.sig` and `.att`. Nothing is verified but the digests of what was read
 * and that each names this artifact. One that cannot be read is a problem beside the others, never the end.
 */
export async function readEnvelopes(source: ContentSource, subject: Descriptor, { signal }: EnvelopesOptions = {}): Promise<Envelopes> {
  const { digest } = subject
  const problems: TrustError[] = []
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work()
    } catch (error) {
      signal?.throwIfAborted()
      problems.push(asProblem(error, digest))
      return undefined
    }
  }

  const lists = await Promise.all([
    attempt(() => fromReferrers(source, digest, problems, attempt, signal)),
    attempt(() => fromTag(source, digest, '.sig', problems, signal)),
    attempt(() => fromTag(source, digest, '.att', problems, signal)),
  ])
  const found = withinBudget(
    lists.flatMap((list) => list ?? []),
    digest,
    problems,
  )
  const envelopes = await inParallel(found, (one) => attempt(() => readEnvelope(source, one, digest, signal)))
  return { envelopes: envelopes.filter((envelope) => envelope !== undefined), problems }
}

type Attempt = <T>(work: () => Promise<T>) => Promise<T | undefined>

async function fromReferrers(
  source: ContentSource,
  digest: string,
  problems: TrustError[],
  attempt: Attempt,
  signal: AbortSignal | undefined,
): Promise<Found[]> {
  const referrers = await source.referrers(digest, { signal })
  for (const { artifactType, digest: referrer } of referrers.slice(0, maxSignatures)) {
    const tool = artifactType === undefined ? undefined : foreign.get(artifactType)
    if (tool !== undefined)
      problems.push(new TrustError('UnknownFormat', `${referrer} is a signature by ${tool} on ${digest}; that format is not read here.`))
  }
  // An entry without a type may be one too: lists by tag that older tools wrote have none.
  const candidates = referrers.filter(
    ({ artifactType }) =>
      artifactType === undefined || sigstoreBundleMediaTypes.includes(artifactType) || cosignReferrers.includes(artifactType),
  )
  const read = await inParallel(first(candidates, 'referrers that may be signatures', digest, problems), (candidate) =>
    attempt(async (): Promise<Found[]> => {
      const manifest = parseManifest((await source.manifest(candidate.digest, { signal })).bytes)
      if (manifest.subject?.digest !== digest)
        throw new TrustError('UnknownFormat', `The referrer ${candidate.digest} of ${digest} does not name it as its subject.`)
      const layers = signatureLayers(manifest)
      if (layers.length === 0 && candidate.artifactType !== undefined)
        throw new TrustError('UnknownFormat', `The referrer ${candidate.digest} of ${digest} has no layer with a signature.`)
      return first(layers, `signatures in ${candidate.digest}`, digest, problems).map((layer) => ({ layer, referrer: candidate.digest }))
    }),
  )
  return [
    ...first(
      read.flatMap((one) => one ?? []),
      'signatures among its referrers',
      digest,
      problems,
    ),
  ]
}

async function fromTag(
  source: ContentSource,
  digest: string,
  suffix: '.sig' | '.att',
  problems: TrustError[],
  signal: AbortSignal | undefined,
): Promise<Found[]> {
  const tagged = await source.resolve(cosignTag(digest, suffix), { signal })
  if (tagged === undefined) return []
  const layers = signatureLayers(parseManifest((await source.manifest(tagged.digest, { signal })).bytes))
  if (layers.length === 0) throw new TrustError('UnknownFormat', `The tag ${cosignTag(digest, suffix)} has no layer with a signature.`)
  return first(layers, `signatures under its tag ${suffix}`, digest, problems).map((layer) => ({ layer, referrer: tagged.digest }))
}

/** Where cosign's older formats are kept: beside the artifact, under a tag made of its digest. */
export function cosignTag(digest: string, suffix: '.sig' | '.att'): string {
  return `sha256-${digestHex(digest)}${suffix}`
}

function signatureLayers(manifest: Manifest): readonly Descriptor[] {
  return manifest.layers.filter(
    ({ mediaType }) => sigstoreBundleMediaTypes.includes(mediaType) || mediaType === simpleSigningMediaType || mediaType === dsseMediaType,
  )
}

async function readEnvelope(
  source: ContentSource,
  { layer, referrer }: Found,
  digest: string,
  signal: AbortSignal | undefined,
): Promise<SignedEnvelope> {
  const limit = layer.mediaType === simpleSigningMediaType ? maxSimpleSigningBytes : maxBundleBytes
  const bytes = await readBlob(source, layer, { limit, signal })
  if (layer.mediaType === simpleSigningMediaType) return readCosignSignature(bytes, layer, digest, referrer)
  if (layer.mediaType === dsseMediaType) return readCosignAttestation(bytes, layer, digest, referrer, maxBundleBytes)
  return readSigstoreBundle(bytes, digest, referrer)
}

function first<T>(all: readonly T[], of: string, digest: string, problems: TrustError[]): readonly T[] {
  if (all.length <= maxSignatures) return all
  problems.push(
    new TrustError(
      'UnknownFormat',
      `${digest} has ${all.length} ${of}; only the first ${maxSignatures} were read. Remove the ones not needed.`,
    ),
  )
  return all.slice(0, maxSignatures)
}

function withinBudget(found: readonly Found[], digest: string, problems: TrustError[]): readonly Found[] {
  let total = 0
  const kept = found.filter(({ layer: { size } }) => {
    // One that is too large by itself is refused by name where it would be read.
    if (size > maxBundleBytes) return true
    if (total + size > maxTotalBytes) return false
    total += size
    return true
  })
  if (kept.length < found.length)
    problems.push(
      new TrustError(
        'UnknownFormat',
        `${digest} has more than ${maxTotalBytes} bytes of signatures; ${found.length - kept.length} were not read. Remove the ones not needed.`,
      ),
    )
  return kept
}

async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) results[at] = await work(items[at] as T)
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, worker))
  return results
}

/** What an error says about one signature. An error of no known class is a mistake, and thrown on. */
export function asProblem(error: unknown, digest: string): TrustError {
  if (error instanceof TrustError) return error
  if (!(error instanceof OciError)) throw error
  switch (error.code) {
    case 'DigestMismatch':
    case 'SizeMismatch':
      return new TrustError('DataDamaged', `A signature on ${digest} was changed or damaged in the registry: ${error.message}`, error)
    case 'NotFound':
      return new TrustError('DataDamaged', `A signature on ${digest} is listed but not there: ${error.message}`, error)
    case 'TooLarge':
    case 'InvalidManifest':
    case 'InvalidJson':
    case 'InvalidDigest':
    case 'Unsupported':
      return new TrustError('UnknownFormat', `A signature on ${digest} is not readable: ${error.message}`, error)
    default:
      return new TrustError('RegistryUnreachable', `The signatures on ${digest} could not be asked for: ${error.message}`, error)
  }
}
