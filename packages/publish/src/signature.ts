import { type ContentSource, type ContentTarget, copy, type Descriptor } from '@muster/oci'
import { attach, isSignedBy, readEnvelopes, type SignatureKey, signPredicateType, signStatement } from '@muster/trust'

/** What a step works with: a layout, or a repository. */
export type Store = ContentSource & ContentTarget

/**
 * Sees to it that `store` holds one signature by the signer's key: one that is there is kept, one that is at `elsewhere` is taken
 * over (ECDSA signatures differ each time, so signing again would pile them up), else a new one is made.
 * @returns whether a new one was made
 * @throws TrustError for keys that are none, and `RegistryUnreachable`; OciError
 */
export async function ensureSigned(
  store: Store,
  subject: Descriptor,
  signer: SignatureKey,
  elsewhere: readonly ContentSource[],
  signal?: AbortSignal,
): Promise<boolean> {
  if ((await ownSignature(store, subject, signer, signal)) !== undefined) return false
  for (const source of elsewhere) {
    const found = await ownSignature(source, subject, signer, signal)
    if (found === undefined) continue
    await copy(source, store, found, { signal })
    return false
  }
  await attach(store, subject, await signStatement({ subject, key: signer, ...(signal ? { signal } : {}) }), { signal })
  return true
}

/** The referrer that is a good signature by the signer's key. */
async function ownSignature(
  source: ContentSource,
  subject: Descriptor,
  signer: SignatureKey,
  signal: AbortSignal | undefined,
): Promise<Descriptor | undefined> {
  const { envelopes, problems } = await readEnvelopes(source, subject, { signal })
  // Cosign's older formats hang by a tag, and are not taken along as a referrer is.
  const own = envelopes.find(
    (one) => one.format === 'sigstore-bundle' && one.claims.predicateType === signPredicateType && isSignedBy(one, signer.publicKey),
  )
  if (own !== undefined) return source.resolve(own.referrer, { signal })
  // Somebody else's signature, or a damaged one, is not ours. Trouble with the registry is no answer.
  const outage = problems.find(({ code }) => code === 'RegistryUnreachable')
  if (outage !== undefined) throw outage
  return undefined
}
