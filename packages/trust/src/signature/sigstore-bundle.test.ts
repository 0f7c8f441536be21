import { createHash, createPublicKey } from 'node:crypto'
import { bundleFromJSON } from '@sigstore/bundle'
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TrustError } from '../errors.ts'
import { generateKeyPair, signBytes } from '../keys/keys.ts'
import { signatureKeyFromPem } from '../keys/memory-key.ts'
import { type SigstoreBundleJson, signStatement, verifySigstoreBundle } from './sigstore-bundle.ts'

const keys = generateKeyPair()
const publisher = { name: 'publisher', publicKey: keys.publicKey }
const other = { name: 'other', publicKey: generateKeyPair().publicKey }
const digest = `sha256:${createHash('sha256').update('artifact').digest('hex')}`
const key = signatureKeyFromPem(keys.privateKey)
const signed = await signStatement({ subject: { digest }, key })

const bytesOf = (bundle: unknown) => Buffer.from(JSON.stringify(bundle))
const code = (expected: string) => expect.objectContaining({ name: 'TrustError', code: expected })

/** A bundle over any payload, signed as it is. */
function bundleOver(payload: string): SigstoreBundleJson {
  const type = 'application/vnd.in-toto+json'
  const signature = signBytes(Buffer.from(`DSSEv1 ${type.length} ${type} ${Buffer.byteLength(payload)} ${payload}`), keys.privateKey)
  return {
    ...signed,
    dsseEnvelope: {
      payload: Buffer.from(payload).toString('base64'),
      payloadType: type,
      signatures: [{ sig: signature.toString('base64') }],
    },
  }
}

const statement = (change: object) =>
  JSON.stringify({ ...JSON.parse(Buffer.from(signed.dsseEnvelope.payload, 'base64').toString('utf8')), ...change })

describe('a signature', () => {
  it('is accepted by the publisher that made it, whoever else is named', () => {
    expect(verifySigstoreBundle(bytesOf(signed), digest, [other, publisher])?.name).toBe('publisher')
  })

  it('is accepted by the Sigstore project’s own verifier', () => {
    const trust = toTrustMaterial({ mediaType: '', certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] }, () => ({
      publicKey: createPublicKey(keys.publicKey),
      validFor: () => true,
    }))
    const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 })
    expect(() => verifier.verify(toSignedEntity(bundleFromJSON(signed)))).not.toThrow()
  })

  it('has the payload that cosign writes', async () => {
    expect(
      Buffer.from((await signStatement({ subject: { digest }, key, annotations: { a: 'b' } })).dsseEnvelope.payload, 'base64').toString(
        'utf8',
      ),
    ).toBe(
      `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"${digest.slice(7)}"},"annotations":{"a":"b"}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`,
    )
  })

  it('is accepted in the looser JSON that other tools write: white space, an empty key id, no hint', () => {
    const { verificationMaterial, dsseEnvelope, mediaType } = signed
    const loose = {
      mediaType,
      verificationMaterial: { publicKey: {}, tlogEntries: [], timestampVerificationData: null },
      dsseEnvelope: { ...dsseEnvelope, signatures: [{ ...dsseEnvelope.signatures[0], keyid: '' }] },
    }
    expect(verificationMaterial.publicKey?.hint).not.toBe('')
    expect(verifySigstoreBundle(Buffer.from(JSON.stringify(loose, null, '  ')), digest, [other, publisher])?.name).toBe('publisher')
  })

  it('by another key is refused as such', () => {
    expect(() => verifySigstoreBundle(bytesOf(signed), digest, [other])).toThrow(code('SignatureWrongKey'))
    expect(() => verifySigstoreBundle(bytesOf(signed), digest, [])).toThrow(code('SignatureWrongKey'))
  })

  it('of another artifact is refused as invalid, however good it is', () => {
    expect(() => verifySigstoreBundle(bytesOf(signed), `sha256:${'0'.repeat(64)}`, [publisher])).toThrow(code('SignatureInvalid'))
  })

  it('over something else than a statement of one signed artifact is refused', () => {
    const hex = digest.slice(7)
    for (const payload of [
      '',
      'null',
      '{"predicateType":"https://sigstore.dev/cosign/sign/v1"}',
      statement({ _type: 'https://in-toto.io/Statement/v0.1' }),
      statement({ subject: [] }),
      statement({ subject: [{ digest: { sha512: hex } }] }),
      statement({ subject: [{ digest: { sha256: hex } }, { digest: { sha256: hex } }] }),
      statement({ predicate: 'x' }),
    ])
      expect(() => verifySigstoreBundle(bytesOf(bundleOver(payload)), digest, [publisher])).toThrow(code('SignatureInvalid'))
  })

  it('is no signature when it is an attestation: it is set aside', () => {
    const attestation = bundleOver(statement({ predicateType: 'https://cyclonedx.org/bom' }))
    expect(verifySigstoreBundle(bytesOf(attestation), digest, [publisher])).toBeUndefined()
  })

  it('made with a certificate is one by no key that is known here', () => {
    const keyless = { ...signed, verificationMaterial: { certificate: { rawBytes: 'AAAA' } } }
    expect(() => verifySigstoreBundle(bytesOf(keyless), digest, [publisher])).toThrow(code('SignatureWrongKey'))
  })

  it('is not made with halves of two pairs, nor of what is no digest', async () => {
    const halves = { ...key, publicKey: other.publicKey }
    await expect(signStatement({ subject: { digest }, key: halves })).rejects.toThrow(code('SignatureInvalid'))
    await expect(signStatement({ subject: { digest: 'sha512:00' }, key })).rejects.toThrow(code('StatementInvalid'))
  })

  it('larger than a mebibyte is not read', () => {
    expect(() => verifySigstoreBundle(Buffer.alloc(1024 * 1024 + 1, 0x20), digest, [publisher])).toThrow(code('SignatureInvalid'))
  })

  it('with any byte changed is refused, always with a reason', () => {
    const bytes = bytesOf(signed)
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Buffer.from(bytes)
        changed[at] = (changed[at] ?? 0) ^ change
        return refusedOrIgnored(changed)
      }),
      { numRuns: 1000 },
    )
  }, 60_000)

  it('that is any JSON at all is refused, never a crash', () => {
    fc.assert(fc.property(fc.json(), (text) => refusedOrIgnored(Buffer.from(text))))
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), refusedOrIgnored))
    const field = fc.option(fc.jsonValue(), { nil: undefined })
    fc.assert(
      fc.property(fc.record({ payload: field, payloadType: field, signatures: field }), field, (dsseEnvelope, verificationMaterial) =>
        refusedOrIgnored(bytesOf({ ...signed, dsseEnvelope, verificationMaterial })),
      ),
    )
  })
})

/** True when bytes are not taken for a signature. Any error but a TrustError is let through, and fails the test. */
function refusedOrIgnored(bytes: Uint8Array): boolean {
  try {
    return verifySigstoreBundle(bytes, digest, [publisher]) === undefined
  } catch (error) {
    if (error instanceof TrustError) return true
    throw error
  }
}
