import { createHash } from 'node:crypto'
import { type ContentSource, type Descriptor, OciError } from '@muster/oci'
import { channelArtifactType } from '@muster/trust'

const emptyConfig = Buffer.from('{}')

/** A repository in memory that holds one channel, none (`undefined`), or an answer that is an error. */
export function channelSource(root: string, channel: Uint8Array | OciError | undefined): ContentSource {
  if (channel === undefined || channel instanceof OciError) {
    return {
      resolve: async () => {
        if (channel !== undefined) throw channel
        return undefined
      },
      manifest: async () => notThere(),
      // biome-ignore lint/correctness/useYield: it only throws
      blob: async function* () {
        notThere()
      },
      referrers: async () => [],
    }
  }
  const blobs = new Map<string, Uint8Array>()
  const put = (mediaType: string, bytes: Uint8Array): Descriptor => {
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
    blobs.set(digest, bytes)
    return { mediaType, digest, size: bytes.length }
  }
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      artifactType: channelArtifactType,
      config: put('application/vnd.oci.empty.v1+json', emptyConfig),
      layers: [put('application/vnd.muster.root.v1+json', Buffer.from(root)), put('application/vnd.muster.channel.v1+json', channel)],
    }),
  )
  const descriptor = put('application/vnd.oci.image.manifest.v1+json', manifest)
  return {
    resolve: async () => descriptor,
    manifest: async () => ({ descriptor, bytes: manifest }),
    blob: async function* ({ digest }) {
      yield blobs.get(digest) ?? notThere()
    },
    referrers: async () => [],
  }
}

function notThere(): never {
  throw new OciError('NotFound', 'it is not there')
}
