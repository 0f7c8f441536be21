import { readBundle, versionTag } from '@muster/bundle'
import { descriptorOf, locate, type OpenOptions, openArtifact } from '../artifact.ts'
import type { Context } from '../context.ts'
import { UsageError } from '../errors.ts'

export interface BundlePromoteOptions extends OpenOptions {
  readonly to: string
}

const channelPattern = /^[a-z][a-z0-9-]{0,62}$/

/** `muster bundle promote REF --to CHANNEL`: lets a channel's tag stand for this bundle from now on. */
export async function bundlePromote(context: Context, reference: string, { to: channel, ...options }: BundlePromoteOptions): Promise<void> {
  // What looks like a version must not move: `v1` may be somebody's.
  if (!channelPattern.test(channel) || /^v?[0-9]/.test(channel))
    throw new UsageError(
      `"${channel.slice(0, 100)}" is no name of a channel: use lower-case letters, digits and hyphens, a word first, such as stable.`,
    )
  const location = await locate(context, reference)
  const artifact = await openArtifact(context, reference, options)
  try {
    const { signal } = context
    const descriptor = descriptorOf(artifact)
    // Read whole: a channel never leads to something damaged.
    const { config } = await readBundle(artifact.store, descriptor, { signal })
    if (versionTag(config.version) === channel) throw new UsageError(`${channel} is the bundle's version, which does not move.`)
    const tag = location.kind === 'registry' ? channel : `${config.name}:${channel}`
    const before = await artifact.store.resolve(tag, { signal })
    if (before?.digest !== descriptor.digest) {
      const { bytes } = await artifact.store.manifest(descriptor.digest, { signal })
      await artifact.store.putManifest(bytes, descriptor.mediaType, { tag, signal })
    }
    const was = before === undefined || before.digest === descriptor.digest ? '' : ` (it was ${before.digest})`
    context.stdout.write(`${config.name} ${channel} is ${config.version}@${descriptor.digest}${was}\n`)
  } finally {
    artifact.close()
  }
}
