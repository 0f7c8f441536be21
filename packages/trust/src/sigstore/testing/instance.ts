import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { initializeCA, initializeCTLog, initializeTLog, initializeTSA } from '@sigstore/mock'
import { preAuthEncoding, statementPayloadType } from '../../signature/dsse.ts'

/** The instance's clock is ahead by a minute, so that its certificates, made while it starts, are valid by it; tests look back on it. */
const ahead = 60_000
export const lookingBack = (): Date => new Date(Date.now() + 2 * ahead)

export const identity = 'https://git.example.test/team/app/release.yml'
export const issuer = 'https://login.example.test'
const issuerExtension = '1.3.6.1.4.1.57264.1.8'

interface Pair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}
export interface Bundle {
  mediaType: string
  verificationMaterial: {
    certificate?: { rawBytes: string }
    x509CertificateChain?: { certificates: { rawBytes: string }[] }
    publicKey?: { hint: string }
    tlogEntries: Record<string, unknown>[]
    timestampVerificationData?: { rfc3161Timestamps: { signedTimestamp: string }[] }
  }
  messageSignature?: { messageDigest: { algorithm: string; digest: string }; signature: string }
  dsseEnvelope?: { payload: string; payloadType: string; signatures: { sig: string; keyid?: string }[] }
}

export interface SignOptions {
  readonly as?: 'message' | 'statement'
  readonly log?: boolean
  readonly stamp?: boolean
  /** What the log entry is about, where it is to be about something else. */
  readonly logged?: { readonly signature?: Buffer; readonly verifier?: string }
}

/** A Sigstore instance of a test, whose clock stands still: Fulcio with a CT log, Rekor v1, a timestamp authority, and the trusted root that names them. */
export async function startInstance() {
  const pair = (): Pair => generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const clock = new Date(Math.floor(Date.now() / 1000) * 1000 + ahead)
  const ctlog = await initializeCTLog(pair(), clock)
  const ca = await initializeCA(pair(), ctlog, clock)
  const tlog = await initializeTLog('https://rekor.example.test', pair(), clock)
  const tsa = await initializeTSA(pair(), clock)

  const log = (publicKey: Buffer, baseUrl: string) => ({
    baseUrl,
    hashAlgorithm: 'SHA2_256',
    publicKey: {
      rawBytes: publicKey.toString('base64'),
      keyDetails: 'PKIX_ECDSA_P256_SHA_256',
      validFor: { start: '2020-01-01T00:00:00Z' },
    },
    logId: { keyId: createHash('sha256').update(publicKey).digest('base64') },
  })
  const authority = (...certificates: ArrayBufferView<ArrayBuffer>[]) => ({
    subject: { organization: 'example', commonName: 'test' },
    uri: 'https://ca.example.test',
    certChain: { certificates: certificates.map((one) => ({ rawBytes: base64(one) })) },
    validFor: { start: '2020-01-01T00:00:00Z' },
  })
  const trustedRoot = {
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    tlogs: [log(tlog.publicKey, 'https://rekor.example.test')],
    certificateAuthorities: [authority(ca.rootCertificate)],
    ctlogs: [log(ctlog.publicKey, 'https://ctfe.example.test')],
    timestampAuthorities: [authority(tsa.intCertificate, tsa.rootCertificate)],
  }

  const stampOf = async (signature: Buffer): Promise<Buffer> =>
    bytesOf(
      await tsa.timestamp({
        artifactHash: createHash('sha256').update(signature).digest(),
        hashAlgorithmOID: '2.16.840.1.101.3.4.2.1',
        nonce: 1,
        policyOID: '1.3.6.1.4.1.57264.2',
        certReq: true,
      }),
    )

  const signBlob = async (artifact: Buffer, options: SignOptions = {}): Promise<Bundle> => {
    const keys = pair()
    const certificate = bytesOf(
      await ca.issueCertificate({
        publicKey: new Uint8Array(keys.publicKey.export({ type: 'spki', format: 'der' })),
        subjectAltName: identity,
        extensions: [{ oid: issuerExtension, value: issuer }],
      }),
    )
    const digest = createHash('sha256').update(artifact).digest()
    const payload = Buffer.from(
      JSON.stringify({
        _type: 'https://in-toto.io/Statement/v1',
        subject: [{ name: 'app', digest: { sha256: digest.toString('hex') } }],
        predicateType: 'https://example.test/made/v1',
        predicate: {},
      }),
    )
    const message = options.as !== 'statement'
    const signature = sign('sha256', message ? artifact : preAuthEncoding(statementPayloadType, payload), keys.privateKey)
    const pem = `-----BEGIN CERTIFICATE-----\n${certificate.toString('base64')}\n-----END CERTIFICATE-----\n`
    const verifier = Buffer.from(options.logged?.verifier ?? pem).toString('base64')
    const logged = (options.logged?.signature ?? signature).toString('base64')
    const proposed = message
      ? {
          apiVersion: '0.0.1',
          kind: 'hashedrekord',
          spec: {
            data: { hash: { algorithm: 'sha256', value: digest.toString('hex') } },
            signature: { content: logged, publicKey: { content: verifier } },
          },
        }
      : {
          apiVersion: '0.0.1',
          kind: 'dsse',
          spec: {
            payloadHash: { algorithm: 'sha256', value: createHash('sha256').update(payload).digest('hex') },
            signatures: [{ signature: logged, verifier }],
          },
        }
    return {
      mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      verificationMaterial: {
        certificate: { rawBytes: certificate.toString('base64') },
        tlogEntries: options.log === false ? [] : [entryOf(await tlog.log(proposed))],
        ...(options.stamp === true
          ? { timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: (await stampOf(signature)).toString('base64') }] } }
          : {}),
      },
      ...(message
        ? {
            messageSignature: {
              messageDigest: { algorithm: 'SHA2_256', digest: digest.toString('base64') },
              signature: signature.toString('base64'),
            },
          }
        : {
            dsseEnvelope: {
              payload: payload.toString('base64'),
              payloadType: statementPayloadType,
              signatures: [{ sig: signature.toString('base64') }],
            },
          }),
    }
  }
  return { trustedRoot, signBlob, stampOf, tsaRoot: pemOf(tsa.rootCertificate) }
}

export type Instance = Awaited<ReturnType<typeof startInstance>>

interface LogAnswer {
  readonly logIndex: number
  readonly logID: string
  readonly integratedTime: number
  readonly body: string
  readonly verification: {
    readonly signedEntryTimestamp: string
    readonly inclusionProof: {
      readonly logIndex: number
      readonly rootHash: string
      readonly treeSize: number
      readonly hashes: string[]
      readonly checkpoint: string
    }
  }
}

/** What Rekor answers, as a bundle has it. */
function entryOf(answer: object): Record<string, unknown> {
  const [entry] = Object.values(answer) as [LogAnswer]
  const { inclusionProof: proof, signedEntryTimestamp } = entry.verification
  const { kind, apiVersion } = JSON.parse(Buffer.from(entry.body, 'base64').toString('utf8'))
  const hex = (text: string): string => Buffer.from(text, 'hex').toString('base64')
  return {
    logIndex: String(entry.logIndex),
    logId: { keyId: hex(entry.logID) },
    kindVersion: { kind, version: apiVersion },
    integratedTime: String(entry.integratedTime),
    inclusionPromise: { signedEntryTimestamp },
    inclusionProof: {
      logIndex: String(proof.logIndex),
      rootHash: hex(proof.rootHash),
      treeSize: String(proof.treeSize),
      hashes: proof.hashes.map(hex),
      checkpoint: { envelope: proof.checkpoint },
    },
    canonicalizedBody: entry.body,
  }
}

function bytesOf(view: ArrayBufferView<ArrayBuffer>): Buffer {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength)
}

function base64(view: ArrayBufferView<ArrayBuffer>): string {
  return bytesOf(view).toString('base64')
}

function pemOf(view: ArrayBufferView<ArrayBuffer>): string {
  return `-----BEGIN CERTIFICATE-----\n${base64(view)}\n-----END CERTIFICATE-----\n`
}
