import { type ContentSource, type Descriptor, parseManifest, readBlob } from '@muster/oci'
import { BundleError } from '../errors.ts'
import { limits } from '../limits.ts'

/** As Helm writes charts into registries (HIP 6). */
const configType = 'application/vnd.cncf.helm.config.v1+json'
const contentType = 'application/vnd.cncf.helm.chart.content.v1.tar+gzip'

/** A packed chart out of a registry. @throws BundleError `HelmFailed`, OciError */
export async function pullChart(
  source: ContentSource,
  descriptor: Descriptor,
  what: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const { bytes } = await source.manifest(descriptor.digest, { signal })
  const manifest = parseManifest(bytes, descriptor.mediaType)
  const layer = manifest.layers.find(({ mediaType }) => mediaType === contentType)
  if (manifest.config?.mediaType !== configType || layer === undefined)
    throw new BundleError('HelmFailed', `${what} is no Helm chart: its config is ${manifest.config?.mediaType ?? 'missing'}.`)
  return readBlob(source, layer, { limit: limits.packedBytes, signal })
}
