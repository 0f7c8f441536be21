import path from 'node:path'
import { openKeyring } from '@muster/fleet'
import {
  keyId,
  logSignature,
  openKeylessKey,
  openSignatureKey,
  readSigningConfig,
  type SignatureKey,
  type SigningServices,
  type SigstoreBundleJson,
  signatureKeyFromPem,
  timestamp,
  withCertificates,
} from '@muster/trust'
import type { Context } from './context.ts'
import { UsageError } from './errors.ts'
import { readGivenText } from './given-file.ts'
import { passphraseOf } from './passphrase.ts'
import { registryAccess } from './registry.ts'

/** How the signatures of a command are made. */
export interface SigningOptions {
  readonly key: readonly string[]
  readonly certificate?: string
  readonly passphraseFile?: string
  readonly timestampServer?: string
  readonly signingConfig?: string
  readonly identityTokenFile?: string
  readonly serviceCa?: string
}

/** Who signs, and with which services. */
export interface Signers {
  readonly keys: readonly SignatureKey[]
  readonly timestamp?: (signature: Uint8Array, signal?: AbortSignal) => Promise<Uint8Array>
  /** Puts a bundle into the transparency log of the signing config; as it is, where that names none. */
  logged(bundle: SigstoreBundleJson, key: SignatureKey): Promise<SigstoreBundleJson>
}

const maxTextBytes = 1024 * 1024

/**
 * Opens the keys of a command: those of `--key`, one by a Fulcio for an identity token, or the publisher's key of the instance.
 * @throws UsageError, Failure, TrustError
 */
export async function openSigners(context: Context, options: SigningOptions): Promise<Signers> {
  const services = await servicesOf(options)
  const call = {
    signal: context.signal,
    ...(options.serviceCa === undefined ? {} : { ca: await readText(options.serviceCa, '--service-ca') }),
  }
  const { rekor, timestampUrl } = services
  return {
    keys: await keysOf(context, options, services, call),
    ...(timestampUrl === undefined ? {} : { timestamp: (signature) => timestamp(signature, timestampUrl, call) }),
    logged: async (bundle, key) =>
      rekor === undefined
        ? bundle
        : logSignature(bundle, { ...call, rekorUrl: rekor.url, rekorVersion: rekor.version, publicKey: key.publicKey }),
  }
}

/** A key by path or PKCS#11 URI, its passphrase from a file, the environment or the terminal. */
export function openKey(context: Context, uri: string, passphraseFile: string | undefined): Promise<SignatureKey> {
  return openSignatureKey(uri, {
    passphrase: () => passphraseOf(context, uri, passphraseFile),
    env: context.environment,
    signal: context.signal,
  })
}

/** What an instance signs with when no key is named. */
export async function instanceKey(context: Context): Promise<SignatureKey> {
  // Before keys are made for an instance that is not there.
  await registryAccess(context)
  return signatureKeyFromPem((await openKeyring(path.join(context.state, 'keys'), new Date())).publisher.privateKey)
}

async function servicesOf({ signingConfig, timestampServer }: SigningOptions): Promise<SigningServices> {
  const config = signingConfig === undefined ? {} : readSigningConfig(await readJson(signingConfig), new Date())
  return timestampServer === undefined ? config : { ...config, timestampUrl: timestampServer }
}

async function keysOf(
  context: Context,
  { key, certificate, passphraseFile, identityTokenFile }: SigningOptions,
  { fulcioUrl }: SigningServices,
  call: { readonly signal: AbortSignal; readonly ca?: string },
): Promise<SignatureKey[]> {
  if (identityTokenFile !== undefined) {
    if (key.length > 0 || certificate !== undefined)
      throw new UsageError('--identity-token-file stands alone: leave out --key and --certificate.')
    if (fulcioUrl === undefined) throw new UsageError('--identity-token-file needs a --signing-config that names a Fulcio.')
    return [await openKeylessKey({ ...call, fulcioUrl, identityToken: await readText(identityTokenFile, '--identity-token-file') })]
  }
  if (certificate !== undefined && key.length !== 1)
    throw new UsageError('--certificate belongs to one --key: sign once for each of several.')
  if (key.length === 0) return [await instanceKey(context)]
  const keys: SignatureKey[] = []
  for (const uri of key) keys.push(await openKey(context, uri, passphraseFile))
  if (new Set(keys.map((one) => keyId(one.publicKey))).size < keys.length)
    throw new UsageError('The same key is given twice: two signers need two keys.')
  if (certificate === undefined) return keys
  const chain = await readText(certificate, '--certificate')
  return keys.map((one) => withCertificates(one, chain))
}

async function readJson(file: string): Promise<unknown> {
  const text = await readText(file, '--signing-config')
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new UsageError(`${file} is not JSON: give a signing config as "cosign signing-config create" writes it.`, { cause })
  }
}

async function readText(file: string, option: string): Promise<string> {
  return readGivenText(file, { what: option, limit: maxTextBytes })
}
