import { type Descriptor, type Manifest, mediaTypes } from '@muster/oci'

/** What a manifest is, for those who count. */
export type Kind = 'bundle' | 'image' | 'signature' | 'attestation' | 'sbom' | 'other' | 'part'

/** How many of each; a cosign tag counts for all that it holds. */
export interface Counts {
  readonly bundles: number
  readonly images: number
  readonly signatures: number
  readonly attestations: number
  readonly sboms: number
  /** What else refers to something. */
  readonly others: number
}

export const bundleArtifactType = 'application/vnd.muster.bundle.v1+json'
const bundleContentType = 'application/vnd.muster.bundle.content.v1'
const signPredicate = 'https://sigstore.dev/cosign/sign/v1'
const predicateAnnotations = ['dev.sigstore.bundle.predicateType', 'predicateType', 'in-toto.io/predicate-type']

/** Of an artifact itself, or what it holds. `parent` is undefined at the root. */
export function kindInTree(descriptor: Descriptor, manifest: Manifest, parent: Kind | undefined): Kind {
  if (manifest.artifactType === bundleArtifactType) return 'bundle'
  if (manifest.artifactType === bundleContentType) return 'part'
  // What docker buildx puts beside each platform's image.
  if (descriptor.annotations?.['vnd.docker.reference.type'] === 'attestation-manifest') return 'attestation'
  if (parent !== undefined && parent !== 'bundle') return 'part'
  return parent === 'bundle' || isImage(manifest) ? 'image' : 'other'
}

/** Of what refers to something. */
export function kindOfReferrer(manifest: Manifest): Kind {
  const type = manifest.artifactType ?? manifest.config?.mediaType ?? ''
  const predicate = predicateAnnotations.map((name) => manifest.annotations?.[name]).find((one) => one !== undefined)
  if (/vnd\.cncf\.notary\.signature|cosign\.artifact\.sig|simplesigning/.test(type)) return 'signature'
  if (/vnd\.dev\.sigstore\.bundle/.test(type)) return predicate === undefined || predicate === signPredicate ? 'signature' : 'attestation'
  if (/in-toto|dsse|cosign\.artifact\.att/.test(type)) return 'attestation'
  if (/spdx|cyclonedx|syft|cosign\.artifact\.sbom/.test(type)) return 'sbom'
  return predicate === undefined ? 'other' : 'attestation'
}

/** What cosign's older format hangs on a digest by a tag. */
export const cosignSuffixes = ['sig', 'att', 'sbom'] as const
export type CosignSuffix = (typeof cosignSuffixes)[number]
export const cosignKinds: Readonly<Record<CosignSuffix, Kind>> = { sig: 'signature', att: 'attestation', sbom: 'sbom' }

export function count(items: Iterable<{ readonly kind: Kind; readonly weight: number }>): Counts {
  const sums: Record<Kind, number> = { bundle: 0, image: 0, signature: 0, attestation: 0, sbom: 0, other: 0, part: 0 }
  for (const { kind, weight } of items) sums[kind] += weight
  return {
    bundles: sums.bundle,
    images: sums.image,
    signatures: sums.signature,
    attestations: sums.attestation,
    sboms: sums.sbom,
    others: sums.other,
  }
}

/** `3 images, 7 signatures, 4 attestations`; SBOMs and others only where there are some. */
export function formatCounts(counts: Counts): string {
  const { images, signatures, attestations, sboms, others } = counts
  const parts = [several(images, 'image'), several(signatures, 'signature'), several(attestations, 'attestation')]
  if (sboms > 0) parts.push(several(sboms, 'SBOM'))
  if (others > 0) parts.push(several(others, 'other artifact'))
  return parts.join(', ')
}

function several(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}

function isImage(manifest: Manifest): boolean {
  if (manifest.artifactType !== undefined) return false
  const type = manifest.config?.mediaType
  return manifest.kind === 'index' || type === mediaTypes.imageConfig || type === 'application/vnd.docker.container.image.v1+json'
}
