import type { Selectable, TrustPolicy } from '@muster/api'
import { levelOf, mergePolicies, type PolicySource, policyLevels, TrustError } from '@muster/trust'
import { HubError } from '../errors.ts'

/** Policies that were found to be usable are not compiled again for each cluster and each report. */
const maxRemembered = 256

/** Whether a policy holds for a cluster: it names none, or this one, or labels that this one has. One that is being deleted holds on. */
export function holdsFor({ spec: { clusters } }: TrustPolicy, cluster: Selectable): boolean {
  if (clusters === undefined) return true
  if (clusters.names?.includes(cluster.metadata.name)) return true
  const wanted = Object.entries(clusters.matchLabels ?? {})
  return wanted.length > 0 && wanted.every(([key, value]) => cluster.metadata.labels?.[key] === value)
}

/** The policies that hold for a cluster, as they go into its channel: in order of levels, then of names. */
export function policiesFor(cluster: Selectable, policies: readonly TrustPolicy[]): PolicySource[] {
  const sources = policies
    .filter((policy) => holdsFor(policy, cluster))
    .map(sourceOf)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  return policyLevels.flatMap((level) => sources.filter((source) => source.level === level))
}

function sourceOf({ metadata, spec: { clusters, ...rules } }: TrustPolicy): PolicySource {
  return { name: metadata.name, level: levelOf({ clusters }), rules }
}

/** Looks whether policies can be used as they are, before clusters get them. */
export class PolicyCheck {
  readonly #usable = new Set<string>()

  /** @throws HubError `PolicyInvalid`: a cluster that got such a policy would refuse everything */
  async demandUsable(sources: readonly PolicySource[]): Promise<void> {
    if (sources.length === 0) return
    const text = JSON.stringify(sources)
    if (this.#usable.has(text)) return
    try {
      await mergePolicies(sources)
    } catch (cause) {
      if (!(cause instanceof TrustError)) throw cause
      throw new HubError('PolicyInvalid', cause.message, { cause })
    }
    if (this.#usable.size >= maxRemembered) this.#usable.clear()
    this.#usable.add(text)
  }

  /** Why a policy cannot be used, by itself and with those of the levels above it; nothing when it can. */
  async objection(policy: TrustPolicy, all: readonly TrustPolicy[]): Promise<string | undefined> {
    const own = sourceOf(policy)
    const rank = policyLevels.indexOf(own.level)
    const above = all.map(sourceOf).filter(({ level }) => policyLevels.indexOf(level) < rank)
    try {
      await this.demandUsable([...above, own])
      return undefined
    } catch (error) {
      if (error instanceof HubError) return error.message
      throw error
    }
  }
}
