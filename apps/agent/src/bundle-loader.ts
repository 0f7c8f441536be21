import { type ReleaseReason, releaseReasons } from '@muster/api'
import { BundleError, readBundle } from '@muster/bundle'
import type { KubeObject } from '@muster/kube'
import { type ContentSource, OciError } from '@muster/oci'
import { type ChannelContent, TrustError, verifyArtifact } from '@muster/trust'

/** A bundle whose signatures were verified and whose bytes are those of its digest. */
export interface LoadedBundle {
  readonly digest: string
  readonly version: string
  /** Names of the publishers whose signatures were verified. */
  readonly signedBy: readonly string[]
  readonly objects: readonly KubeObject[]
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

/**
 * Fetches a bundle and verifies it: first who signed it, then every byte that it is made of.
 * @throws BundleRefusal
 */
export async function loadBundle(
  source: ContentSource,
  wanted: WantedBundle,
  publishers: ChannelContent['publishers'],
  signal: AbortSignal,
): Promise<LoadedBundle> {
  const { digest, size, version } = wanted
  try {
    const subject = { mediaType: 'application/vnd.oci.image.index.v1+json', digest, size: size ?? 0 }
    const { signedBy } = await verifyArtifact(source, subject, { publishers, signal })
    const bundle = await readBundle(source, size === undefined ? digest : { digest, size }, { signal })
    if (bundle.config.version !== version) {
      const message = `The bundle says that it is version ${bundle.config.version}; the channel asks for ${version}.`
      throw new BundleRefusal(releaseReasons.bundleInvalid, message, false, undefined)
    }
    return { digest, version, signedBy, objects: bundle.objects }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw error instanceof BundleRefusal ? error : refusalOf(error)
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
        return new BundleRefusal(error.code, message, error.transient, error)
      default:
        return new BundleRefusal(releaseReasons.signatureInvalid, message, false, error)
    }
  }
  if (error instanceof BundleError) {
    const damaged = error.code === 'DataDamaged'
    return new BundleRefusal(damaged ? releaseReasons.dataDamaged : releaseReasons.bundleInvalid, message, damaged, error)
  }
  if (error instanceof OciError) {
    if (error.code === 'DigestMismatch' || error.code === 'SizeMismatch')
      return new BundleRefusal(releaseReasons.dataDamaged, message, true, error)
    return new BundleRefusal(releaseReasons.registryUnreachable, message, true, error)
  }
  return new BundleRefusal(releaseReasons.registryUnreachable, message, true, error)
}
