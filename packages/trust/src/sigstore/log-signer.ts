import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import * as z from 'zod'
import { TrustError } from '../errors.ts'

const content = z.string().max(64 * 1024)
const verifier = z.object({
  x509Certificate: z.object({ rawBytes: content }).optional(),
  publicKey: z.object({ rawBytes: content }).optional(),
})

/** Where each kind of entry (rekor/pkg/types, rekor_v2 protobufs) names who signed. What is there in v1 is PEM in base64. */
const bodies = {
  'hashedrekord 0.0.1': z
    .object({ spec: z.object({ signature: z.object({ publicKey: z.object({ content }) }) }) })
    .transform(({ spec }) => fromPem(spec.signature.publicKey.content)),
  'dsse 0.0.1': z
    .object({ spec: z.object({ signatures: z.tuple([z.object({ verifier: content })]) }) })
    .transform(({ spec }) => fromPem(spec.signatures[0].verifier)),
  'intoto 0.0.2': z
    .object({ spec: z.object({ content: z.object({ envelope: z.object({ signatures: z.tuple([z.object({ publicKey: content })]) }) }) }) })
    .transform(({ spec }) => fromPem(spec.content.envelope.signatures[0].publicKey)),
  'hashedrekord 0.0.2': z
    .object({ spec: z.object({ hashedRekordV002: z.object({ signature: z.object({ verifier }) }) }) })
    .transform(({ spec }) => fromVerifier(spec.hashedRekordV002.signature.verifier)),
  'dsse 0.0.2': z
    .object({ spec: z.object({ dsseV002: z.object({ signatures: z.tuple([z.object({ verifier })]) }) }) })
    .transform(({ spec }) => fromVerifier(spec.dsseV002.signatures[0].verifier)),
} as const

type Kind = keyof typeof bodies

/** Who a log entry says that signed. */
interface LoggedSigner {
  readonly key: KeyObject
  readonly certificate?: Buffer
}

/**
 * Demands that a log entry, whose place in the log was verified, names the signer. A signature alone does not tell: for one of ECDSA
 * another key can be made under which it holds too, and the log would then show somebody else to those who watch it.
 * @throws TrustError `DataDamaged`, `UnknownFormat`
 */
export function demandLoggedSigner(
  entry: { readonly kindVersion: { readonly kind: string; readonly version: string }; readonly canonicalizedBody: Buffer },
  signer: LoggedSigner,
  what: string,
): void {
  const kind = `${entry.kindVersion.kind} ${entry.kindVersion.version}`
  if (!isKind(kind))
    throw new TrustError('UnknownFormat', `A log entry of ${what} is of the kind ${JSON.stringify(kind)}, which is not known here.`)
  const logged = attempt(() => bodies[kind].parse(JSON.parse(entry.canonicalizedBody.toString('utf8'))))
  const same = signer.certificate && logged?.certificate ? logged.certificate.equals(signer.certificate) : logged?.key.equals(signer.key)
  if (same !== true) throw new TrustError('DataDamaged', `A log entry of ${what} names another signer than its certificate or key.`)
}

function isKind(kind: string): kind is Kind {
  return Object.hasOwn(bodies, kind)
}

function fromPem(base64: string): LoggedSigner {
  const pem = Buffer.from(base64, 'base64').toString('latin1')
  return pem.includes('BEGIN CERTIFICATE') ? ofCertificate(new X509Certificate(pem)) : { key: createPublicKey(pem) }
}

function fromVerifier({ x509Certificate, publicKey }: z.infer<typeof verifier>): LoggedSigner {
  if (x509Certificate) return ofCertificate(new X509Certificate(Buffer.from(x509Certificate.rawBytes, 'base64')))
  return { key: createPublicKey({ key: Buffer.from(publicKey?.rawBytes ?? '', 'base64'), format: 'der', type: 'spki' }) }
}

function ofCertificate(certificate: X509Certificate): LoggedSigner {
  return { key: certificate.publicKey, certificate: certificate.raw }
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
