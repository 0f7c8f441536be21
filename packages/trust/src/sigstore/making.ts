import type { SignatureKey } from '../keys/signature-key.ts'
import type { SigstoreBundleJson } from '../signature/sigstore-bundle.ts'
import type { KeylessOptions } from './keyless.ts'
import type { TimestampOptions } from './timestamp-client.ts'
import type { LoggedBundle, LogOptions } from './transparency.ts'

export type { KeylessOptions } from './keyless.ts'
export { readSigningConfig, type SigningServices } from './signing-config.ts'
export type { TimestampOptions } from './timestamp-client.ts'

// Loaded when they are first needed: who verifies by keys alone never loads them.

/**
 * Asks a timestamp authority (RFC 3161) to vouch that a signature is there now.
 * @returns its response, DER, as it goes into a Sigstore bundle
 * @throws TrustError `ServiceUnreachable`, `ServiceRefused`
 */
export async function timestamp(signature: Uint8Array, url: string, options: TimestampOptions = {}): Promise<Uint8Array> {
  return (await import('./timestamp-client.ts')).timestamp(signature, url, options)
}

/**
 * A key for this process, certified by a Fulcio for the identity that a token proves.
 * @throws TrustError `ServiceUnreachable`, `ServiceRefused`, `KeyUnreadable` (the token is none)
 */
export async function openKeylessKey(options: KeylessOptions): Promise<SignatureKey> {
  return (await import('./keyless.ts')).openKeylessKey(options)
}

/**
 * Puts a signature into a transparency log, and the log's proof into the bundle.
 * @throws TrustError `ServiceUnreachable`, `ServiceRefused`
 */
export async function logSignature(bundle: SigstoreBundleJson, options: LogOptions): Promise<LoggedBundle> {
  return (await import('./transparency.ts')).logSignature(bundle, options)
}
