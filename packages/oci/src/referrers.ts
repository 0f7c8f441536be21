import { digestHex } from './digest.ts'
import { OciError } from './errors.ts'
import { type Descriptor, maximumManifestBytes, mediaTypes, parseManifest } from './manifest.ts'

/**
 * The tag at which referrers of `digest` are listed where there is no referrers API (distribution-spec, "Referrers Tag Schema").
 */
export function referrersTag(digest: string): string {
  return `sha256-${digestHex(digest)}`
}

/** The entries of a referrers index. @throws OciError `InvalidManifest` */
export function readReferrers(bytes: Uint8Array): Descriptor[] {
  const index = parseManifest(bytes, mediaTypes.imageIndex)
  return [...index.manifests, ...index.blobs]
}

/** The index with `descriptor` added, or undefined when it is in already. @throws OciError `TooLarge` */
export function addReferrer(present: readonly Descriptor[], descriptor: Descriptor): Uint8Array | undefined {
  if (present.some((entry) => entry.digest === descriptor.digest)) return undefined
  return writeReferrers([...present, descriptor])
}

export function writeReferrers(manifests: readonly Descriptor[]): Uint8Array {
  const bytes = new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests }))
  if (bytes.length > maximumManifestBytes) {
    throw new OciError(
      'TooLarge',
      `The list of referrers would take ${bytes.length} bytes, over the limit of ${maximumManifestBytes}. Delete old referrers.`,
    )
  }
  return bytes
}

export function filterReferrers(entries: readonly Descriptor[], artifactType: string | undefined): Descriptor[] {
  return artifactType === undefined ? [...entries] : entries.filter((entry) => entry.artifactType === artifactType)
}
