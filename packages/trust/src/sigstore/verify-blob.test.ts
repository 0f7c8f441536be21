import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import type { SigstoreAuthority } from './authority.ts'
import { type Bundle, type Instance, identity, issuer, lookingBack, startInstance } from './testing/instance.ts'
import { type BlobArtifact, verifyBlob } from './verify-blob.ts'

const fixture = (name: string) => JSON.parse(readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8'))
const bytes = (bundle: unknown) => Buffer.from(JSON.stringify(bundle))
const refusal = (code: string) => expect.objectContaining({ name: 'TrustError', code })
const now = lookingBack()
const file = (content: Buffer): BlobArtifact => ({
  content: async function* () {
    yield content.subarray(0, 5)
    yield content.subarray(5)
  },
})

const artifact = Buffer.from('what was made')
let instance: Instance
let other: Instance
let authority: SigstoreAuthority
let message: Bundle
let statement: Bundle
beforeAll(async () => {
  instance = await startInstance()
  other = await startInstance()
  authority = { kind: 'sigstore', name: 'release', trustedRoot: instance.trustedRoot, identities: [{ issuer, subject: identity }] }
  message = await instance.signBlob(artifact, { stamp: true })
  statement = await instance.signBlob(artifact, { as: 'statement', stamp: true })
})

/** The bundle with a change in a copy of it. */
function changed(bundle: Bundle, change: (copy: Bundle) => void): Buffer {
  const copy = structuredClone(bundle)
  change(copy)
  return bytes(copy)
}
/** Base64 with a bit of it turned. */
function flipped(base64: string | undefined, at = 20): string {
  const content = Buffer.from(base64 ?? '', 'base64')
  content[at] = (content[at] ?? 0) ^ 1
  return content.toString('base64')
}
const check = (bundle: Buffer, by = authority, of = file(artifact)) => verifyBlob(bundle, of, by, { now })

describe('a bundle of Sigstore’s public instance, made by npm in 2023', () => {
  const published = fixture('npm-provenance.sigstore.json')
  const npm: SigstoreAuthority = {
    kind: 'sigstore',
    name: 'npm',
    trustedRoot: fixture('public-good-trusted-root.json'),
    identities: [
      {
        issuer: 'https://token.actions.githubusercontent.com',
        subjectPattern: 'https://github\\.com/sigstore/sigstore-js/\\.github/workflows/release\\.yml@.*',
      },
    ],
  }
  const digest =
    'sha512:46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c'
  const [leaf] = published.verificationMaterial.x509CertificateChain.certificates
  const { x509CertificateChain: _, ...material } = published.verificationMaterial
  const inVersion = {
    'v0.1': published,
    'v0.2': { ...published, mediaType: 'application/vnd.dev.sigstore.bundle+json;version=0.2' },
    'v0.3': {
      ...published,
      mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      verificationMaterial: { ...material, certificate: leaf },
    },
  }

  it.each(Object.entries(inVersion))('is accepted in the format %s, long after its certificate expired', async (_version, bundle) => {
    expect(await verifyBlob(bytes(bundle), { digest }, npm, { now })).toEqual({
      authority: 'npm',
      identity: 'https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main',
      issuer: 'https://token.actions.githubusercontent.com',
      signedAt: new Date('2023-08-18T16:05:35.000Z'),
      digest,
      predicateType: 'https://slsa.dev/provenance/v1',
    })
  })

  it('is refused for another file, another workflow and another issuer', async () => {
    const of = { digest: digest.replace('46d4', '46d5') }
    await expect(verifyBlob(bytes(published), of, npm, { now })).rejects.toThrow(refusal('DataDamaged'))
    for (const rule of [{ issuer: 'https://login.example.test' }, { issuerPattern: '.*', subject: 'https://github.com/sigstore/other' }])
      await expect(verifyBlob(bytes(published), { digest }, { ...npm, identities: [rule] }, { now })).rejects.toThrow(
        refusal('IdentityNotAllowed'),
      )
  })
})

describe('a bundle of a private instance', { timeout: 60_000 }, () => {
  it('is accepted over a file and over a statement about it, with log entry, time stamp and SCT', async () => {
    expect(await check(bytes(message))).toMatchObject({
      identity,
      issuer,
      digest: `sha256:${createHash('sha256').update(artifact).digest('hex')}`,
    })
    expect(await check(bytes(statement))).toMatchObject({ identity, predicateType: 'https://example.test/made/v1' })
  })

  it('is accepted with a log entry alone, and with a time stamp alone where no log is demanded', async () => {
    expect(await check(bytes(await instance.signBlob(artifact)))).toMatchObject({ identity })
    const stamped = bytes(await instance.signBlob(artifact, { log: false, stamp: true }))
    expect(await check(stamped, { ...authority, tlogThreshold: 0 })).toMatchObject({ identity })
    await expect(check(stamped)).rejects.toThrow(refusal('NoneFound'))
  })

  it('without any proof of its time is refused, or held against the clock where none is demanded', async () => {
    const bare = bytes(await instance.signBlob(artifact, { log: false }))
    const lax = { ...authority, tlogThreshold: 0, timestampThreshold: 0 }
    await expect(check(bare, { ...authority, tlogThreshold: 0 })).rejects.toThrow(refusal('NoneFound'))
    expect(await check(bare, lax)).toMatchObject({ identity })
    const tomorrow = new Date(now.getTime() + 86_400_000)
    await expect(verifyBlob(bare, file(artifact), lax, { now: tomorrow })).rejects.toThrow(refusal('Expired'))
  })

  it('of another file is refused: DataDamaged', async () => {
    for (const bundle of [message, statement])
      await expect(check(bytes(bundle), authority, file(Buffer.from('what was made!')))).rejects.toThrow(refusal('DataDamaged'))
  })

  it('by another instance is refused: WrongKey', async () => {
    for (const bundle of [await other.signBlob(artifact), await other.signBlob(artifact, { log: false, stamp: true })])
      await expect(check(bytes(bundle), { ...authority, tlogThreshold: 0 })).rejects.toThrow(refusal('WrongKey'))
  })

  it('is refused where one of the instance’s keys is another’s: log, CT log, timestamp authority, CA', async () => {
    for (const part of ['tlogs', 'ctlogs', 'timestampAuthorities', 'certificateAuthorities'] as const) {
      const trustedRoot = { ...instance.trustedRoot, [part]: other.trustedRoot[part] }
      await expect(check(bytes(message), { ...authority, trustedRoot })).rejects.toThrow(refusal('WrongKey'))
    }
  })

  it('is refused outside the time of the log’s key, the CA and the timestamp authority: Expired', async () => {
    const ended = { start: '2020-01-01T00:00:00Z', end: '2021-01-01T00:00:00Z' }
    const { tlogs, certificateAuthorities, timestampAuthorities } = instance.trustedRoot
    const roots = [
      { ...instance.trustedRoot, tlogs: tlogs.map((log) => ({ ...log, publicKey: { ...log.publicKey, validFor: ended } })) },
      { ...instance.trustedRoot, certificateAuthorities: certificateAuthorities.map((one) => ({ ...one, validFor: ended })) },
      { ...instance.trustedRoot, timestampAuthorities: timestampAuthorities.map((one) => ({ ...one, validFor: ended })) },
    ]
    for (const trustedRoot of roots) await expect(check(bytes(message), { ...authority, trustedRoot })).rejects.toThrow(refusal('Expired'))
  })

  it('is refused where a proof was tampered with, each by its name', async () => {
    const entry = (copy: Bundle) => copy.verificationMaterial.tlogEntries[0] as Record<string, Record<string, string>>
    const stamps = (copy: Bundle) => copy.verificationMaterial.timestampVerificationData?.rfc3161Timestamps ?? []
    const cases: [string, (copy: Bundle) => void][] = [
      [
        'DataDamaged',
        (copy) =>
          Object.assign(entry(copy)['inclusionPromise'] ?? {}, {
            signedEntryTimestamp: flipped(entry(copy)['inclusionPromise']?.['signedEntryTimestamp']),
          }),
      ],
      [
        'DataDamaged',
        (copy) =>
          Object.assign(entry(copy)['inclusionProof'] ?? {}, {
            checkpoint: { envelope: 'a\n1\nAA==\n\n\u2014 rekor.example.test AAAAAAAA\n' },
          }),
      ],
      ['DataDamaged', (copy) => Object.assign(entry(copy), { canonicalizedBody: flipped(String(entry(copy)['canonicalizedBody'])) })],
      ['DataDamaged', (copy) => Object.assign(entry(copy), { integratedTime: String(Number(entry(copy)['integratedTime']) + 1) })],
      ['Expired', (copy) => Object.assign(entry(copy), { integratedTime: '4102444800' })],
      ['WrongKey', (copy) => Object.assign(entry(copy), { logId: { keyId: Buffer.alloc(32).toString('base64') } })],
      [
        'DataDamaged',
        (copy) =>
          Object.assign(stamps(copy)[0] ?? {}, {
            signedTimestamp: flipped(
              stamps(copy)[0]?.signedTimestamp,
              Buffer.from(stamps(copy)[0]?.signedTimestamp ?? '', 'base64').length - 5,
            ),
          }),
      ],
      ['DataDamaged', (copy) => Object.assign(copy.messageSignature ?? {}, { signature: flipped(copy.messageSignature?.signature, 40) })],
    ]
    for (const [code, change] of cases) await expect(check(changed(message, change))).rejects.toThrow(refusal(code))
  })

  it('is refused where log entry or time stamp is of another signature, or named another signer', async () => {
    const another = await instance.signBlob(artifact, { stamp: true })
    const mixes = [
      changed(message, (copy) => Object.assign(copy.verificationMaterial, { tlogEntries: another.verificationMaterial.tlogEntries })),
      changed(message, (copy) =>
        Object.assign(copy.verificationMaterial, { timestampVerificationData: another.verificationMaterial.timestampVerificationData }),
      ),
      changed(message, (copy) => Object.assign(copy.verificationMaterial, { certificate: another.verificationMaterial.certificate })),
      bytes(await instance.signBlob(artifact, { logged: { signature: Buffer.from('another') } })),
      bytes(
        await instance.signBlob(artifact, {
          logged: {
            verifier: generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }).toString(),
          },
        }),
      ),
    ]
    for (const mix of mixes) await expect(check(mix)).rejects.toThrow(refusal('DataDamaged'))
  })

  it('does not count one log entry twice', async () => {
    const twice = changed(message, ({ verificationMaterial: { tlogEntries } }) => tlogEntries.push(...structuredClone(tlogEntries)))
    await expect(check(twice, { ...authority, tlogThreshold: 2 })).rejects.toThrow(refusal('UnknownFormat'))
    await expect(check(bytes(message), { ...authority, tlogThreshold: 2 })).rejects.toThrow(refusal('NoneFound'))
  })

  it('in a form that is not understood is refused: UnknownFormat', async () => {
    const cases: ((copy: Bundle) => void)[] = [
      (copy) => Object.assign(copy, { mediaType: 'application/vnd.dev.sigstore.bundle.v0.4+json' }),
      (copy) => Object.assign(copy, { more: 1 }),
      (copy) => Object.assign(copy.verificationMaterial, { more: 1 }),
      (copy) => Object.assign(copy.verificationMaterial, { publicKey: { hint: 'x' } }),
      (copy) => Object.assign(copy.verificationMaterial, { certificate: { rawBytes: 'MAA=' } }),
      (copy) => Object.assign(copy.verificationMaterial, { tlogEntries: [{}] }),
      (copy) =>
        Object.assign(copy.verificationMaterial, { timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: 'MAA=' }] } }),
      (copy) => copy.dsseEnvelope?.signatures.push({ sig: 'AAAA' }),
      (copy) => Object.assign(copy.dsseEnvelope ?? {}, { payloadType: 'text/plain' }),
      (copy) => Object.assign(copy.dsseEnvelope ?? {}, { payload: Buffer.from('{}').toString('base64') }),
      (copy) => Object.assign(copy, { messageSignature: message.messageSignature }),
      (copy) => Reflect.deleteProperty(copy, 'dsseEnvelope'),
      (copy) => Reflect.deleteProperty(copy.verificationMaterial.tlogEntries[0] ?? {}, 'inclusionProof'),
    ]
    for (const change of cases) await expect(check(changed(statement, change))).rejects.toThrow(refusal('UnknownFormat'))
    for (const bundle of ['', '[]', `${'['.repeat(5000)}`, '{"mediaType":'])
      await expect(check(Buffer.from(bundle))).rejects.toThrow(refusal('UnknownFormat'))
  })

  it('is not looked at by an authority that is none', async () => {
    for (const by of [
      { ...authority, trustedRoot: {} },
      { ...authority, trustedRoot: null },
      {
        ...authority,
        trustedRoot: { ...instance.trustedRoot, certificateAuthorities: [{ certChain: { certificates: [{ rawBytes: 'AAAA' }] } }] },
      },
      { ...authority, trustedRoot: { ...instance.trustedRoot, mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=9' } },
      { ...authority, identities: [] },
      { ...authority, identities: [{}] },
      { ...authority, identities: [{ subject: identity }] },
      { ...authority, identities: [{ issuer, subjectPattern: '(' }] },
    ])
      await expect(check(bytes(message), by)).rejects.toThrow(refusal('AuthorityInvalid'))
  })
})

describe('a bundle by a key', { timeout: 60_000 }, () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const byKey = (keys: string[]) => ({ kind: 'key', name: 'team', publicKeys: keys }) as const
  const bundle = bytes({
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: { publicKey: { hint: '' } },
    messageSignature: {
      messageDigest: { algorithm: 'SHA2_256', digest: createHash('sha256').update(artifact).digest('base64') },
      signature: sign('sha384', artifact, privateKey).toString('base64'),
    },
  })

  it('is accepted for that key, and refused for another: WrongKey', async () => {
    const another = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }).toString()
    expect(await verifyBlob(bundle, file(artifact), byKey([another, pem]), { now })).toMatchObject({ authority: 'team' })
    await expect(verifyBlob(bundle, file(artifact), byKey([another]), { now })).rejects.toThrow(refusal('WrongKey'))
    await expect(verifyBlob(bundle, file(artifact), byKey([]), { now })).rejects.toThrow(refusal('WrongKey'))
  })

  it('lacks the log entry where a trusted root demands one: NoneFound', async () => {
    const proofs = { trustedRoot: instance.trustedRoot }
    await expect(verifyBlob(bundle, file(artifact), byKey([pem]), { now, proofs })).rejects.toThrow(refusal('NoneFound'))
  })

  it('is refused for keys of odd kinds, and for what is no key', async () => {
    const odd = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'pem' }).toString()
    for (const key of [odd, weak])
      await expect(verifyBlob(bundle, file(artifact), byKey([key]), { now })).rejects.toThrow(refusal('KeyNotAllowed'))
    await expect(verifyBlob(bundle, file(artifact), byKey(['no key']), { now })).rejects.toThrow(refusal('KeyUnreadable'))
  })

  it('over a file needs the file: a digest is not enough', async () => {
    const digest = `sha256:${createHash('sha256').update(artifact).digest('hex')}`
    await expect(verifyBlob(bundle, { digest }, byKey([pem]), { now })).rejects.toThrow(refusal('UnknownFormat'))
  })

  it('is accepted by Ed25519 too', async () => {
    const keys = generateKeyPairSync('ed25519')
    const own = JSON.parse(bundle.toString('utf8'))
    own.messageSignature.signature = sign(undefined, artifact, keys.privateKey).toString('base64')
    const key = keys.publicKey.export({ type: 'spki', format: 'pem' }).toString()
    expect(await verifyBlob(bytes(own), file(artifact), byKey([key]), { now })).toMatchObject({ authority: 'team' })
  })
})
