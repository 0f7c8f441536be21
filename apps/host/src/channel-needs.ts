import type { ContentSource } from '@muster/oci'

/** Repositories of channels. */
export const channelRepositories = 'channels/**'

/**
 * What a cluster's channel needs: the bundles that it names. By their digests all of them is found: images, wherever they are kept
 * besides, and what refers to any of it. Signatures are not checked: what is named by a channel that does not verify stays too.
 * @throws TrustError, OciError where the channel cannot be read
 */
export async function channelNeeds(repository: string, source: ContentSource): Promise<{ digest: string; why: string }[]> {
  // Loaded where it is used: it is a tenth of the memory of the registry's process, and most have no channel to look at for hours.
  const { fetchChannel, readChannelContent } = await import('@muster/trust')
  const channel = await fetchChannel(source)
  if (channel === undefined) return []
  const { releases } = readChannelContent(channel.channelBytes)
  return releases.map(({ name, bundle }) => ({ digest: bundle.digest, why: `${repository} has it as release ${name} ${bundle.version}` }))
}
