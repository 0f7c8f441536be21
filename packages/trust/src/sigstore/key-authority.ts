import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { refusing, TrustError } from '../errors.ts'
import type { KeyAuthority, VerifiedIdentity } from './authority.ts'
import { objectionTo } from './signature-check.ts'
import type { Signed } from './signed.ts'

const maxPemLength = 8192

/**
 * Verifies a signature by one of an authority's keys. Certificates, logs and time stamps that came with it are not looked at: they
 * say nothing about a key that is trusted by itself.
 * @throws TrustError `WrongKey`, `KeyUnreadable`, `KeyNotAllowed`
 */
export function demandKey({ what, content }: Signed, authority: KeyAuthority): VerifiedIdentity {
  for (const publicKey of authority.publicKeys) {
    const key = readAuthorityKey(publicKey)
    if (content.holds(key)) return { authority: authority.name, identity: `sha256:${fingerprint(key)}` }
  }
  throw new TrustError('WrongKey', `The signature of ${what} was not made with a key of ${authority.name}.`)
}

function fingerprint(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')
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
