import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { type BreakGlassStatement, breakGlassStatementSchema, type EnclavePolicy, maxBreakGlassSignatures } from '@muster/api'
import * as z from 'zod'
import { TrustError } from '../errors.ts'
import { durationMs } from '../policy/age.ts'
import { authorityOf } from '../policy/compile.ts'
import { type Acceptance, quorumOf } from '../policy/quorum.ts'
import { byGravity, type Refusal, refusalOf } from '../policy/reasons.ts'
import { parseBounded } from '../signature/bounded-json.ts'
import { readSigstoreBundle } from '../signature/bundle-reader.ts'
import type { SignedEnvelope } from '../signature/envelope.ts'
import { type Publisher, type SignOptions, type SigstoreBundleJson, signStatement } from '../signature/sigstore-bundle.ts'
import type { Authority } from '../sigstore/authority.ts'
import { verifyEnvelope } from '../sigstore/verify-envelope.ts'

const predicateType = 'https://muster.dev/break-glass/v1'
const maxBundleBytes = 65_536
/** The write guard is never opened for longer, in milliseconds. */
export const maxBreakGlassMs = 24 * 3_600_000

/** Signs that the write guard is to be opened. @throws TrustError as `signStatement` */
export function signBreakGlass(
  statement: BreakGlassStatement,
  options: Pick<SignOptions, 'key' | 'timestamp' | 'signal'>,
): Promise<SigstoreBundleJson> {
  const { cluster, release, reason, by, notBefore, until, nonce } = statement
  const predicate = { cluster, release, reason, by, notBefore, until, nonce }
  return signStatement({ ...options, subject: { digest: placeDigest(statement) }, predicateType, predicate })
}

/** What a statement is about, as in-toto wants it: the place, so that a signature for one is none for another. */
function placeDigest({ cluster, release }: Pick<BreakGlassStatement, 'cluster' | 'release'>): string {
  return `sha256:${createHash('sha256').update(`muster.dev/break-glass ${cluster} ${release}`).digest('hex')}`
}

export interface ReadBreakGlass {
  readonly statement: BreakGlassStatement
  readonly envelopes: readonly SignedEnvelope[]
}

const payloadSchema = z.object({ dsseEnvelope: z.object({ payload: z.string().max(maxBundleBytes) }) })

/**
 * Reads signatures on one statement. Nothing is verified yet.
 * @throws TrustError `UnknownFormat` where one is not understood, or they are on different statements
 */
export function readBreakGlass(signatures: readonly string[]): ReadBreakGlass {
  if (signatures.length === 0 || signatures.length > maxBreakGlassSignatures)
    throw new TrustError('UnknownFormat', `Between 1 and ${maxBreakGlassSignatures} signatures are read, not ${signatures.length}.`)
  const read = signatures.map((text) => readOne(Buffer.from(text)))
  const [first] = read as [(typeof read)[0]]
  if (!read.every(({ statement }) => isDeepStrictEqual(statement, first.statement)))
    throw new TrustError('UnknownFormat', 'The signatures are on different statements.')
  return { statement: first.statement, envelopes: read.map(({ envelope }) => envelope) }
}

function readOne(bytes: Uint8Array): { statement: BreakGlassStatement; envelope: SignedEnvelope } {
  const what = 'The signature'
  const outer = payloadSchema.safeParse(parseBounded(bytes, { limit: maxBundleBytes, what }))
  if (!outer.success) throw new TrustError('UnknownFormat', `${what} is not a Sigstore bundle with a DSSE envelope.`, outer.error)
  const payload = Buffer.from(outer.data.dsseEnvelope.payload, 'base64')
  const inner = z.object({ predicate: z.unknown() }).safeParse(parseBounded(payload, { limit: maxBundleBytes, what: 'The statement' }))
  const parsed = breakGlassStatementSchema.safeParse(inner.data?.predicate)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new TrustError(
      'UnknownFormat',
      `The statement does not say what opens a write guard, at ${JSON.stringify(issue?.path.join('.') ?? '')}.`,
    )
  }
  const statement = parsed.data
  const envelope = readSigstoreBundle(bytes, placeDigest(statement), 'the statement')
  if (envelope.claims.predicateType !== predicateType || !isDeepStrictEqual(envelope.claims.predicate, inner.data?.predicate))
    throw new TrustError('UnknownFormat', `The statement is not of the type ${predicateType}.`)
  return { statement, envelope }
}

export interface BreakGlassCheck {
  readonly cluster: string
  readonly release: string
  /** The channel's: they may, where no policy of the site names others. */
  readonly publishers: readonly Publisher[]
  /** Of the site. All of them must be met. */
  readonly policies: readonly { readonly metadata: { readonly name: string }; readonly spec: Pick<EnclavePolicy['spec'], 'breakGlass'> }[]
  readonly now: Date
}

/**
 * Verifies that those who may have signed that the write guard be opened for a release of a cluster, for no longer than is allowed.
 * Whether now is its time is not judged.
 * @throws TrustError `UnknownFormat`, `PredicateRefused` (another place, too long), `PolicyInvalid`; of signatures, by the most telling
 *   reason: `WrongKey`, `IdentityNotAllowed`, `Expired`, `NoneFound`
 */
export async function verifyBreakGlass(
  signatures: readonly string[],
  check: BreakGlassCheck,
): Promise<{ readonly statement: BreakGlassStatement; readonly signedBy: readonly string[] }> {
  const { statement, envelopes } = readBreakGlass(signatures)
  demandPlace(statement, check)
  demandDuration(statement, check)
  const demands = demandsOf(check)
  const signedBy = new Set<string>()
  for (const demand of demands) for (const name of await demandSigned(envelopes, demand, check.now)) signedBy.add(name)
  return { statement, signedBy: [...signedBy] }
}

function demandPlace(statement: BreakGlassStatement, { cluster, release }: BreakGlassCheck): void {
  if (statement.cluster !== cluster)
    throw new TrustError('PredicateRefused', `It is for cluster ${statement.cluster}, and this is ${cluster}. Sign one for this cluster.`)
  if (statement.release !== release)
    throw new TrustError('PredicateRefused', `It is for release ${statement.release}, not for ${release}. Sign one for this release.`)
}

function demandDuration({ notBefore, until }: BreakGlassStatement, { policies }: BreakGlassCheck): void {
  const ms = Date.parse(until) - Date.parse(notBefore)
  if (ms <= 0) throw new TrustError('PredicateRefused', `It ends (${until}) before it begins (${notBefore}).`)
  const limits = policies.flatMap(({ metadata: { name }, spec: { breakGlass } }) =>
    breakGlass?.maxDuration === undefined
      ? []
      : [{ limitMs: durationMs(breakGlass.maxDuration), said: `EnclavePolicy ${name} allows at most ${breakGlass.maxDuration}` }],
  )
  const over = [...limits, { limitMs: maxBreakGlassMs, said: 'at most 24h are allowed' }].find(({ limitMs }) => ms > limitMs)
  if (over !== undefined)
    throw new TrustError('PredicateRefused', `It is for ${Math.ceil(ms / 60_000)} minutes, and ${over.said}. Sign one for less.`)
}

interface Demand {
  readonly said: string
  readonly authorities: readonly Authority[]
  readonly threshold: number
}

/** Who must have signed: for each policy of the site that says so enough of its authorities, else one of the channel's publishers. */
function demandsOf({ policies, publishers }: BreakGlassCheck): Demand[] {
  const demands = policies.flatMap(({ metadata: { name }, spec: { breakGlass } }): Demand[] => {
    if (breakGlass?.authorities === undefined) {
      if (breakGlass?.threshold === undefined) return []
      throw new TrustError('PolicyInvalid', `EnclavePolicy ${name} says how many must break glass together and not who: name authorities.`)
    }
    const { authorities, threshold = 1 } = breakGlass
    if (new Set(authorities.map((one) => one.name)).size < authorities.length || threshold > authorities.length)
      throw new TrustError(
        'PolicyInvalid',
        `The breakGlass of EnclavePolicy ${name} asks for more than its authorities, or names one twice.`,
      )
    return [{ said: `EnclavePolicy ${name}`, authorities: authorities.map((one) => authorityOf(one, name)), threshold }]
  })
  if (demands.length > 0) return demands
  const authorities = publishers.map(({ name, publicKey }): Authority => ({ kind: 'key', name, publicKeys: [publicKey] }))
  return [{ said: 'The channel', authorities, threshold: 1 }]
}

async function demandSigned(
  envelopes: readonly SignedEnvelope[],
  { said, authorities, threshold }: Demand,
  now: Date,
): Promise<readonly string[]> {
  const accepted: Acceptance[] = []
  const refused: Refusal[] = []
  for (const envelope of envelopes)
    for (const authority of authorities)
      try {
        accepted.push(await verifyEnvelope(envelope, authority, { now }))
      } catch (error) {
        refused.push(refusalOf(error))
      }
  const found = quorumOf(accepted)
  if (found >= threshold) return [...new Set(accepted.map(({ authority }) => authority))]
  const names = authorities.map(({ name }) => name).join(', ')
  const has = found === 0 ? 'none of them has signed' : `${found} of them signed`
  const told = `${said} lets ${threshold === 1 ? 'one' : threshold} of ${names} break glass, and ${has}.`
  const [worst] = byGravity(refused)
  if (found > 0 || worst === undefined) throw new TrustError('NoneFound', told)
  throw new TrustError(worst.reason, `${told} ${worst.message}`)
}
