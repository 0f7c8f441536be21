import { createHash, generateKeyPairSync } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { preAuthEncoding } from '../signature/dsse.ts'
import type { SignedEnvelope } from '../signature/envelope.ts'
import type { IdentityRule, X509Authority } from './authority.ts'
import {
  certifiedKey,
  makeCertificate,
  type TestCertificate,
  type TestCertificateOptions,
  timeStamping,
  x509,
} from './testing/certificates.ts'
import { type Instance, startInstance } from './testing/instance.ts'
import { verifyEnvelope } from './verify-envelope.ts'

const day = 86_400_000
const now = new Date()
const refusal = (code: string, text = '') => expect.objectContaining({ name: 'TrustError', code, message: expect.stringContaining(text) })
const names = [
  { type: 'email', value: 'release@example.test' },
  { type: 'url', value: 'spiffe://example.test/release' },
  { type: 'dns', value: 'release.example.test' },
] as const

let root: TestCertificate
let middle: TestCertificate
let leaf: TestCertificate
let instance: Instance
beforeAll(async () => {
  root = await makeCertificate({
    name: 'Root',
    authority: true,
    from: new Date(now.getTime() - 900 * day),
    to: new Date(now.getTime() + 900 * day),
  })
  middle = await makeCertificate({
    name: 'Signing CA',
    issuer: root,
    authority: true,
    pathLength: 0,
    from: new Date(now.getTime() - 800 * day),
    to: new Date(now.getTime() + 800 * day),
  })
  leaf = await makeCertificate({ name: 'release', issuer: middle, names })
  instance = await startInstance()
})

async function signedBy(
  signer: TestCertificate,
  chain: readonly TestCertificate[] = [middle],
  stamps?: (signature: Buffer) => Promise<Buffer>,
): Promise<SignedEnvelope> {
  const payload = Buffer.from('{}')
  const signed = preAuthEncoding('application/vnd.in-toto+json', payload)
  const key = certifiedKey(signer, ...chain)
  const sig = await key.sign(signed)
  return {
    format: 'sigstore-bundle',
    referrer: `sha256:${'0'.repeat(64)}`,
    payloadType: 'application/vnd.in-toto+json',
    payload,
    signed,
    signatures: [{ sig }],
    material: { certificates: key.certificateChain ?? [], ...(stamps ? { timestamps: [await stamps(Buffer.from(sig))] } : {}) },
    claims: { digest: `sha256:${createHash('sha256').digest('hex')}` },
  }
}

const authority = (change: Partial<X509Authority> = {}): X509Authority => ({
  kind: 'x509',
  name: 'our PKI',
  roots: [root.pem],
  identities: [{ subject: 'release@example.test' }],
  ...change,
})
const check = async (envelope: SignedEnvelope | Promise<SignedEnvelope>, by = authority(), at = now) =>
  verifyEnvelope(await envelope, by, { now: at })

describe('a signature by a certificate of an own PKI', { timeout: 60_000 }, () => {
  it('is accepted for its email, URI, DNS name or subject, with or without the issuer’s name', async () => {
    const rules: [IdentityRule, string][] = [
      [{ subject: 'release@example.test' }, 'release@example.test'],
      [{ subject: 'spiffe://example.test/release', issuer: 'CN=Signing CA' }, 'spiffe://example.test/release'],
      [{ subjectPattern: 'release\\..*' }, 'release.example.test'],
      [{ subject: 'CN=release' }, 'CN=release'],
      [{ issuerPattern: 'CN=Signing .*' }, 'release@example.test'],
    ]
    for (const [rule, identity] of rules)
      expect(await check(signedBy(leaf), authority({ identities: [{ subject: 'nobody' }, rule] }))).toMatchObject({
        identity,
        issuer: 'CN=Signing CA',
      })
  })

  it('is refused for whom no rule allows: IdentityNotAllowed', async () => {
    for (const rule of [
      { subject: 'other@example.test' },
      { subject: 'release@example.test', issuer: 'CN=Root' },
      { subjectPattern: 'release' },
    ])
      await expect(check(signedBy(leaf), authority({ identities: [rule] }))).rejects.toThrow(
        refusal('IdentityNotAllowed', 'release@example.test'),
      )
  })

  it('finds its way by certificates that the authority knows, and by new and old roots of one name', async () => {
    const renewed = await makeCertificate({ name: 'Root', authority: true })
    const bare = await signedBy(leaf, [])
    await expect(check(bare)).rejects.toThrow(refusal('WrongKey', 'does not lead to a root'))
    expect(await check(bare, authority({ roots: [`${renewed.pem}${root.pem}`], intermediates: [middle.pem] }))).toMatchObject({
      authority: 'our PKI',
    })
  })

  it('of another PKI, or by another key than the certificate’s, is refused', async () => {
    const stranger = await makeCertificate({ name: 'Root', authority: true })
    await expect(check(signedBy(leaf), authority({ roots: [stranger.pem] }))).rejects.toThrow(refusal('WrongKey'))
    const forged = await makeCertificate({ name: 'release', issuer: { ...stranger, certificate: middle.certificate }, names })
    await expect(check(signedBy(forged))).rejects.toThrow(refusal('WrongKey'))
    const theirs = await signedBy(stranger, [])
    await expect(check({ ...theirs, material: { certificates: [leaf.pem, middle.pem] } })).rejects.toThrow(refusal('DataDamaged'))
    await expect(check({ ...theirs, material: {} })).rejects.toThrow(refusal('WrongKey', 'no certificate'))
  })

  it('is refused outside the time of any certificate of its chain: Expired', async () => {
    const late = new Date(now.getTime() + 2 * day)
    await expect(check(signedBy(leaf), authority(), late)).rejects.toThrow(refusal('Expired'))
    await expect(check(signedBy(leaf), authority(), new Date(now.getTime() - 2 * day))).rejects.toThrow(refusal('Expired'))
    const old = await makeCertificate({ name: 'Old CA', issuer: root, authority: true, to: new Date(now.getTime() - 1000) })
    await expect(check(signedBy(await makeCertificate({ name: 'release', issuer: old, names }), [old]))).rejects.toThrow(
      refusal('Expired', 'authority'),
    )
  })

  it('is refused for what its certificate is not for, or must not be, by name', async () => {
    const cases: [TestCertificateOptions, string][] = [
      [{ name: 'a', usages: [] }, 'code signing'],
      [{ name: 'a', usages: [timeStamping] }, 'code signing'],
      [{ name: 'a', usages: ['2.5.29.37.0'] }, 'code signing'],
      [{ name: 'a', keyUsage: x509.KeyUsageFlags.keyEncipherment }, 'digital signatures'],
      [{ name: 'a', authority: true, usages: ['1.3.6.1.5.5.7.3.3'] }, 'authority'],
      [{ name: 'a', hash: 'SHA-1' }, 'SHA-1'],
      [{ name: 'a', publicKey: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey }, 'secp256k1'],
      [{ name: 'a', publicKey: generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey }, '1024 bits'],
      [{ name: 'a', extensions: [new x509.Extension('1.2.3.4', true, new Uint8Array([5, 0]))] }, '1.2.3.4'],
    ]
    for (const [options, why] of cases) {
      const odd = await makeCertificate({ issuer: middle, names, ...options })
      await expect(check(signedBy(odd))).rejects.toThrow(refusal('WrongKey', why))
    }
  })

  it('is refused for what an authority of its chain may not do, by name', async () => {
    const cases: [TestCertificateOptions, string][] = [
      [{ name: 'b', authority: true, keyUsage: x509.KeyUsageFlags.cRLSign }, 'may not sign certificates'],
      [{ name: 'b', authority: true, usages: [timeStamping] }, 'may not vouch'],
      [{ name: 'b', authority: true, extensions: [new x509.Extension('2.5.29.30', true, new Uint8Array([0x30, 0]))] }, 'name constraints'],
      [{ name: 'b', authority: true, hash: 'SHA-1' }, 'SHA-1'],
    ]
    for (const [options, why] of cases) {
      const between = await makeCertificate({ issuer: root, ...options })
      await expect(check(signedBy(await makeCertificate({ name: 'release', issuer: between, names }), [between]))).rejects.toThrow(
        refusal('WrongKey', why),
      )
    }
    const third = await makeCertificate({ name: 'c', issuer: middle, authority: true })
    await expect(check(signedBy(await makeCertificate({ name: 'release', issuer: third, names }), [third, middle]))).rejects.toThrow(
      refusal('WrongKey', 'path length'),
    )
    const noAuthority = await makeCertificate({ name: 'd', issuer: root })
    await expect(check(signedBy(await makeCertificate({ name: 'release', issuer: noAuthority, names }), [noAuthority]))).rejects.toThrow(
      refusal('WrongKey'),
    )
  })

  it('does not take a name with commas for two', async () => {
    const sly = await makeCertificate({ name: 'x\\,O\\=Example', issuer: middle })
    for (const subject of ['CN=x,O=Example', 'O=Example,CN=x', 'CN=x'])
      await expect(check(signedBy(sly), authority({ identities: [{ subject }] }))).rejects.toThrow(refusal('IdentityNotAllowed'))
  })

  it('among hundreds of certificates of one name is decided within bounds', async () => {
    const crowd = await Promise.all(Array.from({ length: 100 }, () => makeCertificate({ name: 'Signing CA', authority: true })))
    const begun = performance.now()
    await expect(check(signedBy(leaf, []), authority({ intermediates: crowd.map(({ pem }) => pem) }))).rejects.toThrow(refusal('WrongKey'))
    expect(performance.now() - begun).toBeLessThan(5000)
    await expect(check(signedBy(leaf, [middle, ...crowd]))).rejects.toThrow(refusal('UnknownFormat', '102 certificates'))
  })

  it('with damaged certificates is refused: UnknownFormat', async () => {
    const envelope = await signedBy(leaf)
    const deep = Buffer.concat([...Array.from({ length: 200 }, () => Buffer.of(0x30, 0x80)), Buffer.alloc(400)])
    for (const der of [Buffer.alloc(0), Buffer.from('hello'), leaf.der.subarray(0, 200), deep, Buffer.alloc(40_000, 0x30)])
      await expect(check({ ...envelope, material: { certificates: [der.toString('base64')] } })).rejects.toThrow(refusal('UnknownFormat'))
  })

  it('is not judged by an authority that is none', async () => {
    for (const change of [
      { roots: [] },
      { roots: ['no PEM'] },
      { roots: ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'] },
      { identities: [] },
      { identities: [{}] },
      { timestampAuthorities: [leaf.pem] },
    ])
      await expect(check(signedBy(leaf), authority(change))).rejects.toThrow(refusal('AuthorityInvalid'))
  })
})

describe('a time stamp on it', { timeout: 60_000 }, () => {
  const later = new Date(now.getTime() + 400 * day)
  const believing = () => authority({ timestampAuthorities: [instance.tsaRoot] })

  it('keeps the signature good after the certificate expired', async () => {
    const verified = await check(signedBy(leaf, [middle], instance.stampOf), believing(), later)
    expect(Math.abs((verified.signedAt?.getTime() ?? 0) - now.getTime())).toBeLessThan(600_000)
    await expect(check(signedBy(leaf, [middle], instance.stampOf), authority(), later)).rejects.toThrow(refusal('Expired'))
  })

  it('of a time at which the certificate was not valid makes it refused: Expired', async () => {
    const early = await makeCertificate({
      name: 'early',
      issuer: middle,
      names,
      from: new Date(now.getTime() + day),
      to: new Date(now.getTime() + 500 * day),
    })
    await expect(check(signedBy(early, [middle], instance.stampOf), believing(), later)).rejects.toThrow(refusal('Expired'))
  })

  it('that is of another signature, changed, or by another authority is refused, each by its name', async () => {
    const envelope = await signedBy(leaf, [middle], instance.stampOf)
    const [stamp = new Uint8Array()] = envelope.material.timestamps ?? []
    const other = await startInstance()
    const withStamp = (bytes: Uint8Array) => ({ ...envelope, material: { ...envelope.material, timestamps: [bytes] } })
    const changed = Buffer.from(stamp)
    changed[changed.length - 5] = (changed[changed.length - 5] ?? 0) ^ 1
    await expect(check(withStamp(changed), believing())).rejects.toThrow(refusal('DataDamaged'))
    await expect(check(withStamp(await instance.stampOf(Buffer.from('x'))), believing())).rejects.toThrow(refusal('DataDamaged'))
    await expect(check(withStamp(await other.stampOf(Buffer.from(envelope.signatures[0]?.sig ?? []))), believing())).rejects.toThrow(
      refusal('WrongKey'),
    )
    for (const bad of [Buffer.from('hello'), Buffer.alloc(70_000), stamp.subarray(0, 100)])
      await expect(check(withStamp(bad), believing())).rejects.toThrow(refusal('UnknownFormat'))
    await expect(check(withStamp(changed), authority())).resolves.toMatchObject({ identity: 'release@example.test' })
  })

  it('is demanded where the authority says so: NoneFound', async () => {
    await expect(check(signedBy(leaf), { ...believing(), requireTimestamp: true })).rejects.toThrow(refusal('NoneFound'))
  })
})
