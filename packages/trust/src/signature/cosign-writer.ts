import { type ContentSource, type ContentTarget, type Descriptor, digestOf, mediaTypes, parseManifest, readJson } from '@muster/oci'
import * as z from 'zod'
import { TrustError } from '../errors.ts'
import type { SignatureKey } from '../keys/signature-key.ts'
import {
  certificateAnnotation,
  chainAnnotation,
  dsseMediaType,
  predicateTypeLayerAnnotation,
  signatureAnnotation,
  simpleSigningMediaType,
  simpleSigningType,
  timestampAnnotation,
} from './cosign-reader.ts'
import { cosignTag, maxSignatures } from './read-envelopes.ts'
import { type SignOptions, type SigstoreBundleJson, signChecked } from './sigstore-bundle.ts'
import { demandAnnotations, predicateTypeOf } from './statement.ts'

type Store = ContentSource & ContentTarget

export interface CosignSignatureOptions extends Omit<SignOptions, 'subject' | 'predicate' | 'predicateType'> {
  /** Name of the repository with its host, which is signed too; nobody need compare it. */
  readonly reference: string
}

/**
 * Signs in cosign's older format, simple signing (github.com/sigstore/cosign, specs/SIGNATURE_SPEC.md), and adds it to those under
 * the tag `sha256-<hex>.sig`. As cosign's own, it may be lost where two sign at the same moment.
 * @throws TrustError as `signStatement`; OciError
 */
export async function attachCosignSignature(
  store: Store,
  subject: Descriptor,
  { reference, key, annotations, timestamp, signal }: CosignSignatureOptions,
): Promise<Descriptor> {
  demandAnnotations(annotations ?? {})
  const payload = Buffer.from(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': reference },
        image: { 'docker-manifest-digest': subject.digest },
        type: simpleSigningType,
      },
      optional: annotations ?? null,
    }),
  )
  const signature = await signChecked(payload, key, signal)
  const stamp = await timestamp?.(signature, signal)
  const layer = {
    mediaType: simpleSigningMediaType,
    bytes: payload,
    annotations: { [signatureAnnotation]: Buffer.from(signature).toString('base64'), ...material(key, stamp) },
  }
  return addLayer(store, cosignTag(subject.digest, '.sig'), layer, signal)
}

/** Attaches a signed statement in cosign's older format: its DSSE envelope, added to those under the tag `sha256-<hex>.att`. */
export async function attachCosignAttestation(
  store: Store,
  subject: Descriptor,
  bundle: SigstoreBundleJson,
  { key, signal }: { readonly key: SignatureKey; readonly signal?: AbortSignal | undefined },
): Promise<Descriptor> {
  const { dsseEnvelope, verificationMaterial } = bundle
  const stamp = verificationMaterial.timestampVerificationData?.rfc3161Timestamps[0]?.signedTimestamp
  const layer = {
    mediaType: dsseMediaType,
    bytes: Buffer.from(JSON.stringify(dsseEnvelope)),
    annotations: {
      [signatureAnnotation]: '',
      [predicateTypeLayerAnnotation]: predicateTypeOf(Buffer.from(dsseEnvelope.payload, 'base64')),
      ...material(key, stamp === undefined ? undefined : Buffer.from(stamp, 'base64')),
    },
  }
  return addLayer(store, cosignTag(subject.digest, '.att'), layer, signal)
}

function material({ certificateChain }: SignatureKey, stamp: Uint8Array | undefined): Record<string, string> {
  const [leaf, ...chain] = certificateChain ?? []
  return {
    ...(leaf === undefined ? {} : { [certificateAnnotation]: leaf }),
    ...(chain.length === 0 ? {} : { [chainAnnotation]: chain.join('') }),
    ...(stamp ? { [timestampAnnotation]: JSON.stringify({ SignedRFC3161Timestamp: Buffer.from(stamp).toString('base64') }) } : {}),
  }
}

interface Layer {
  readonly mediaType: string
  readonly bytes: Uint8Array
  readonly annotations: Record<string, string>
}

const configSchema = z.looseObject({ rootfs: z.looseObject({ diff_ids: z.array(z.string()) }), history: z.array(z.unknown()).optional() })
const maxConfigBytes = 1024 * 1024

/** In the form of an image, as cosign keeps them: a layer for each signature. */
async function addLayer(store: Store, tag: string, { mediaType, bytes, annotations }: Layer, signal?: AbortSignal): Promise<Descriptor> {
  const present = await store.resolve(tag, { signal })
  const before = present && parseManifest((await store.manifest(present.digest, { signal })).bytes)
  const layers = before?.layers ?? []
  if (layers.length >= maxSignatures)
    throw new TrustError('StatementInvalid', `The tag ${tag} has ${layers.length} signatures already, and more are not read. Remove some.`)
  const config = before?.config
    ? configSchema.parse(await readJson(store, before.config, { limit: maxConfigBytes, signal }))
    : { architecture: '', created: never, os: '', rootfs: { type: 'layers', diff_ids: [] }, config: {} }
  const layer = { mediaType, digest: digestOf(bytes), size: bytes.length, annotations }
  const newConfig = Buffer.from(
    JSON.stringify({
      ...config,
      history: [...(config.history ?? []), { created: never }],
      rootfs: { ...config.rootfs, diff_ids: [...config.rootfs.diff_ids, layer.digest] },
    }),
  )
  const configDescriptor = { mediaType: mediaTypes.imageConfig, digest: digestOf(newConfig), size: newConfig.length }
  await store.putBlob(layer, () => once(bytes), { signal })
  await store.putBlob(configDescriptor, () => once(newConfig), { signal })
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.imageManifest,
    config: configDescriptor,
    layers: [...layers, layer],
    ...(before?.annotations ? { annotations: before.annotations } : {}),
  }
  return store.putManifest(Buffer.from(JSON.stringify(manifest)), mediaTypes.imageManifest, { tag, signal })
}

/** The zero time of Go: so the same signatures always have the same digest. */
const never = '0001-01-01T00:00:00Z'

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
