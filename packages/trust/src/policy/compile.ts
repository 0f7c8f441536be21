import type { AuthoritySpec, TrustRule, TrustRules } from '@muster/api'
import { TrustError } from '../errors.ts'
import type { Authority } from '../sigstore/authority.ts'
import { readAuthorityKey } from '../sigstore/key-authority.ts'
import type { AgeRule } from './age.ts'
import { type Condition, compileConditions } from './condition.ts'
import { type NamePattern, namePattern } from './pattern.ts'

/** Who wrote a policy, from the top down: the organization, an enclave of it, a cluster, and the site itself in its own cluster. */
export const policyLevels = ['organization', 'enclave', 'cluster', 'site'] as const
export type PolicyLevel = (typeof policyLevels)[number]

/** A policy as it was written, and by which level. */
export interface PolicySource {
  readonly name: string
  readonly level: PolicyLevel
  readonly rules: TrustRules
}

/** So many of the authorities must have signed. */
export interface SignaturesDemand {
  readonly kind: 'signatures'
  readonly authorities: readonly Authority[]
  readonly threshold: number
}

export interface AttestationDemand {
  readonly kind: 'attestation'
  readonly predicateType: string
  readonly authorities: readonly Authority[]
  readonly threshold: number
  readonly age: AgeRule | undefined
  readonly conditions: readonly Condition[]
}

export type Demand = SignaturesDemand | AttestationDemand

/** A rule with everything that it refers to. */
export interface EffectiveRule {
  readonly policy: string
  readonly level: PolicyLevel
  readonly name: string
  readonly bundles: readonly NamePattern[]
  readonly images: readonly NamePattern[]
  readonly demands: readonly Demand[]
}

/**
 * All rules that hold, of all levels: each of those that match must be met. What is verified must be covered by a rule of the topmost
 * level that has any, so that no level below can let in what the ones above know nothing of.
 */
export interface EffectivePolicy {
  readonly rules: readonly EffectiveRule[]
  /** The topmost level that has rules; nothing where no policy is there. */
  readonly coveredBy: PolicyLevel | undefined
}

/**
 * Merges policies: the rules of all of them hold (ADR "trust policies are a conjunction"). A level cannot redefine what another one
 * named: each rule takes an authority from its own policy, else from a level above.
 * @throws TrustError `PolicyInvalid`
 */
export async function mergePolicies(sources: readonly PolicySource[]): Promise<EffectivePolicy> {
  const rules: EffectiveRule[] = []
  const above = new Map<string, Authority | 'ambiguous'>()
  for (const level of policyLevels) {
    const named: Authority[] = []
    for (const source of sources.filter((one) => one.level === level)) {
      const own = new Map<string, Authority>()
      for (const spec of source.rules.authorities ?? []) {
        const authority = authorityOf(spec, source.name)
        if (own.has(authority.name)) throw invalid(source.name, `it names the authority ${authority.name} twice`)
        own.set(authority.name, authority)
        named.push(authority)
      }
      const find = (name: string): Authority => {
        const found = own.get(name) ?? above.get(name)
        if (found === undefined) throw invalid(source.name, `it names no authority ${name}, and no level above it does`)
        if (found === 'ambiguous') throw invalid(source.name, `several policies above it name an authority ${name}; name it here`)
        return found
      }
      const seen = new Set<string>()
      for (const rule of source.rules.rules) {
        if (seen.has(rule.name)) throw invalid(source.name, `it has two rules of the name ${rule.name}`)
        seen.add(rule.name)
        rules.push(await effectiveRule(rule, source, find))
      }
    }
    for (const authority of named) above.set(authority.name, above.has(authority.name) ? 'ambiguous' : authority)
  }
  return { rules, coveredBy: policyLevels.find((level) => rules.some((rule) => rule.level === level)) }
}

async function effectiveRule(rule: TrustRule, source: PolicySource, find: (name: string) => Authority): Promise<EffectiveRule> {
  const where = `rule ${rule.name}`
  const patterns = (texts: readonly string[] | undefined): NamePattern[] =>
    (texts ?? []).map((text) => {
      const pattern = namePattern(text)
      if (pattern === undefined) throw invalid(source.name, `${where} has a pattern that is none: "${text.slice(0, 100)}"`)
      return pattern
    })
  const quorum = (names: readonly string[], threshold = 1): { authorities: Authority[]; threshold: number } => {
    const authorities = [...new Set(names)].map(find)
    if (threshold > authorities.length)
      throw invalid(source.name, `${where} asks for ${threshold} of ${authorities.length} authorities, which can never be`)
    return { authorities, threshold }
  }
  const demands: Demand[] = []
  for (const { authorities, threshold } of rule.signatures ?? []) demands.push({ kind: 'signatures', ...quorum(authorities, threshold) })
  for (const one of rule.attestations ?? []) {
    if (one.timeField !== undefined && one.maxAge === undefined)
      throw invalid(source.name, `${where} says where the time of ${one.predicateType} is, and not how old it may be (maxAge)`)
    demands.push({
      kind: 'attestation',
      predicateType: one.predicateType,
      ...quorum(one.authorities, one.threshold),
      age: one.maxAge === undefined ? undefined : { maxAge: one.maxAge, timeField: one.timeField },
      conditions: await compileConditions(one.where ?? [], `Policy ${source.name}, ${where},`),
    })
  }
  const bundles = patterns(rule.match.bundles)
  const images = patterns(rule.match.images)
  // A rule that says nothing is a rule that its writer takes for one that does.
  if (bundles.length + images.length === 0) throw invalid(source.name, `${where} matches nothing: give bundles or images`)
  if (demands.length === 0) throw invalid(source.name, `${where} demands nothing: give signatures or attestations`)
  return { policy: source.name, level: source.level, name: rule.name, bundles, images, demands }
}

export function authorityOf({ name, key, x509, sigstore }: AuthoritySpec, policy: string): Authority {
  if ([key, x509, sigstore].filter((one) => one !== undefined).length !== 1)
    throw invalid(policy, `its authority ${name} must have exactly one of key, x509 and sigstore`)
  if (key !== undefined) {
    for (const pem of key.publicKeys) readKey(pem, name, policy)
    return { name, kind: 'key', publicKeys: key.publicKeys }
  }
  const identities = (x509 ?? sigstore)?.identities ?? []
  if (identities.some(({ subject, subjectPattern }) => subject === undefined && subjectPattern === undefined))
    throw invalid(policy, `its authority ${name} has an identity without subject or subjectPattern, which anybody would have`)
  if (x509 !== undefined) return { name, kind: 'x509', ...x509 }
  if (identities.some(({ issuer, issuerPattern }) => issuer === undefined && issuerPattern === undefined))
    throw invalid(policy, `its authority ${name} has an identity without issuer: another issuer could vouch for the same name`)
  return { name, kind: 'sigstore', ...sigstore, identities, trustedRoot: parsedRoot(sigstore?.trustedRoot ?? '', name, policy) }
}

function readKey(pem: string, name: string, policy: string): void {
  try {
    readAuthorityKey(pem)
  } catch (cause) {
    throw invalid(policy, `a key of its authority ${name} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`, cause)
  }
}

function parsedRoot(text: string, name: string, policy: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw invalid(policy, `the trustedRoot of its authority ${name} is not JSON; put in the text of a trusted_root.json`, cause)
  }
}

function invalid(policy: string, why: string, cause?: unknown): TrustError {
  return new TrustError('PolicyInvalid', `Policy ${policy} cannot be used: ${why}.`, cause)
}
