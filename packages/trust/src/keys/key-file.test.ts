import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TrustError } from '../errors.ts'
import { derTags, readDer, readInteger, readOid, writeDer, writeInteger, writeOid } from './der.ts'
import { curves, generatePrivateKey, isPrivateKey, publicPem, readPrivateKeyFile, writePrivateKey } from './key-file.ts'

const code = (expected: string) => expect.objectContaining({ name: 'TrustError', code: expected })
const secret = async (): Promise<string> => 'secret'

/** Made by cosign 3.1.2, with the passphrase "secret". */
const byCosign = `-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJ2MUhxS1BibUY2N2tPRGc0SUpCUmhCeVJ2enVjQUlw
TGhsZjdNUDh4ZlRvPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJ5VTlqZGhSOFhEcHJ2K3YvS205UE82ZDRDM2ZZVzRJWCJ9LCJj
aXBoZXJ0ZXh0IjoieE5xTFJQUERkb3dmL0krSlFKbWRQWEVXbktobW81MDFDUjVW
TE1Fa1d0WUhMcVpRZnFjbUg5Q05uZmpQN0xmNGUxSDRIbmJ0MnFKTXFIeHFzNWxU
eUxIUytkL1BqbEFzOUk3TWVYRG53OWNycnN0ZGozOWZkMGRtaGNidHo3eUdQWC9O
NTB1VGdBY254aHYrVHZSQUhyMVpmL3hObUVUN3RKWnF2dEZpYjlDUjdoMC9RMm8z
Mi92ZFY2NS94RjN0ZE1XTDNZWlRsQ0FNZ0E9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
`
const byCosignPublic = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQFW/1KOVreTqG1w4jCYi1FTLa/Og
u5+EuwVUbhO4FWnOWg1UkWCdk2FHzQ6/OcYgx2qEn2+ot5Qyn3HI382mKw==
-----END PUBLIC KEY-----
`

/** An encrypted PKCS#8 under a scheme of one's choice; what is in it does not matter. */
function encryptedWith(scheme: string, ...parameters: Buffer[]): string {
  const der = writeDer(
    derTags.sequence,
    writeDer(derTags.sequence, writeOid(scheme), ...parameters),
    writeDer(derTags.octets, Buffer.alloc(64)),
  )
  return `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${der.toString('base64')}\n-----END ENCRYPTED PRIVATE KEY-----\n`
}

function pbes2(kdf: Buffer, cipher: string): string {
  const iv = writeDer(derTags.octets, Buffer.alloc(16))
  return encryptedWith('1.2.840.113549.1.5.13', writeDer(derTags.sequence, kdf, writeDer(derTags.sequence, writeOid(cipher), iv)))
}

function pbkdf2(iterations: number, prf?: string): Buffer {
  const salt = writeDer(derTags.octets, Buffer.alloc(16))
  const name = prf === undefined ? [] : [writeDer(derTags.sequence, writeOid(prf), writeDer(derTags.nothing))]
  return writeDer(derTags.sequence, writeOid('1.2.840.113549.1.5.12'), writeDer(derTags.sequence, salt, writeInteger(iterations), ...name))
}

const aes256 = '2.16.840.1.101.3.4.1.42'
const hmacSha256 = '1.2.840.113549.2.9'

describe('a private key in a file', () => {
  it.each(curves.flatMap((curve) => [['cosign', curve] as const, ['pkcs8', curve] as const]))(
    'written as %s on %s is read with its passphrase, and with no other',
    async (format, curve) => {
      const key = generatePrivateKey(curve)
      const text = await writePrivateKey(key, format, 'secret')
      expect(isPrivateKey(text)).toBe(true)
      const read = await readPrivateKeyFile(text, secret)
      expect(read).toMatchObject({ format, encrypted: true })
      expect(read.key.equals(key)).toBe(true)
      await expect(readPrivateKeyFile(text, async () => 'Secret')).rejects.toThrow(code('KeyPassphrase'))
      await expect(readPrivateKeyFile(text)).rejects.toThrow(code('KeyPassphrase'))
    },
  )

  it('that cosign made is read', async () => {
    const { key, format } = await readPrivateKeyFile(byCosign, secret)
    expect(format).toBe('cosign')
    expect(publicPem(key)).toBe(byCosignPublic)
    const older = byCosign.replaceAll('SIGSTORE', 'COSIGN')
    expect((await readPrivateKeyFile(older, secret)).key.equals(key)).toBe(true)
  })

  it('that OpenSSL made is read: PKCS#8 plain and with AES, SEC 1, RSA with 3072 bits', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const aes = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' }).toString()
    const sec1 = `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${privateKey.export({ type: 'sec1', format: 'pem' })}`
    for (const text of [aes, sec1, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()])
      expect((await readPrivateKeyFile(text, secret)).key.equals(privateKey)).toBe(true)
    const rsa = generateKeyPairSync('rsa', { modulusLength: 3072 }).privateKey
    const { key } = await readPrivateKeyFile(rsa.export({ type: 'pkcs1', format: 'pem' }).toString())
    expect(verify('sha256', Buffer.from('x'), createPublicKey(rsa), sign('sha256', Buffer.from('x'), key))).toBe(true)
  })

  it.each([
    [
      'triple DES',
      /triple DES/,
      (key: ReturnType<typeof generatePrivateKey>) => key.export({ type: 'pkcs8', format: 'pem', cipher: 'des-ede3-cbc', passphrase: 'x' }),
    ],
    [
      'the MD5 of old PEM',
      /MD5/,
      (key: ReturnType<typeof generatePrivateKey>) => key.export({ type: 'sec1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }),
    ],
    ['PBES1', /MD5 and DES/, () => encryptedWith('1.2.840.113549.1.5.3')],
    ['HMAC-SHA-1', /HMAC-SHA-1/, () => pbes2(pbkdf2(600_000), aes256)],
    ['one iteration', /1 iterations/, () => pbes2(pbkdf2(1, hmacSha256), aes256)],
    ['iterations that take a day', /4294967295 iterations/, () => pbes2(pbkdf2(4_294_967_295, hmacSha256), aes256)],
    ['scrypt', /scrypt/, () => pbes2(writeDer(derTags.sequence, writeOid('1.3.6.1.4.1.11591.4.11'), writeDer(derTags.sequence)), aes256)],
    ['an unknown cipher', /unknown scheme \(1\.2\.3\.4\)/, () => pbes2(pbkdf2(600_000, hmacSha256), '1.2.3.4')],
  ])('encrypted with %s is refused by that name', async (_name, says, make) => {
    const text = make(generatePrivateKey('P-256')).toString()
    await expect(readPrivateKeyFile(text, secret)).rejects.toThrow(
      expect.objectContaining({ code: 'KeyNotAllowed', message: expect.stringMatching(says) }),
    )
  })

  it("in cosign's format with parameters that take gigabytes, or protect nothing, is refused before they are used", async () => {
    const body = JSON.parse(Buffer.from(byCosign.replaceAll(/-----.*-----|\n/g, ''), 'base64').toString('utf8'))
    for (const params of [
      { N: 2 ** 24, r: 8, p: 1 },
      { N: 1024, r: 8, p: 1 },
      { N: 65_536, r: 8, p: 1000 },
      { N: 65_537, r: 8, p: 1 },
      { N: 65_536, r: 1_000_000, p: 1 },
    ]) {
      const text = Buffer.from(JSON.stringify({ ...body, kdf: { ...body.kdf, params } })).toString('base64')
      const file = `-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n${text}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n`
      await expect(readPrivateKeyFile(file, secret)).rejects.toThrow(code('KeyNotAllowed'))
    }
  })

  it.each(['secp256k1', 'brainpoolP256r1', 'P-521', 'secp224r1'])('on the curve %s is refused by its name', async (namedCurve) => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve })
    const text = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    const name = namedCurve === 'P-521' ? 'secp521r1' : namedCurve
    await expect(readPrivateKeyFile(text)).rejects.toThrow(
      expect.objectContaining({ code: 'KeyNotAllowed', message: expect.stringContaining(name) }),
    )
  })

  it('of another kind, or too weak, is refused by its name', async () => {
    const edwards = generateKeyPairSync('ed25519').privateKey
    const weak = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    for (const [key, name] of [
      [edwards, 'ed25519'],
      [weak, '2048 bits'],
    ] as const)
      await expect(readPrivateKeyFile(key.export({ type: 'pkcs8', format: 'pem' }).toString())).rejects.toThrow(
        expect.objectContaining({ code: 'KeyNotAllowed', message: expect.stringContaining(name) }),
      )
  })

  it('is not written in the format of cosign without a passphrase: it has no plain form', async () => {
    await expect(writePrivateKey(generatePrivateKey('P-256'), 'cosign')).rejects.toThrow(code('KeyPassphrase'))
  })

  it('that is any text or any DER is refused with a reason, never a crash', async () => {
    const label = fc.constantFrom(
      'PRIVATE KEY',
      'EC PRIVATE KEY',
      'RSA PRIVATE KEY',
      'ENCRYPTED PRIVATE KEY',
      'ENCRYPTED SIGSTORE PRIVATE KEY',
      'CERTIFICATE',
    )
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.json().map((text) => Buffer.from(text)),
      fc
        .uint8Array({ maxLength: 60 })
        .map((bytes) => writeDer(derTags.sequence, writeDer(derTags.sequence, bytes), writeDer(derTags.octets, bytes))),
    )
    const refused = async (text: string): Promise<boolean> =>
      readPrivateKeyFile(text, secret).then(
        () => false,
        (error: unknown) => error instanceof TrustError,
      )
    await fc.assert(fc.asyncProperty(fc.string({ maxLength: 500 }), refused))
    await fc.assert(
      fc.asyncProperty(label, body, (name, bytes) =>
        refused(`-----BEGIN ${name}-----\n${Buffer.from(bytes).toString('base64')}\n-----END ${name}-----\n`),
      ),
      { numRuns: 300 },
    )
  })
})

describe('DER', () => {
  it('is read back as it was written', () => {
    fc.assert(fc.property(fc.nat(2 ** 31 - 1), (value) => readInteger(readDer(writeInteger(value))[0]) === value))
    const oid = fc
      .tuple(fc.nat(2), fc.nat(39), fc.array(fc.nat(2 ** 28), { minLength: 1, maxLength: 6 }))
      .map(([top, second, rest]) => [top, second, ...rest].join('.'))
    fc.assert(fc.property(oid, (dotted) => readOid(readDer(writeOid(dotted))[0]) === dotted))
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70_000 }), (bytes) =>
        Buffer.from(readDer(writeDer(derTags.octets, bytes))[0]?.content ?? []).equals(bytes),
      ),
    )
  })
})
