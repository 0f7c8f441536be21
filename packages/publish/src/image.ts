import {
  type ContentSource,
  type CopyResult,
  copy,
  type Descriptor,
  mirrorRepository,
  parseReference,
  type Registry,
  type Repository,
} from '@muster/oci'
import type { SignatureKey } from '@muster/trust'
import { PublishError } from './errors.ts'
import { ensureSigned, type Store } from './signature.ts'

export interface PublishImageOptions {
  /** Where the image is, usually the layout that it was built into. */
  readonly layout: Store
  /** Its tag in the layout, or its descriptor. */
  readonly image: string | Descriptor
  /** The name under which clusters ask for it, such as `registry.example/app:1.0`. Default: the tag in the layout. */
  readonly name?: string | undefined
  readonly registry: Registry
  /** Without one, the image is published as it is. */
  readonly signer?: SignatureKey | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((step: string) => void) | undefined
}

export interface PublishedImage {
  /** As given, without digest. */
  readonly name: string
  /** In the registry. */
  readonly repository: string
  readonly tag?: string
  readonly digest: string
  /** Of the manifest or index, in bytes. */
  readonly size: number
  /** `name@digest`: what to write in a manifest. */
  readonly reference: string
  /** False: all of it was there. */
  readonly changed: boolean
}

/**
 * Signs an image and pushes it, with its referrers, to where nodes look for its name: `mirror/<host>/<path>` of the registry.
 * An image that is there already is not pushed again, and a signature by the same key is kept.
 * @throws PublishError `ImageMissing`; OciError, TrustError
 */
export async function publishImage(options: PublishImageOptions): Promise<PublishedImage> {
  const { layout, registry, signer, signal } = options
  const descriptor = typeof options.image === 'string' ? await layout.resolve(options.image, { signal }) : options.image
  const name = options.name ?? (typeof options.image === 'string' ? options.image : undefined)
  if (descriptor === undefined || name === undefined) {
    throw new PublishError('ImageMissing', `The image ${String(options.image)} is not in its layout. Build it first.`)
  }
  if (signer !== undefined) {
    const made = await ensureSigned(layout, descriptor, signer, [mirrorOf(registry, name)], signal)
    if (made) options.onProgress?.(`sign image ${name}`)
  }
  options.onProgress?.(`push image ${name}`)
  return pushImage(layout, registry, name, descriptor, signal)
}

/** Where a registry keeps an image of this name: at its own path if the name is of this registry, else below `mirror/`. */
export function mirrorOf(registry: Registry, name: string): Repository {
  const reference = parseReference(name)
  return registry.repository(reference.host === registry.host ? reference.repository : mirrorRepository(reference))
}

/** Copies an image with its referrers to where nodes look for it; the tag is set last, and only where it is another. */
export async function pushImage(
  source: ContentSource,
  registry: Registry,
  name: string,
  descriptor: Descriptor,
  signal: AbortSignal | undefined,
): Promise<PublishedImage> {
  const target = mirrorOf(registry, name)
  const reference = parseReference(name)
  // A name without a tag means `latest` to engines.
  const tag = reference.tag ?? 'latest'
  const copied = await copy(source, target, descriptor, { referrers: true, signal })
  const moved = await setTag(source, target, descriptor, tag, signal)
  const plain = name.split('@')[0] ?? name
  return {
    name: plain,
    repository: target.name,
    tag,
    digest: descriptor.digest,
    size: descriptor.size,
    reference: `${plain}@${descriptor.digest}`,
    changed: moved || hasMoved(copied),
  }
}

export function hasMoved({ manifests, blobs }: CopyResult): boolean {
  return manifests > 0 || blobs > 0
}

/** @returns whether the tag had to be set */
export async function setTag(
  source: ContentSource,
  target: Repository,
  descriptor: Descriptor,
  tag: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if ((await target.resolve(tag, { signal }))?.digest === descriptor.digest) return false
  const { bytes } = await source.manifest(descriptor.digest, { signal })
  await target.putManifest(bytes, descriptor.mediaType, { tag, signal })
  return true
}
