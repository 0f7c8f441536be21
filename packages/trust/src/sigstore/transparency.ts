import { createHash, createPublicKey, X509Certificate } from 'node:crypto'
import * as z from 'zod'
import { TrustError } from '../errors.ts'
import { preAuthEncoding } from '../signature/dsse.ts'
import type { SigstoreBundleJson } from '../signature/sigstore-bundle.ts'
import { asRefusal } from './as-refusal.ts'
import { askService, type ServiceOptions, serviceUrl } from './service.ts'

export interface LogOptions extends ServiceOptions {
  readonly rekorUrl: string
  /** 1: Rekor with a promise and a time. 2: tiles, which prove no time: a time stamp is needed too. */
  readonly rekorVersion: 1 | 2
  /** SPKI, PEM: who signed, where the bundle has no certificate. */
  readonly publicKey?: string | undefined
}

/** A bundle with the entry of a transparency log. */
export type LoggedBundle = Omit<SigstoreBundleJson, 'verificationMaterial'> & {
  readonly verificationMaterial: SigstoreBundleJson['verificationMaterial'] & { readonly tlogEntries: readonly unknown[] }
}

const what = 'Rekor'
const maxAnswerBytes = 32 * 1024 * 1024
const headers = { contentType: 'application/json', accept: 'application/json', limit: maxAnswerBytes } as const

/**
 * Puts a signature into a transparency log, and the log's proof into the bundle. What the log answers is verified by whoever verifies
 * the bundle, with the log's key.
 * @throws TrustError `ServiceUnreachable`, `ServiceRefused`
 */
export async function logSignature(bundle: SigstoreBundleJson, options: LogOptions): Promise<LoggedBundle> {
  const entry = options.rekorVersion === 2 ? await logInTiles(bundle, options) : await logInRekor(bundle, options)
  return { ...bundle, verificationMaterial: { ...bundle.verificationMaterial, tlogEntries: [entry] } }
}

const hex = z.string().regex(/^([0-9a-f]{2})+$/)
const whole = z.int().min(0)
const entriesSchema = z.record(
  z.string(),
  z.object({
    body: z.string(),
    integratedTime: whole,
    logID: hex,
    logIndex: whole,
    verification: z.object({
      signedEntryTimestamp: z.string(),
      inclusionProof: z.object({ checkpoint: z.string(), hashes: z.array(hex).max(64), logIndex: whole, rootHash: hex, treeSize: whole }),
    }),
  }),
)
const bodySchema = z.object({ kind: z.string(), apiVersion: z.string() })

async function logInRekor(bundle: SigstoreBundleJson, options: LogOptions): Promise<object> {
  const url = serviceUrl(what, options.rekorUrl, '/api/v1/log/entries')
  const proposed = {
    apiVersion: '0.0.1',
    kind: 'dsse',
    spec: {
      proposedContent: {
        envelope: JSON.stringify(bundle.dsseEnvelope),
        verifiers: [Buffer.from(verifierPem(bundle, options)).toString('base64')],
      },
    },
  }
  const body = Buffer.from(JSON.stringify(proposed))
  const created = await askService(what, { method: 'POST', url, ...headers, body, alsoAccept: [409] }, options)
  // It is there already: the log says where, on itself.
  const known = created.status === 409 ? URL.parse(created.location ?? '', url.href) : undefined
  const answer =
    created.status === 409
      ? await askService(
          what,
          {
            method: 'GET',
            url: serviceUrl(what, options.rekorUrl, `/api/v1/log/entries/${known?.pathname.split('/').at(-1) ?? ''}`),
            ...headers,
          },
          options,
        )
      : created
  return asRefusal('ServiceRefused', `Rekor at ${url.host} did not answer with one entry, its promise and its proof.`, () => {
    const [entry, ...more] = Object.values(entriesSchema.parse(JSON.parse(answer.body.toString('utf8'))))
    if (!entry || more.length > 0) throw new Error('not one entry')
    const { kind, apiVersion } = bodySchema.parse(JSON.parse(Buffer.from(entry.body, 'base64').toString('utf8')))
    const { inclusionProof: proof, signedEntryTimestamp } = entry.verification
    return {
      logIndex: String(entry.logIndex),
      logId: { keyId: base64OfHex(entry.logID) },
      kindVersion: { kind, version: apiVersion },
      integratedTime: String(entry.integratedTime),
      inclusionPromise: { signedEntryTimestamp },
      inclusionProof: {
        logIndex: String(proof.logIndex),
        rootHash: base64OfHex(proof.rootHash),
        treeSize: String(proof.treeSize),
        hashes: proof.hashes.map(base64OfHex),
        checkpoint: { envelope: proof.checkpoint },
      },
      canonicalizedBody: entry.body,
    }
  })
}

const tilesEntrySchema = z.looseObject({
  logIndex: z.string(),
  logId: z.object({ keyId: z.string() }),
  kindVersion: z.object({ kind: z.string(), version: z.string() }),
  inclusionProof: z.looseObject({ checkpoint: z.object({ envelope: z.string() }) }),
  canonicalizedBody: z.string(),
})

async function logInTiles(bundle: SigstoreBundleJson, options: LogOptions): Promise<object> {
  const url = serviceUrl(what, options.rekorUrl, '/api/v2/log/entries')
  const { certificate } = bundle.verificationMaterial
  const pem = verifierPem(bundle, options)
  const verifier = certificate ? { x509Certificate: certificate } : { publicKey: { rawBytes: derOf(pem).toString('base64') } }
  const { payload, payloadType, signatures } = bundle.dsseEnvelope
  const signed = preAuthEncoding(payloadType, Buffer.from(payload, 'base64'))
  const { keyDetails, hash } = algorithmOf(pem)
  // Rekor since tiles 2.1 logs nothing but digests: of a DSSE envelope that of what was signed.
  const body = Buffer.from(
    JSON.stringify({
      hashedRekordRequestV002: {
        digest: createHash(hash).update(signed).digest('base64'),
        signature: { content: signatures[0].sig, verifier: { ...verifier, keyDetails } },
      },
    }),
  )
  const { body: answer } = await askService(what, { method: 'POST', url, ...headers, body }, options)
  return asRefusal('ServiceRefused', `Rekor at ${url.host} did not answer with an entry and its proof.`, () =>
    tilesEntrySchema.parse(JSON.parse(answer.toString('utf8'))),
  )
}

/** What an entry names as signer: certificate or key, PEM. */
function verifierPem({ verificationMaterial: { certificate } }: SigstoreBundleJson, { publicKey }: LogOptions): string {
  if (certificate) return new X509Certificate(Buffer.from(certificate.rawBytes, 'base64')).toString()
  if (publicKey !== undefined) return publicKey
  throw new TrustError('ServiceRefused', 'A log entry names who signed: give the public key, where the signature has no certificate.')
}

function derOf(publicKey: string): Buffer {
  return createPublicKey(publicKey).export({ type: 'spki', format: 'der' })
}

/** A key's algorithm by its name in sigstore_common.proto, and the hash that goes with it. */
function algorithmOf(pem: string): { readonly keyDetails: string; readonly hash: string } {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = createPublicKey(pem)
  if (type === 'rsa') return { keyDetails: `PKIX_RSA_PKCS1V15_${details?.modulusLength ?? 0}_SHA256`, hash: 'sha256' }
  switch (details?.namedCurve) {
    case 'prime256v1':
      return { keyDetails: 'PKIX_ECDSA_P256_SHA_256', hash: 'sha256' }
    case 'secp384r1':
      return { keyDetails: 'PKIX_ECDSA_P384_SHA_384', hash: 'sha384' }
    default:
      throw new TrustError('KeyNotAllowed', `Rekor has no entry for a signature by a key of the type ${type ?? 'unknown'}.`)
  }
}

function base64OfHex(text: string): string {
  return Buffer.from(text, 'hex').toString('base64')
}
