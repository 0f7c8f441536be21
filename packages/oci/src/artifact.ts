import type { CallOptions, ContentTarget } from './content.ts'
import { digestOf } from './digest.ts'
import { type Descriptor, mediaTypes } from './manifest.ts'

/** A small blob of an artifact, in memory. */
export interface ArtifactPart {
  mediaType: string
  bytes: Uint8Array
  annotations?: Record<string, string>
}

export interface Artifact {
  artifactType: string
  layers: readonly ArtifactPart[]
  /** Default: the empty config (image-spec, "Guidance for an Empty Descriptor"). */
  config?: ArtifactPart
  annotations?: Record<string, string>
  subject?: Descriptor
}

/**
 * Writes an artifact: its blobs, then its manifest. The same artifact always has the same digest.
 * An artifact without layers gets the empty descriptor as its one layer (image-spec, "Guidelines for Artifact Usage").
 */
export async function pushArtifact(
  target: ContentTarget,
  artifact: Artifact,
  options: CallOptions & { tag?: string | undefined } = {},
): Promise<Descriptor> {
  const empty: ArtifactPart = { mediaType: mediaTypes.empty, bytes: new TextEncoder().encode('{}') }
  const config = await pushPart(target, artifact.config ?? empty, options.signal)
  const layers: Descriptor[] = []
  for (const part of artifact.layers.length === 0 ? [empty] : artifact.layers) layers.push(await pushPart(target, part, options.signal))
  const { subject } = artifact
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.imageManifest,
    artifactType: artifact.artifactType,
    config,
    layers,
    ...(subject === undefined ? {} : { subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size } }),
    ...(artifact.annotations === undefined ? {} : { annotations: artifact.annotations }),
  }
  return target.putManifest(new TextEncoder().encode(JSON.stringify(manifest)), mediaTypes.imageManifest, options)
}

/** Writes an artifact that refers to `subject`, so that `referrers(subject.digest)` lists it. */
export function pushReferrer(
  target: ContentTarget,
  subject: Descriptor,
  artifact: Omit<Artifact, 'subject'>,
  options: CallOptions = {},
): Promise<Descriptor> {
  return pushArtifact(target, { ...artifact, subject }, { signal: options.signal })
}

async function pushPart(target: ContentTarget, part: ArtifactPart, signal: AbortSignal | undefined): Promise<Descriptor> {
  const descriptor: Descriptor = {
    mediaType: part.mediaType,
    digest: digestOf(part.bytes),
    size: part.bytes.length,
    ...(part.annotations === undefined ? {} : { annotations: part.annotations }),
  }
  if (!(await target.hasBlob(descriptor, { signal }))) await target.putBlob(descriptor, () => once(part.bytes), { signal })
  return descriptor
}

/** One chunk as a stream: the content of a blob that is in memory. */
export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes
}
