import { type ContentSource, type ContentTarget, type Descriptor, OciError, parseManifest, pushArtifact, readBlob } from '@muster/oci'
import { TrustError } from '../errors.ts'
import { maxChannelBytes } from './channel.ts'

export const channelArtifactType = 'application/vnd.muster.channel.v1+json'
const channelMediaType = 'application/vnd.muster.channel.v1+json'
const rootMediaType = 'application/vnd.muster.root.v1+json'
const currentTag = 'current'

const maxRoots = 64
const maxRootBytes = 64 * 1024
const title = 'org.opencontainers.image.title'

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

/**
 * Publishes a channel at the tag `current`. With it go the roots, oldest first, so that a cluster that was away for long can
 * follow them one by one. The tag moves last: a reader sees the old channel or the new one, whole.
 * @throws OciError
 */
export async function pushChannel(
  repository: ContentSource & ContentTarget,
  rootBytes: Uint8Array | string | readonly (Uint8Array | string)[],
  channelBytes: Uint8Array,
  { signal }: CallOptions = {},
): Promise<Descriptor> {
  const roots = (typeof rootBytes === 'string' || rootBytes instanceof Uint8Array ? [rootBytes] : rootBytes).map((root) =>
    Buffer.from(root),
  )
  return pushArtifact(
    repository,
    {
      artifactType: channelArtifactType,
      layers: [
        ...roots.map((bytes) => ({ mediaType: rootMediaType, bytes, annotations: { [title]: 'root.json' } })),
        { mediaType: channelMediaType, bytes: channelBytes, annotations: { [title]: 'channel.json' } },
      ],
    },
    { signal, tag: currentTag },
  )
}

/** A channel as it is in the registry: whole and undamaged, but not verified. */
export interface FetchedChannel {
  /** Digest of its manifest. */
  readonly digest: string
  /** As they were pushed. */
  readonly rootBytes: readonly Uint8Array[]
  readonly channelBytes: Uint8Array
}

/**
 * Fetches the current channel; nothing only when the registry says that there is none.
 * @param options.known digest of a channel that the caller has already: when it is still the current one, only that is asked
 * @throws OciError where the registry could not be asked
 * @throws TrustError `DataDamaged`, `ChannelMalformed`
 */
export async function fetchChannel(
  repository: ContentSource,
  options: CallOptions & { readonly known: string | undefined },
): Promise<FetchedChannel | 'unchanged' | undefined>
export async function fetchChannel(repository: ContentSource, options?: CallOptions): Promise<FetchedChannel | undefined>
export async function fetchChannel(
  repository: ContentSource,
  { signal, known }: CallOptions & { readonly known?: string | undefined } = {},
): Promise<FetchedChannel | 'unchanged' | undefined> {
  const current = await repository.resolve(currentTag, { signal })
  if (!current) return undefined
  if (current.digest === known) return 'unchanged'
  try {
    const { bytes } = await repository.manifest(current.digest, { signal })
    const manifest = parseManifest(bytes)
    const roots = manifest.layers.filter((layer) => layer.mediaType === rootMediaType)
    const channels = manifest.layers.filter((layer) => layer.mediaType === channelMediaType)
    const channel = channels[0]
    if (manifest.artifactType !== channelArtifactType || roots.length > maxRoots || channel === undefined || channels.length !== 1)
      throw new TrustError(
        'ChannelMalformed',
        `${current.digest} is not a channel: it must hold one channel and at most ${maxRoots} roots.`,
      )
    const rootBytes: Uint8Array[] = []
    for (const root of roots) rootBytes.push(await readBlob(repository, root, { limit: maxRootBytes, signal }))
    return { digest: current.digest, rootBytes, channelBytes: await readBlob(repository, channel, { limit: maxChannelBytes, signal }) }
  } catch (error) {
    throw refusal(error, current.digest)
  }
}

function refusal(error: unknown, digest: string): unknown {
  if (!(error instanceof OciError)) return error
  switch (error.code) {
    case 'DigestMismatch':
    case 'SizeMismatch':
      return new TrustError('DataDamaged', `The channel ${digest} was changed or damaged in the registry: ${error.message}`, error)
    case 'TooLarge':
    case 'InvalidManifest':
    case 'Unsupported':
      return new TrustError('ChannelMalformed', `The channel ${digest} is not readable: ${error.message}`, error)
    default:
      return error
  }
}
