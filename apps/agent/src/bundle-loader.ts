import { type CustomizationReport, type ReleaseReason, releaseReasons } from '@muster/api'
import { BundleError, type ReadBundle, readBundle } from '@muster/bundle'
import { CelError } from '@muster/cel'
import type { KubeObject } from '@muster/kube'
import { type ContentSource, OciError } from '@muster/oci'
import { HealthRules } from '@muster/reconcile'
import { type ChannelContent, type EffectivePolicy, TrustError, verifyArtifact } from '@muster/trust'
import { releaseReasonOf, verdictsOn } from './policy-verdict.ts'

/** A bundle whose signatures were verified and whose bytes are those of its digest. */
export interface LoadedBundle {
  readonly digest: string
  readonly version: string
  /** Names of the publishers whose signatures were verified. */
  readonly signedBy: readonly string[]
  readonly objects: readonly KubeObject[]
  /** How its custom resources are judged. */
  readonly health: HealthRules
  /** The bundle as it is signed. */
  readonly read: ReadBundle
  /** Where objects go that name no namespace, where a customization says so. */
  readonly namespace?: string
  /** What is in force over the bundle. */
  readonly customizations?: readonly CustomizationReport[]
}

/** Which bundle is wanted. `size` (bytes of its index) is checked where it is known. */
export interface WantedBundle {
  readonly repository: string
  readonly version: string
  readonly digest: string
  readonly size?: number
}

/** Why a bundle is not taken: a reason of the Release, with the error's own sentence. */
export class BundleRefusal extends Error {
  override readonly name = 'BundleRefusal'
  readonly reason: ReleaseReason
  /** Whether to try again soon. What is refused for its bytes is looked at again too, but at leisure. */
  readonly transient: boolean

  constructor(reason: ReleaseReason, message: string, transient: boolean, cause: unknown) {
    super(message, { cause })
    this.reason = reason
    this.transient = transient
  }
}

/** By whom a bundle must be signed, and what policies ask beside that. */
export interface BundleTrust {
  readonly publishers: ChannelContent['publishers']
  /** Policies that hold, where there are any. */
  readonly policy?:
    | {
        readonly effective: EffectivePolicy
        readonly now: Date
        /** False: it runs already, so that its age is no ground to refuse it. */
        readonly refuseOld: boolean
        /** Where images have their own signatures. */
        readonly source: (repository: string) => ContentSource
      }
    | undefined
}

/**
 * Fetches a bundle and verifies it: who signed it, every byte that it is made of, and what policies ask of it and of its images.
 * @throws BundleRefusal
 */
export async function loadBundle(
  source: ContentSource,
  wanted: WantedBundle,
  { publishers, policy }: BundleTrust,
  signal: AbortSignal,
): Promise<LoadedBundle> {
  const { repository, digest, version } = wanted
  try {
    // A channel without publishers leaves it all to its policies; without these it takes nothing.
    const bySignature = publishers.length > 0 || policy === undefined
    const { signedBy, bundle } = await signedBundle(source, wanted, bySignature ? publishers : undefined, signal)
    if (bundle.config.version !== version) {
      const message = `The bundle says that it is version ${bundle.config.version}; the channel asks for ${version}.`
      throw new BundleRefusal(releaseReasons.bundleInvalid, message, false, undefined)
    }
    const loaded = { digest, version, objects: bundle.objects, read: bundle, health: await HealthRules.compile(bundle.health) }
    if (policy === undefined) return { ...loaded, signedBy }
    const verdicts = await verdictsOn(repository, bundle, { ...policy, policy: policy.effective, known: bySignature, signal })
    const refused = verdicts.find(({ accepted }) => !accepted)
    if (refused !== undefined) {
      const reason = releaseReasonOf(refused)
      throw new BundleRefusal(reason, refused.message ?? 'A policy refuses it.', reason === releaseReasons.registryUnreachable, undefined)
    }
    const authorities = verdicts[0]?.demands.flatMap(({ demand, found }) =>
      demand === 'signature' ? found.map((one) => one.authority) : [],
    )
    return { ...loaded, signedBy: [...new Set([...signedBy, ...(authorities ?? [])])] }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw error instanceof BundleRefusal ? error : refusalOf(error)
  }
}

/**
 * First the index, which opens the connection; then signatures and content side by side, as each takes several requests in turn. What
 * the content is was said by whoever said its digest, and reading it is bounded; nothing of it leaves here before its signatures were
 * verified.
 */
async function signedBundle(
  source: ContentSource,
  { digest, size }: WantedBundle,
  publishers: ChannelContent['publishers'] | undefined,
  signal: AbortSignal,
): Promise<{ signedBy: readonly string[]; bundle: ReadBundle }> {
  const index = await source.manifest(digest, { signal })
  const known: ContentSource = {
    resolve: (tagOrDigest, options) => source.resolve(tagOrDigest, options),
    manifest: async (wanted, options) => (wanted === digest ? index : source.manifest(wanted, options)),
    blob: (descriptor, options) => source.blob(descriptor, options),
    referrers: (subject, options) => source.referrers(subject, options),
  }
  const enough = new AbortController()
  const reading = readBundle(known, size === undefined ? digest : { digest, size }, { signal: AbortSignal.any([signal, enough.signal]) })
  // Its failure is looked at where it is waited for, after that of the signatures.
  reading.catch(() => undefined)
  try {
    const signedBy = publishers === undefined ? [] : (await verifyArtifact(known, index.descriptor, { publishers, signal })).signedBy
    return { signedBy, bundle: await reading }
  } finally {
    enough.abort('no longer needed')
  }
}

/** Each error's own reason: "unsigned" is never said for an outage, nor "unreachable" for damage. */
export function refusalOf(error: unknown): BundleRefusal {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof TrustError) {
    switch (error.code) {
      case 'SignatureMissing':
      case 'SignatureWrongKey':
      case 'SignatureInvalid':
      case 'DataDamaged':
      case 'PolicyInvalid':
        return new BundleRefusal(error.code, message, error.transient, error)
      case 'AuthorityInvalid':
        return new BundleRefusal(releaseReasons.policyInvalid, message, false, error)
      default:
        return new BundleRefusal(releaseReasons.signatureInvalid, message, false, error)
    }
  }
  if (error instanceof BundleError) {
    const damaged = error.code === 'DataDamaged'
    return new BundleRefusal(damaged ? releaseReasons.dataDamaged : releaseReasons.bundleInvalid, message, damaged, error)
  }
  if (error instanceof CelError) {
    const why = `A health rule of the bundle is no expression in CEL: ${message}. Publish it again, made by a newer Muster or without the rule.`
    return new BundleRefusal(releaseReasons.bundleInvalid, why, false, error)
  }
  if (error instanceof OciError) {
    if (error.code === 'DigestMismatch' || error.code === 'SizeMismatch')
      return new BundleRefusal(releaseReasons.dataDamaged, message, true, error)
    return new BundleRefusal(releaseReasons.registryUnreachable, message, true, error)
  }
  return new BundleRefusal(releaseReasons.registryUnreachable, message, true, error)
}
