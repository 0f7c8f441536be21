import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import * as z from 'zod'
import { refusing, TrustError } from '../errors.ts'
import type { SignatureKey } from '../keys/signature-key.ts'
import { asRefusal } from './as-refusal.ts'
import { certificatesOfPem, readCertificate } from './certificate.ts'
import { askService, isOpenToOthers, type ServiceOptions, serviceUrl } from './service.ts'

export interface KeylessOptions extends ServiceOptions {
  readonly fulcioUrl: string
  /** A token of the OIDC issuer that Fulcio believes. A secret: it goes nowhere else, and into no message. */
  readonly identityToken: string
}

const what = 'Fulcio'
const maxTokenLength = 16 * 1024
const maxAnswerBytes = 256 * 1024

const chain = z.object({
  chain: z.object({
    certificates: z
      .array(z.string().max(64 * 1024))
      .min(1)
      .max(8),
  }),
})
const answerSchema = z.object({ signedCertificateEmbeddedSct: chain.optional(), signedCertificateDetachedSct: chain.optional() })

/**
 * A key that lives as long as this process, with a certificate of some minutes for the identity that the token proves. Signatures
 * need a time stamp or a log entry to be good for longer.
 * @throws TrustError `ServiceUnreachable`, `ServiceRefused`, `KeyUnreadable` (the token is none)
 */
export async function openKeylessKey(options: KeylessOptions): Promise<SignatureKey> {
  const url = serviceUrl(what, options.fulcioUrl, '/api/v2/signingCert')
  if (isOpenToOthers(url))
    throw new TrustError(
      'ServiceRefused',
      `Fulcio at ${url.host} is asked over plain HTTP, and would get the token in the open: use https.`,
    )
  const subject = subjectOf(options.identityToken)
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const { body } = await askService(
    what,
    {
      method: 'POST',
      url,
      contentType: 'application/json',
      accept: 'application/json',
      limit: maxAnswerBytes,
      body: Buffer.from(
        JSON.stringify({
          credentials: { oidcIdentityToken: options.identityToken.trim() },
          publicKeyRequest: {
            publicKey: { algorithm: 'ECDSA', content: pem },
            proofOfPossession: sign('sha256', Buffer.from(subject), privateKey).toString('base64'),
          },
        }),
      ),
    },
    options,
  )
  const certificateChain = asRefusal(
    'ServiceRefused',
    `Fulcio at ${url.host} did not answer with a certificate for the key that was sent.`,
    () => certificatesOf(body, publicKey),
  )
  return {
    publicKey: pem,
    certificateChain,
    sign: async (bytes, signal) => {
      signal?.throwIfAborted()
      return sign('sha256', bytes, privateKey)
    },
  }
}

function certificatesOf(body: Buffer, publicKey: KeyObject): string[] {
  const answer = answerSchema.parse(JSON.parse(body.toString('utf8')))
  const certificates = (answer.signedCertificateEmbeddedSct ?? answer.signedCertificateDetachedSct)?.chain.certificates ?? []
  const ders = certificates.flatMap((pem) => certificatesOfPem(pem))
  const [leaf] = ders.map(readCertificate)
  if (!leaf?.x509.publicKey.equals(createPublicKey(publicKey.export({ type: 'spki', format: 'pem' }))))
    throw new Error('the certificate is for another key')
  return ders.map(
    (der) => `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replaceAll(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`,
  )
}

const claimsSchema = z.object({ sub: z.string().max(2048), email: z.string().max(2048).optional(), email_verified: z.boolean().optional() })

/** What Fulcio wants signed to prove that the key is held: the email where the token has one, else the subject (as its own client). */
function subjectOf(token: string): string {
  const claims = refusing('KeyUnreadable', 'The identity token is not a JSON Web Token with a subject.', () => {
    if (token.length > maxTokenLength) throw new Error('too long')
    const [, payload, signature] = token.trim().split('.')
    if (payload === undefined || signature === undefined) throw new Error('not three parts')
    return claimsSchema.parse(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')))
  })
  return claims.email !== undefined && claims.email_verified === true ? claims.email : claims.sub
}
