import type { VerificationError } from '@sigstore/verify'
import { TrustError } from '../errors.ts'
import type { SigstoreAuthority } from './authority.ts'
import type { Certificate } from './certificate.ts'
import { demandTime, described } from './chain.ts'
import type { Proofs } from './proofs.ts'
import type { Signed } from './signed.ts'
import type { TrustedInstance } from './trusted-root.ts'

/** By what it was verified. */
export interface VerifyContext {
  readonly instance: TrustedInstance
  readonly authority: Omit<SigstoreAuthority, 'identities'>
  readonly now: Date
  readonly leaf?: Certificate
}

interface Refused {
  readonly signed: Signed
  readonly proofs: Proofs
  readonly options: { readonly tlogThreshold: number; readonly timestampThreshold: number; readonly ctlogThreshold: number }
  readonly context: VerifyContext
}

/**
 * Names the ground on which the Sigstore project's verifier refused. The verdict is its own; here it is only told apart, by its code
 * and by what is at hand.
 */
export function refusalOf(known: VerificationError | undefined, cause: unknown, refused: Refused): TrustError {
  if (cause instanceof TrustError) return cause
  const { signed, proofs, options } = refused
  const { what } = signed
  const refuse = (code: TrustError['code'], message: string): TrustError => new TrustError(code, message, cause)
  switch (known?.code) {
    case 'TIMESTAMP_ERROR':
      return timestampRefusal(refused, refuse)
    case 'CERTIFICATE_ERROR':
      return certificateRefusal(refused, refuse)
    case 'TLOG_ERROR':
      return proofs.entries.length < options.tlogThreshold
        ? refuse('NoneFound', `There are ${proofs.entries.length} log entries with ${what}; ${options.tlogThreshold} must hold.`)
        : refuse('UnknownFormat', `The same log entry is twice with ${what}.`)
    case 'TLOG_MISSING_INCLUSION_ERROR':
      return refuse('NoneFound', `A log entry of ${what} comes without a proof that it is in the log.`)
    case 'TLOG_INCLUSION_PROOF_ERROR':
    case 'TLOG_INCLUSION_PROMISE_ERROR':
      return logRefusal(refused, refuse)
    case 'TLOG_BODY_ERROR':
      return refuse('DataDamaged', `A log entry of ${what} is about something else: another artifact, signature or certificate.`)
    case 'SIGNATURE_ERROR':
      return refuse('DataDamaged', `The signature of ${what} does not hold: the artifact or the signature is not the one that was signed.`)
    case 'PUBLIC_KEY_ERROR':
      return refuse('WrongKey', `The key of ${what} is not one of the trusted root.`)
    default:
      return refuse('UnknownFormat', `What came with ${what} is not readable.`)
  }
}

type Refuse = (code: TrustError['code'], message: string) => TrustError

function timestampRefusal({ signed: { what }, proofs, options, context }: Refused, refuse: Refuse): TrustError {
  if (proofs.times.length < options.timestampThreshold)
    return refuse(
      'NoneFound',
      `There are ${proofs.times.length} proofs of the time of signing with ${what}; ${options.timestampThreshold} must hold.`,
    )
  for (const { stamp, at, carried } of proofs.stamps) {
    const signers = context.instance.timestampAuthorities.filter(
      ({ certificates: [leaf] }) =>
        leaf?.serialNumber.equals(stamp.signerSerialNumber) &&
        (carried.length === 0 || carried.some((one) => one.x509.raw.equals(leaf.x509.raw))),
    )
    if (signers.length === 0) return refuse('WrongKey', `A time stamp of ${what} is by an authority that the trusted root does not name.`)
    const inTime = signers.some(
      ({ certificates, start, end }) => start <= at && at <= end && certificates.every((one) => one.notBefore <= at && at <= one.notAfter),
    )
    if (!inTime) return refuse('Expired', `A time stamp of ${what} is of ${at.toISOString()}, outside the time of its authority.`)
  }
  return refuse('DataDamaged', `A time stamp of ${what} does not hold: it is of another signature, or was changed.`)
}

function certificateRefusal({ signed: { what }, proofs, context }: Refused, refuse: Refuse): TrustError {
  const { leaf, instance, now } = context
  if (!leaf) return refuse('WrongKey', `The certificate of ${what} does not hold.`)
  const times = proofs.times.length > 0 ? proofs.times : [now]
  try {
    for (const time of times) demandTime(leaf, time)
  } catch (error) {
    if (error instanceof TrustError) return error
  }
  const issuers = instance.authorities.filter(({ certificates }) => certificates.some((one) => one.subject.equals(leaf.issuer)))
  if (issuers.length === 0)
    return refuse('WrongKey', `The certificate ${described(leaf)} was issued by an authority that the trusted root does not name.`)
  if (!times.every((time) => issuers.some(({ start, end }) => start <= time && time <= end)))
    return refuse('Expired', `The certificate ${described(leaf)} was used outside the time of its authority.`)
  return refuse(
    'WrongKey',
    `The certificate ${described(leaf)} does not lead to an authority of the trusted root, or its proof of being in a certificate log (SCT) is missing or does not hold.`,
  )
}

function logRefusal({ signed: { what }, proofs, context }: Refused, refuse: Refuse): TrustError {
  for (const entry of proofs.entries) {
    const logs = context.instance.material.tlogs.filter((log) => log.logID.equals(entry.logId.keyId))
    if (logs.length === 0) return refuse('WrongKey', `A log entry of ${what} is of a log that the trusted root does not name.`)
    const at = new Date(Number(entry.integratedTime) * 1000)
    if (entry.inclusionPromise && !logs.some(({ validFor }) => validFor.start <= at && at <= validFor.end))
      return refuse('Expired', `A log entry of ${what} is of ${at.toISOString()}, outside the time of the log's key.`)
  }
  return refuse('DataDamaged', `The proof that ${what} is in the log does not hold: it was changed, or is of another entry.`)
}
