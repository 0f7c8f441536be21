import { type ContentSource, type Descriptor, mediaTypes, parseManifest, readBlob, readJson } from '@muster/oci'
import { BundleError } from '../errors.ts'
import { limits } from '../limits.ts'
import { isRecord } from '../object.ts'
import { unpack } from '../unpack.ts'

const bundleLabel = 'dev.carvel.imgpkg.bundle'
const mediaTypesOfLayers: ReadonlySet<string> = new Set([
  mediaTypes.layerTar,
  mediaTypes.layerTarGzip,
  'application/vnd.docker.image.rootfs.diff.tar.gzip',
])

/**
 * Unpacks an imgpkg bundle, which is an image with one layer and a label that says so, into a folder.
 * @throws BundleError `SourceInvalid`, `ArchiveUnsafe`, `TooLarge`; OciError
 */
export async function pullImgpkg(
  source: ContentSource,
  descriptor: Descriptor,
  dir: string,
  what: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { bytes } = await source.manifest(descriptor.digest, { signal })
  const manifest = parseManifest(bytes, descriptor.mediaType)
  const [layer, ...more] = manifest.layers
  if (manifest.kind !== 'image' || layer === undefined || more.length > 0 || !mediaTypesOfLayers.has(layer.mediaType) || !manifest.config)
    throw refused(what, 'it is not an image with one layer')
  const image = await readJson(source, manifest.config, { limit: limits.chartFileBytes, signal })
  const config = isRecord(image) ? image['config'] : undefined
  const labels = isRecord(config) ? config['Labels'] : undefined
  if (!isRecord(labels) || labels[bundleLabel] !== 'true') throw refused(what, `it has no label ${bundleLabel}`)
  await unpack(await readBlob(source, layer, { limit: limits.packedBytes, signal }), dir, what)
}

function refused(what: string, why: string): BundleError {
  return new BundleError('SourceInvalid', `${what} is no imgpkg bundle: ${why}.`)
}
