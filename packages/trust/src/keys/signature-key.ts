/**
 * What signs: a key in a file, or in a token that never gives it away. ECDSA over SHA-256 (P-256) or SHA-384 (P-384) as a DER
 * sequence, RSA over SHA-256 as PKCS#1 v1.5: what cosign makes with the same key.
 */
export interface SignatureKey {
  /** SPKI, PEM. */
  readonly publicKey: string
  /** PEM, leaf first, where the key comes with certificates of an own PKI. */
  readonly certificateChain?: string[]
  /** Hashes and signs `bytes`. @throws TrustError `KeyProvider` where a token refuses */
  sign(bytes: Uint8Array, signal?: AbortSignal): Promise<Uint8Array>
}
