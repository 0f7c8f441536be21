import { type ContentSource, type ContentTarget, type Descriptor, pushReferrer } from '@muster/oci'
import { type SigstoreBundleJson, sigstoreBundleMediaType } from './sigstore-bundle.ts'
import { signPredicateType } from './statement.ts'

/** Annotations of a referrer by which cosign tells signatures and attestations apart without opening them. */
const contentAnnotation = 'dev.sigstore.bundle.content'
export const predicateTypeAnnotation = 'dev.sigstore.bundle.predicateType'

export interface AttachOptions {
  readonly signal?: AbortSignal | undefined
  /** Written as `org.opencontainers.image.created` when given. */
  readonly createdAt?: Date | undefined
}

/**
 * Attaches a signature to what it signs, as a referrer with the manifest that cosign 3 writes. Signatures that are there stay.
 * @throws OciError
 */
export async function attachSignature(
  target: ContentSource & ContentTarget,
  subject: Descriptor,
  bundle: SigstoreBundleJson,
  options: AttachOptions = {},
): Promise<Descriptor> {
  const { signal, createdAt } = options
  return pushReferrer(
    target,
    subject,
    {
      artifactType: sigstoreBundleMediaType,
      layers: [{ mediaType: sigstoreBundleMediaType, bytes: Buffer.from(JSON.stringify(bundle)) }],
      annotations: {
        [contentAnnotation]: 'dsse-envelope',
        [predicateTypeAnnotation]: signPredicateType,
        ...(createdAt ? { 'org.opencontainers.image.created': `${createdAt.toISOString().slice(0, 19)}Z` } : {}),
      },
    },
    { signal },
  )
}
