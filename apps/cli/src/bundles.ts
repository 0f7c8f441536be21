import { bundleTypes, type ReadBundle, readBundle, versionTag } from '@muster/bundle'
import { type ContentSource, type Descriptor, parseManifest } from '@muster/oci'
import { descriptorOf, type OpenOptions, openArtifact } from './artifact.ts'
import type { Context } from './context.ts'

/** A tag under which a bundle is kept: of its version, or a channel, which moves. */
export interface BundleTag {
  readonly tag: string
  readonly name: string
  readonly version: string
  readonly digest: string
  readonly images: number
}

const maximumTags = 2000
const together = 8

/** The bundles among tags; those of signatures and of other artifacts are left out. A few are asked for at a time. @throws OciError */
export async function bundleTags(source: ContentSource, tags: readonly string[], signal: AbortSignal): Promise<BundleTag[]> {
  const found: BundleTag[] = []
  const likely = tags.filter((tag) => !/^sha256-[0-9a-f]{64}/.test(tag)).slice(0, maximumTags)
  for (let at = 0; at < likely.length; at += together) {
    const some = await Promise.all(likely.slice(at, at + together).map((tag) => bundleTag(source, tag, signal)))
    found.push(...some.filter((tag) => tag !== undefined))
  }
  return found
}

async function bundleTag(source: ContentSource, tag: string, signal: AbortSignal): Promise<BundleTag | undefined> {
  const descriptor = await source.resolve(tag, { signal })
  if (descriptor === undefined) return undefined
  const { artifactType, annotations, manifests } = parseManifest((await source.manifest(descriptor.digest, { signal })).bytes)
  if (artifactType !== bundleTypes.bundle) return undefined
  const name = annotations?.['org.opencontainers.image.title'] ?? ''
  const version = annotations?.['org.opencontainers.image.version'] ?? ''
  const images = manifests.filter((entry) => entry.annotations?.['dev.muster.image.name'] !== undefined).length
  return { tag, name, version, digest: descriptor.digest, images }
}

/** Whether a tag is a channel: any but that of the version itself, which in a layout stands behind the bundle's name. */
export function channelOf({ tag, name, version }: BundleTag): string | undefined {
  const short = tag.startsWith(`${name}:`) ? tag.slice(name.length + 1) : tag
  return short === versionTag(version) ? undefined : short
}

/** Opens and reads the bundle that a command line names. @throws Failure where it is not there; BundleError, OciError */
export async function readNamedBundle(
  context: Context,
  reference: string,
  options: OpenOptions,
): Promise<{ readonly bundle: ReadBundle; readonly descriptor: Descriptor }> {
  const artifact = await openArtifact(context, reference, options)
  try {
    const descriptor = descriptorOf(artifact)
    return { bundle: await readBundle(artifact.store, descriptor, { signal: context.signal }), descriptor }
  } finally {
    artifact.close()
  }
}

/** Text of somebody else's, as a terminal may have it: a line, without what it would obey. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return text.replaceAll('\n', ' ').replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '?')
}
