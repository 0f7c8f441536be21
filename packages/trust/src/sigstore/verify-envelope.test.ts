import { generateKeyPairSync, sign } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { SignedEnvelope } from '../signature/envelope.ts'
import type { Authority } from './authority.ts'
import { identity, issuer, lookingBack, startInstance } from './testing/instance.ts'
import { verifyEnvelope } from './verify-envelope.ts'

const refusal = (code: string) => expect.objectContaining({ name: 'TrustError', code })
const now = lookingBack()
const payload = Buffer.from('{"critical":{}}')
const envelope = (sig: Uint8Array, material: SignedEnvelope['material'] = {}): SignedEnvelope => ({
  format: 'cosign-signature',
  referrer: `sha256:${'0'.repeat(64)}`,
  payloadType: 'application/vnd.dev.cosign.simplesigning.v1+json',
  payload,
  signed: payload,
  signatures: [{ sig }],
  material,
  claims: { digest: `sha256:${'1'.repeat(64)}` },
})

describe('a signature in cosign’s older format', { timeout: 60_000 }, () => {
  it('with certificate and log entry is accepted by a trusted root, and refused when a part is another’s or missing', async () => {
    const instance = await startInstance()
    const { verificationMaterial, messageSignature } = await instance.signBlob(payload)
    const pem = `-----BEGIN CERTIFICATE-----\n${verificationMaterial.certificate?.rawBytes}\n-----END CERTIFICATE-----\n`
    const material = { certificates: [pem], tlogEntries: verificationMaterial.tlogEntries }
    const sig = Buffer.from(messageSignature?.signature ?? '', 'base64')
    const authority: Authority = {
      kind: 'sigstore',
      name: 'own',
      trustedRoot: instance.trustedRoot,
      identities: [{ issuer, subject: identity }],
    }
    expect(await verifyEnvelope(envelope(sig, material), authority, { now })).toMatchObject({
      identity,
      issuer,
      signedAt: expect.any(Date),
    })
    const other = await instance.signBlob(payload)
    const cases: [string, SignedEnvelope][] = [
      ['NoneFound', envelope(sig, { certificates: [pem] })],
      ['WrongKey', envelope(sig, { tlogEntries: material.tlogEntries })],
      ['DataDamaged', envelope(sig, { ...material, tlogEntries: other.verificationMaterial.tlogEntries })],
      ['DataDamaged', { ...envelope(sig, material), payload: Buffer.from('{}'), signed: Buffer.from('{}') }],
      ['UnknownFormat', envelope(sig, { ...material, tlogEntries: [{}] })],
      ['UnknownFormat', { ...envelope(sig, material), signatures: [{ sig }, { sig }] }],
      ['UnknownFormat', { ...envelope(sig, material), signatures: [] }],
    ]
    for (const [code, bad] of cases) await expect(verifyEnvelope(bad, authority, { now })).rejects.toThrow(refusal(code))
  })

  it('with a key is accepted for that key alone, whatever came with it', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 3072 })
    const key = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const signed = envelope(sign('sha256', payload, privateKey), { certificates: ['nonsense'] })
    expect(await verifyEnvelope(signed, { kind: 'key', name: 'team', publicKeys: [other, key] }, { now })).toMatchObject({
      authority: 'team',
      identity: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
    })
    await expect(verifyEnvelope(signed, { kind: 'key', name: 'team', publicKeys: [other] }, { now })).rejects.toThrow(refusal('WrongKey'))
  })
})
