import { OciError } from '@muster/oci'
import { type RefusalReason, TrustError } from '../errors.ts'

/**
 * What tells most when several things stand against an artifact: the first of these. No verdict without having seen everything comes
 * first; then what came nearest to being accepted.
 */
export const gravity: readonly RefusalReason[] = [
  'RegistryUnreachable',
  'DataDamaged',
  'PredicateRefused',
  'TooOld',
  'Expired',
  'IdentityNotAllowed',
  'UnknownFormat',
  'WrongKey',
  'NoneFound',
]

/** Why something does not count, and which. */
export interface Refusal {
  readonly reason: RefusalReason
  readonly message: string
  /** Digest of the manifest that the signature or attestation was read from. */
  readonly referrer?: string
  /** The authority that did not accept it. */
  readonly authority?: string
}

/** The most telling first. */
export function byGravity(refusals: readonly Refusal[]): Refusal[] {
  return refusals.toSorted((a, b) => gravity.indexOf(a.reason) - gravity.indexOf(b.reason))
}

/** The reason of an error of reading or verifying. What is no such error is thrown on. */
export function refusalOf(error: unknown, at: Omit<Refusal, 'reason' | 'message'> = {}): Refusal {
  if (error instanceof TrustError) {
    const reason = reasonOf(error)
    if (reason !== undefined) return { reason, message: error.message, ...at }
  }
  if (error instanceof OciError) return { reason: ociReason(error), message: error.message, ...at }
  throw error
}

function reasonOf({ code }: TrustError): RefusalReason | undefined {
  const known = gravity.find((reason) => reason === code)
  if (known !== undefined) return known
  switch (code) {
    case 'SignatureMissing':
      return 'NoneFound'
    case 'SignatureWrongKey':
      return 'WrongKey'
    // A signature that claims a trusted key and does not hold was changed, it or what it signs.
    case 'SignatureInvalid':
      return 'DataDamaged'
    case 'KeyUnreadable':
    case 'KeyNotAllowed':
    case 'StatementInvalid':
      return 'UnknownFormat'
    default:
      return undefined
  }
}

function ociReason({ code }: OciError): RefusalReason {
  switch (code) {
    case 'DigestMismatch':
    case 'SizeMismatch':
      return 'DataDamaged'
    case 'NotFound':
      return 'NoneFound'
    case 'TooLarge':
    case 'InvalidManifest':
    case 'InvalidJson':
    case 'InvalidArchive':
    case 'Unsupported':
      return 'UnknownFormat'
    default:
      return 'RegistryUnreachable'
  }
}
