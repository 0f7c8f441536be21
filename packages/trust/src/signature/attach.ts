import { type ContentSource, type ContentTarget, type Descriptor, pushReferrer } from '@muster/oci'
import { TrustError } from '../errors.ts'
import { maxBundleBytes, sigstoreBundleMediaType } from './bundle-reader.ts'
import type { SigstoreBundleJson } from './sigstore-bundle.ts'
import { predicateTypeOf } from './statement.ts'

/** Annotations of a referrer by which cosign tells signatures and attestations apart without opening them. */
const contentAnnotation = 'dev.sigstore.bundle.content'
export const predicateTypeAnnotation = 'dev.sigstore.bundle.predicateType'

export interface AttachOptions {
  readonly signal?: AbortSignal | undefined
  /** Written as `org.opencontainers.image.created` when given. */
  readonly createdAt?: Date | undefined
}

/**
 * Attaches a signature or an attestation to what it is about, as a referrer with the manifest that cosign 3 writes. What is there
 * stays.
 * @throws OciError; TrustError `StatementInvalid` where it is larger than is read anywhere
 */
export async function attach(
  target: ContentSource & ContentTarget,
  subject: Descriptor,
  bundle: SigstoreBundleJson,
  options: AttachOptions = {},
): Promise<Descriptor> {
  const { signal, createdAt } = options
  const bytes = Buffer.from(JSON.stringify(bundle))
  if (bytes.length > maxBundleBytes)
    throw new TrustError('StatementInvalid', `The signed statement has ${bytes.length} bytes; at most ${maxBundleBytes} are read.`)
  return pushReferrer(
    target,
    subject,
    {
      artifactType: sigstoreBundleMediaType,
      layers: [{ mediaType: sigstoreBundleMediaType, bytes }],
      annotations: {
        [contentAnnotation]: 'dsse-envelope',
        [predicateTypeAnnotation]: predicateTypeOf(Buffer.from(bundle.dsseEnvelope.payload, 'base64')),
        ...(createdAt ? { 'org.opencontainers.image.created': `${createdAt.toISOString().slice(0, 19)}Z` } : {}),
      },
    },
    { signal },
  )
}
