import { type ReleaseReason, releaseReasons } from '@muster/api'
import type { ReadBundle } from '@muster/bundle'
import { type ContentSource, mirrorRepository, parseReference } from '@muster/oci'
import { type EffectivePolicy, evaluate, readEvidence, type Subject, type SubjectVerdict } from '@muster/trust'

/** By what to verify a bundle, and from where. */
export interface PolicyCheck {
  readonly policy: EffectivePolicy
  readonly now: Date
  /** A publisher has signed the bundle: it is known here, and policies only add to that. */
  readonly known: boolean
  /** False: it runs already, so that its age is a finding and no ground to refuse it. */
  readonly refuseOld: boolean
  readonly source: (repository: string) => ContentSource
  readonly signal: AbortSignal
}

/** Images looked at together. */
const concurrency = 8

/**
 * What policies say of a bundle and of each of its images: first the bundle. Signatures on an image are looked for beside the bundle
 * and where the image itself is kept.
 */
export async function verdictsOn(repository: string, bundle: ReadBundle, check: PolicyCheck): Promise<SubjectVerdict[]> {
  const { policy, now, refuseOld, source, signal } = check
  const beside = source(repository)
  const judge = async (subject: Subject, places: readonly ContentSource[], descriptor: ReadBundle['descriptor'], inBundle: boolean) =>
    evaluate(subject, await readEvidence(places, descriptor, { signal }), policy, { now, inBundle, refuseOld })
  const { digest } = bundle.descriptor
  const itself = await judge({ kind: 'bundle', names: [repository], digest }, [beside], bundle.descriptor, check.known)
  const images: SubjectVerdict[] = []
  for (let at = 0; itself.accepted && at < bundle.images.length; at += concurrency) {
    const some = bundle.images.slice(at, at + concurrency).map(async ({ name, descriptor }) => {
      const { host, repository: path } = parseReference(name)
      const written = name.slice(0, name.lastIndexOf(':') > name.lastIndexOf('/') ? name.lastIndexOf(':') : undefined)
      const subject: Subject = { kind: 'image', names: [`${host}/${path}`, written], digest: descriptor.digest }
      // Most images have no rule: of these nothing needs to be asked for.
      const matter = policy.rules.some((rule) => rule.images.some((pattern) => subject.names.some((one) => pattern.matches(one))))
      return matter ? judge(subject, [beside, ...ownPlace(host, path, source)], descriptor, true) : undefined
    })
    images.push(...(await Promise.all(some)).filter((verdict) => verdict !== undefined))
  }
  return [itself, ...images]
}

/** The reason of a Release for a verdict that refuses. Those that Releases had before there were policies keep their names. */
export function releaseReasonOf({ reason, demands }: SubjectVerdict): ReleaseReason {
  const demand = demands.find((one) => !one.met && one.reason === reason)
  switch (reason) {
    case 'WrongKey':
      return releaseReasons.signatureWrongKey
    case 'UnknownFormat':
      return releaseReasons.signatureInvalid
    case 'IdentityNotAllowed':
    case 'Expired':
    case 'TooOld':
    case 'PredicateRefused':
    case 'DataDamaged':
    case 'RegistryUnreachable':
      return reason
    default:
      return demand === undefined || demand.demand === 'signature' ? releaseReasons.signatureMissing : releaseReasons.attestationMissing
  }
}

/** Where an image's own signatures are; nowhere for a name that cannot be mirrored. */
function ownPlace(host: string, repository: string, source: PolicyCheck['source']): ContentSource[] {
  try {
    return [source(mirrorRepository({ host, repository }))]
  } catch {
    return []
  }
}
