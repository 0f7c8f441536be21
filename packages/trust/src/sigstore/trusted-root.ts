import { TrustedRoot } from '@sigstore/protobuf-specs'
import { type TrustMaterial, toTrustMaterial } from '@sigstore/verify'
import { TrustError } from '../errors.ts'
import { asRefusal } from './as-refusal.ts'
import { type Certificate, readCertificate } from './certificate.ts'
import { VerifierCertificate } from './verifier-certificate.ts'

/** What a `trusted_root.json` names, read. */
export interface TrustedInstance {
  readonly material: TrustMaterial
  /** Chains of the certificate authorities, with the time in which they are used. */
  readonly authorities: readonly TrustedChain[]
  readonly timestampAuthorities: readonly TrustedChain[]
}

export interface TrustedChain {
  readonly certificates: readonly Certificate[]
  readonly start: Date
  readonly end: Date
}

const mediaTypes: readonly string[] = [
  'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
  'application/vnd.dev.sigstore.trustedroot.v0.1+json',
  'application/vnd.dev.sigstore.trustedroot.v0.2+json',
]

const maxMembers = 64

/** Kept as long as the JSON itself: reading keys and certificates costs more than a verification. */
const instances = new WeakMap<object, TrustedInstance>()

/**
 * Reads a trusted root (sigstore_trustroot.proto, JSON).
 * @throws TrustError `AuthorityInvalid`
 */
export function readTrustedRoot(json: unknown): TrustedInstance {
  if (typeof json !== 'object' || json === null)
    throw new TrustError(
      'AuthorityInvalid',
      'The trusted root is not a JSON object. Give a trusted_root.json, as "cosign trusted-root create" writes it.',
    )
  const known = instances.get(json)
  if (known) return known
  const made = asRefusal(
    'AuthorityInvalid',
    'The trusted root is not readable. Give a trusted_root.json, as "cosign trusted-root create" writes it.',
    () => instanceOf(json),
  )
  instances.set(json, made)
  return made
}

function instanceOf(json: object): TrustedInstance {
  const root = TrustedRoot.fromJSON(json)
  if (!mediaTypes.includes(root.mediaType))
    throw new TrustError(
      'AuthorityInvalid',
      `The trusted root is of the media type ${JSON.stringify(root.mediaType)}, which is not known here.`,
    )
  const lists = [root.certificateAuthorities, root.timestampAuthorities, root.tlogs, root.ctlogs]
  if (lists.some((list) => list.length > maxMembers)) throw new Error('too many members')
  const used = {
    ...root,
    // Without a begin there is no saying whether a key was in use: such an entry is not used.
    tlogs: root.tlogs.filter((log) => log.publicKey?.rawBytes !== undefined && log.publicKey.validFor?.start !== undefined),
    ctlogs: root.ctlogs.filter((log) => log.publicKey?.rawBytes !== undefined && log.publicKey.validFor?.start !== undefined),
    certificateAuthorities: root.certificateAuthorities.filter((authority) => (authority.certChain?.certificates.length ?? 0) > 0),
    timestampAuthorities: root.timestampAuthorities.filter((authority) => (authority.certChain?.certificates.length ?? 0) > 0),
  }
  const authorities = used.certificateAuthorities.map(chainOf)
  const timestampAuthorities = used.timestampAuthorities.map(chainOf)
  const material = toTrustMaterial({ ...used, certificateAuthorities: [], timestampAuthorities: [] }, () => {
    throw new TrustError('WrongKey', 'The signature names a key, not a certificate: a trusted root vouches for certificates only.')
  })
  return {
    material: {
      ...material,
      certificateAuthorities: authorities.map(forVerifier),
      timestampAuthorities: timestampAuthorities.map(forVerifier),
    },
    authorities,
    timestampAuthorities,
  }
}

function forVerifier({ certificates, start, end }: TrustedChain): TrustMaterial['certificateAuthorities'][number] {
  return { certChain: certificates.map((one) => new VerifierCertificate(one)), validFor: { start, end } }
}

function chainOf(authority: TrustedRoot['certificateAuthorities'][number]): TrustedChain {
  return {
    certificates: (authority.certChain?.certificates ?? []).map(({ rawBytes }) => readCertificate(rawBytes)),
    start: authority.validFor?.start ?? new Date(0),
    end: authority.validFor?.end ?? new Date(8.64e15),
  }
}
