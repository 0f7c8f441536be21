import type { RefusalReason, TrustError } from '../errors.ts'
import { keyHint } from '../keys/keys.ts'
import type { SignedEnvelope } from '../signature/envelope.ts'
import { signPredicateType } from '../signature/statement.ts'
import type { Authority, VerifiedIdentity } from '../sigstore/authority.ts'
import { verifyEnvelope } from '../sigstore/verify-envelope.ts'
import { tooOld } from './age.ts'
import type { AttestationDemand, Demand, EffectivePolicy, EffectiveRule } from './compile.ts'
import { quorumOf } from './quorum.ts'
import { byGravity, type Refusal, refusalOf } from './reasons.ts'

/** A bundle or an image, by the names that rules may know it by (without tag and digest; the first is shown). */
export interface Subject {
  readonly kind: 'bundle' | 'image'
  readonly names: readonly [string, ...string[]]
  readonly digest: string
}

/** What hangs on a subject, and what of it could not be read. */
export interface Evidence {
  readonly envelopes: readonly SignedEnvelope[]
  readonly problems: readonly TrustError[]
}

export interface EvaluateOptions {
  readonly now: Date
  /** The digest is vouched for by a bundle that is verified in the same call: no rule need cover it. */
  readonly inBundle?: boolean
  /** False: it was accepted before and runs; its age is a finding and no ground to refuse it. */
  readonly refuseOld?: boolean
}

/** A signature or attestation that counts. */
export interface Accepted {
  readonly authority: string
  readonly identity: string
  readonly referrer: string
  /** ISO 8601, of a trusted time stamp. */
  readonly signedAt?: string
}

/** What one demand of one rule found. */
export interface DemandVerdict {
  readonly policy: string
  readonly level: string
  readonly rule: string
  /** `signature`, or the predicate type of the attestation asked for. */
  readonly demand: string
  readonly met: boolean
  readonly needed: number
  readonly authorities: readonly string[]
  readonly found: readonly Accepted[]
  /** What does not count and why, the most telling first. */
  readonly refused: readonly Refusal[]
  /** Why it is not met. */
  readonly reason?: RefusalReason
  readonly message?: string
}

export interface SubjectVerdict {
  readonly kind: Subject['kind']
  readonly name: string
  readonly digest: string
  readonly accepted: boolean
  /** What makes it known: a rule, the verified bundle that names its digest, or nothing. */
  readonly coveredBy: 'rule' | 'bundle' | 'nothing'
  readonly reason?: RefusalReason
  readonly message?: string
  readonly demands: readonly DemandVerdict[]
  /** How many signatures and attestations were read. */
  readonly read: number
  /** What is there and could not be read: never passed over in silence. */
  readonly unread: readonly Refusal[]
  /** What is older than it should be, of something that runs already. */
  readonly findings?: readonly string[]
}

/** More reasons than this are not listed for a demand. */
const maxRefusals = 64

/** Whether a rule is about a subject. */
export function ruleMatches(rule: EffectiveRule, { kind, names }: Subject): boolean {
  return (kind === 'bundle' ? rule.bundles : rule.images).some((pattern) => names.some((name) => pattern.matches(name)))
}

/**
 * What a policy says of a subject: for each demand of each rule that matches, what was found and, where it is not met, why not. Pure:
 * whatever was to be read was read before. A subject that no rule of the topmost level covers is refused.
 */
export async function evaluate(
  subject: Subject,
  evidence: Evidence,
  policy: EffectivePolicy,
  options: EvaluateOptions,
): Promise<SubjectVerdict> {
  const rules = policy.rules.filter((rule) => ruleMatches(rule, subject))
  const unread = byGravity(evidence.problems.map((problem) => refusalOf(problem)))
  const findings: string[] = []
  const look = new Looker(subject, evidence, options, findings)
  const demands: DemandVerdict[] = []
  for (const rule of rules) for (const demand of rule.demands) demands.push(await verdict(rule, demand, look, unread))
  const covered = rules.some((rule) => rule.level === policy.coveredBy)
  const failed = byGravity(demands.flatMap(({ reason, message }) => (reason && message ? [{ reason, message }] : [])))[0]
  const [name] = subject.names
  const coveredBy = covered ? 'rule' : options.inBundle === true ? 'bundle' : 'nothing'
  const uncovered: Refusal | undefined =
    coveredBy === 'nothing'
      ? { reason: 'NoneFound', message: `No rule covers the ${subject.kind} ${name}, so nothing vouches for it.` }
      : undefined
  const refusal = failed ?? uncovered
  return {
    kind: subject.kind,
    name,
    digest: subject.digest,
    accepted: refusal === undefined,
    coveredBy,
    ...(refusal === undefined ? {} : { reason: refusal.reason, message: refusal.message }),
    demands,
    read: evidence.envelopes.length,
    unread,
    ...(findings.length === 0 ? {} : { findings }),
  }
}

async function verdict(rule: EffectiveRule, demand: Demand, look: Looker, unread: readonly Refusal[]): Promise<DemandVerdict> {
  const found: Accepted[] = []
  const refusals: Refusal[] = []
  for (const envelope of look.envelopesFor(demand)) {
    const results: (Accepted | Refusal)[] = []
    for (const authority of demand.authorities) results.push(await look.accept(envelope, authority, demand))
    const accepted = results.filter((result): result is Accepted => !('reason' in result))
    found.push(...accepted)
    // One refusal for each envelope, by the authority that came nearest to accepting it.
    const [nearest] = byGravity(results.filter((result): result is Refusal => 'reason' in result))
    if (accepted.length === 0 && nearest !== undefined) refusals.push(nearest)
  }
  const count = quorumOf(found)
  const met = count >= demand.threshold
  const what = demand.kind === 'signatures' ? 'signature' : demand.predicateType
  const authorities = demand.authorities.map(({ name }) => name)
  const refused = byGravity([...refusals, ...unread]).slice(0, maxRefusals)
  const common = {
    policy: rule.policy,
    level: rule.level,
    rule: rule.name,
    demand: what,
    needed: demand.threshold,
    authorities,
    found,
    refused,
  }
  if (met) return { ...common, met }
  const because = refused[0] ?? { reason: 'NoneFound' as const, message: nothingFound(demand, what, look.digest) }
  const message = `Rule ${rule.name} of policy ${rule.policy} ${asks(demand, what, authorities)}, and ${count === 0 ? 'none counts' : `only ${count} count`}: ${because.message}`
  return { ...common, met, reason: because.reason, message }
}

function asks(demand: Demand, what: string, authorities: readonly string[]): string {
  const of = authorities.length === 1 ? authorities[0] : `${demand.threshold} of ${authorities.join(', ')}`
  return demand.kind === 'signatures' ? `asks for a signature by ${of}` : `asks for an attestation ${what} by ${of}`
}

function nothingFound({ kind }: Demand, what: string, digest: string): string {
  return kind === 'signatures' ? `no other signature hangs on ${digest}.` : `no other attestation of the type ${what} hangs on ${digest}.`
}

/** Looks at envelopes for one subject, at each for each authority once. */
class Looker {
  readonly #subject: Subject
  readonly #evidence: Evidence
  readonly #options: EvaluateOptions
  readonly #findings: string[]
  readonly #verified = new Map<SignedEnvelope, Map<Authority, VerifiedIdentity | Refusal>>()

  constructor(subject: Subject, evidence: Evidence, options: EvaluateOptions, findings: string[]) {
    this.#subject = subject
    this.#evidence = evidence
    this.#options = options
    this.#findings = findings
  }

  get digest(): string {
    return this.#subject.digest
  }

  envelopesFor(demand: Demand): SignedEnvelope[] {
    return this.#evidence.envelopes.filter((envelope) =>
      demand.kind === 'signatures'
        ? isSignature(envelope)
        : !isSignature(envelope) && envelope.claims.predicateType === demand.predicateType,
    )
  }

  async accept(envelope: SignedEnvelope, authority: Authority, demand: Demand): Promise<Accepted | Refusal> {
    const verified = await this.#verify(envelope, authority)
    if ('reason' in verified) return verified
    const { referrer } = envelope
    const refusal = demand.kind === 'attestation' ? this.#judge(envelope, demand, verified.signedAt) : undefined
    if (refusal !== undefined) return { ...refusal, referrer, authority: authority.name }
    const { identity, signedAt } = verified
    return { authority: authority.name, identity, referrer, ...(signedAt === undefined ? {} : { signedAt: signedAt.toISOString() }) }
  }

  async #verify(envelope: SignedEnvelope, authority: Authority): Promise<VerifiedIdentity | Refusal> {
    const ofEnvelope = this.#verified.get(envelope) ?? new Map<Authority, VerifiedIdentity | Refusal>()
    this.#verified.set(envelope, ofEnvelope)
    const known = ofEnvelope.get(authority)
    if (known !== undefined) return known
    const result = await this.#verifyAnew(envelope, authority)
    ofEnvelope.set(authority, result)
    return result
  }

  async #verifyAnew(envelope: SignedEnvelope, authority: Authority): Promise<VerifiedIdentity | Refusal> {
    const at = { referrer: envelope.referrer, authority: authority.name }
    // Whoever read it has looked already; what decides looks for itself.
    if (envelope.claims.digest !== this.digest)
      return { reason: 'DataDamaged', message: `It is about another artifact, ${envelope.claims.digest}: someone moved it.`, ...at }
    try {
      return await verifyEnvelope(envelope, authority, { now: this.#options.now })
    } catch (error) {
      const refusal = refusalOf(error, at)
      if (refusal.reason !== 'WrongKey' || !claimsKeyOf(envelope, authority)) return refusal
      const message = `A signature on ${this.digest} claims a key of ${authority.name} but does not verify with it: it was changed.`
      return { ...refusal, reason: 'DataDamaged', message }
    }
  }

  #judge(envelope: SignedEnvelope, demand: AttestationDemand, signedAt: Date | undefined): Refusal | undefined {
    const { now, refuseOld = true } = this.#options
    const { predicate } = envelope.claims
    const { predicateType } = demand
    const old = demand.age === undefined ? undefined : tooOld(demand.age, { predicateType, predicate, signedAt }, now)
    if (old !== undefined && refuseOld) return { reason: 'TooOld', message: `The attestation ${predicateType} is too old. ${old}` }
    const [name] = this.#subject.names
    for (const condition of demand.conditions) {
      const refused = condition.refuses({ predicate, predicateType, name, digest: this.digest, now })
      if (refused !== undefined) return { reason: 'PredicateRefused', message: `The attestation ${predicateType} is refused. ${refused}` }
    }
    if (old !== undefined) this.#findings.push(`The attestation ${predicateType} of ${name} is too old. ${old}`)
    return undefined
  }
}

/** A plain signature, as opposed to an attestation: by its type in the new format, by its kind in cosign's older one. */
function isSignature({ format, claims }: SignedEnvelope): boolean {
  return format === 'cosign-signature' || claims.predicateType === signPredicateType
}

/** Whether a signature says that a key of the authority made it. That is not signed: it only tells "changed" from "by somebody else". */
function claimsKeyOf({ material }: SignedEnvelope, authority: Authority): boolean {
  const { publicKeyHint } = material
  return authority.kind === 'key' && publicKeyHint !== undefined && authority.publicKeys.some((pem) => keyHint(pem) === publicKeyHint)
}
