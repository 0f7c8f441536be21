import { createPublicKey, type KeyObject } from 'node:crypto'
import { refusing, TrustError } from '../errors.ts'
import { keyId } from '../keys/keys.ts'
import type { SignedEnvelope } from '../signature/envelope.ts'
import type { KeyAuthority, VerifiedIdentity } from './authority.ts'
import { objectionTo, signatureHolds } from './signature-check.ts'

const maxPemLength = 8192

/**
 * Verifies a signature by one of an authority's keys. Certificates, logs and time stamps that came with it are not looked at: they
 * say nothing about a key that is trusted by itself.
 * @throws TrustError `WrongKey`, `UnknownFormat`, `KeyUnreadable`, `KeyNotAllowed`
 */
export function verifyByKey(envelope: SignedEnvelope, authority: KeyAuthority): VerifiedIdentity {
  const signature = onlySignature(envelope)
  for (const publicKey of authority.publicKeys) {
    if (signatureHolds(envelope.signed, readAuthorityKey(publicKey), signature))
      return { authority: authority.name, identity: `sha256:${keyId(publicKey)}` }
  }
  throw new TrustError('WrongKey', `The signature ${envelope.referrer} was not made with a key of ${authority.name}.`)
}

/** @throws TrustError `UnknownFormat` where there is not exactly one: a good one must not lend itself to a bad one */
export function onlySignature(envelope: SignedEnvelope): Uint8Array {
  const [first, ...more] = envelope.signatures
  if (first === undefined || more.length > 0)
    throw new TrustError('UnknownFormat', `${envelope.referrer} has ${envelope.signatures.length} signatures where one is allowed.`)
  return first.sig
}

/** @throws TrustError `KeyUnreadable`, `KeyNotAllowed` */
export function readAuthorityKey(pem: string): KeyObject {
  const key = refusing('KeyUnreadable', 'The public key is not SPKI in PEM, or it is damaged.', () => {
    if (pem.length > maxPemLength || !pem.trimStart().startsWith('-----BEGIN PUBLIC KEY-----')) throw new Error('no SPKI in PEM')
    return createPublicKey(pem)
  })
  const objection = objectionTo(key)
  if (objection !== undefined)
    throw new TrustError('KeyNotAllowed', `The public key ${objection}; use ECDSA on P-256 or P-384, RSA of 2048 bits or more, or Ed25519.`)
  return key
}
