import { TrustError } from '../errors.ts'
import type { IdentityRule } from './authority.ts'
import { compilePattern, type Pattern } from './pattern.ts'

/** What a certificate that holds says of its holder. */
export interface CertifiedIdentity {
  /** Subject alternative names, and for an own PKI the subject's name. The first is what reports say. */
  readonly subjects: readonly string[]
  readonly issuer: string
}

const patterns = new Map<string, Pattern>()
const maxPatterns = 256

/**
 * The name of the certificate that one of the rules allows.
 * @throws TrustError `IdentityNotAllowed`, `AuthorityInvalid`
 */
export function demandIdentity(identity: CertifiedIdentity, rules: readonly IdentityRule[], authority: string): string {
  const used = rules.map(checkedRule)
  if (used.length === 0) throw new TrustError('AuthorityInvalid', `The authority ${authority} names no identity: give at least one rule.`)
  for (const rule of used) {
    if (!holds(identity.issuer, rule.issuer, rule.issuerPattern)) continue
    if (rule.subject === undefined && rule.subjectPattern === undefined) return identity.subjects[0] ?? ''
    const subject = identity.subjects.find((one) => holds(one, rule.subject, rule.subjectPattern))
    if (subject !== undefined) return subject
  }
  throw new TrustError(
    'IdentityNotAllowed',
    `Signed by ${shown(identity.subjects[0] ?? '(no name)')}, vouched for by ${shown(identity.issuer || '(no issuer)')}, whom no rule of ${authority} allows.`,
  )
}

function checkedRule(rule: IdentityRule): IdentityRule {
  if ((rule.issuer ?? rule.issuerPattern ?? rule.subject ?? rule.subjectPattern) === undefined)
    throw new TrustError('AuthorityInvalid', 'An identity rule names neither an issuer nor a subject: it would allow everybody.')
  return rule
}

function holds(name: string, exact: string | undefined, pattern: string | undefined): boolean {
  return (exact === undefined || exact === name) && (pattern === undefined || patternOf(pattern).matches(name))
}

function patternOf(source: string): Pattern {
  const known = patterns.get(source)
  if (known) return known
  const made = compilePattern(source)
  if (patterns.size >= maxPatterns) patterns.clear()
  patterns.set(source, made)
  return made
}

/** A name from outside, fit for a message: short, and nothing in it that a terminal would obey or an eye would misread. */
export function shown(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name).replaceAll(
    /[^\x20-\x7e\u2026]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  )
}
