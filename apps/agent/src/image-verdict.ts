import { releaseReasons } from '@muster/api'
import { imageRule, imagesOf, type KubeObjectLike, type ReadBundle } from '@muster/bundle'
import { type ContentSource, mirrorRepository, parseReference } from '@muster/oci'
import { type ChannelContent, evaluate, readEvidence, verifyArtifact } from '@muster/trust'
import { BundleRefusal, refusalOf } from './bundle-loader.ts'
import type { Clock } from './clock.ts'
import { releaseReasonOf } from './policy-verdict.ts'
import type { TrustRules } from './trust-rules.ts'

export interface VouchOptions {
  readonly trust: TrustRules
  readonly source: (repository: string) => ContentSource
  readonly clock: Clock
  readonly content: ChannelContent
  /** It was applied before: its age is no ground to refuse it. */
  readonly runs: boolean
  readonly signal: AbortSignal
}

/**
 * Images that objects name and the bundle does not carry were brought by a customization: each must be kept where its name says, be signed
 * by a publisher of the channel, and meet what policies ask, by itself.
 * @param carried digests that the bundle's own signature vouches for
 * @throws BundleRefusal
 */
export async function vouchedFor(
  objects: readonly KubeObjectLike[],
  carried: ReadonlySet<string>,
  { config }: Pick<ReadBundle, 'config'>,
  options: VouchOptions,
): Promise<void> {
  const rules = (config.imageFields ?? []).map(imageRule)
  const named = new Set(objects.flatMap((object) => imagesOf(object, rules).map(({ image }) => image)))
  for (const image of named) {
    const digest = image.slice(image.indexOf('@') + 1)
    if (carried.has(digest)) continue
    try {
      await vouch(image, digest, options)
    } catch (error) {
      if (options.signal.aborted) throw options.signal.reason
      const refusal = error instanceof BundleRefusal ? error : refusalOf(error)
      throw new BundleRefusal(
        refusal.reason,
        `The image ${image}, which a customization brings: ${refusal.message}`,
        refusal.transient,
        error,
      )
    }
  }
}

async function vouch(image: string, digest: string, { trust, source, clock, content, runs, signal }: VouchOptions): Promise<void> {
  const { host, repository } = parseReference(image)
  const place = source(mirrorRepository({ host, repository }))
  const { descriptor } = await place.manifest(digest, { signal })
  const { publishers } = content
  const policy = await trust.policy(content)
  const signed = publishers.length > 0 || policy === undefined
  if (signed) await verifyArtifact(place, descriptor, { publishers, signal })
  if (policy === undefined) return
  const evidence = await readEvidence([place], descriptor, { signal })
  const subject = { kind: 'image', names: [`${host}/${repository}`], digest } as const
  const verdict = await evaluate(subject, evidence, policy, { now: clock.now(), inBundle: signed, refuseOld: !runs })
  if (verdict.accepted) return
  const reason = releaseReasonOf(verdict)
  const transient = reason === releaseReasons.registryUnreachable
  throw new BundleRefusal(reason, verdict.message ?? 'A policy refuses it.', transient, undefined)
}
