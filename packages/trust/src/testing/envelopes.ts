import { createHash } from 'node:crypto'
import type { AuthoritySpec } from '@muster/api'
import { generateKeyPair, type KeyPair, signBytes } from '../keys/keys.ts'
import type { SignedEnvelope } from '../signature/envelope.ts'
import { signPredicateType } from '../signature/statement.ts'

/** A digest made of a word. */
export const digestOf = (word: string): string => `sha256:${createHash('sha256').update(word).digest('hex')}`

/** Key pairs by name, the same for each test of a file. */
export function signers<Name extends string>(...names: readonly Name[]): Record<Name, KeyPair> {
  return Object.fromEntries(names.map((name) => [name, generateKeyPair()])) as Record<Name, KeyPair>
}

/** The authority of whoever holds a key. */
export function keyAuthority(name: string, ...keys: readonly KeyPair[]): AuthoritySpec {
  return { name, key: { publicKeys: keys.map(({ publicKey }) => publicKey) } }
}

/** A signature on `digest`, or an attestation where a predicate type is given, as it is after reading. */
export function envelope(
  key: KeyPair,
  digest: string,
  { predicateType = signPredicateType, predicate = {} }: { predicateType?: string; predicate?: unknown } = {},
): SignedEnvelope {
  const payload = Buffer.from(JSON.stringify({ digest, predicateType, predicate }))
  return {
    format: 'sigstore-bundle',
    referrer: digestOf(payload.toString('utf8')),
    payloadType: 'application/vnd.in-toto+json',
    payload,
    signed: payload,
    signatures: [{ sig: signBytes(payload, key.privateKey) }],
    material: {},
    claims: { digest, predicateType, predicate },
  }
}
