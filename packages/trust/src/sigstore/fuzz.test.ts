import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { TrustError } from '../errors.ts'
import type { Authority } from './authority.ts'
import { readCertificate } from './certificate.ts'
import { type Bundle, identity, issuer, lookingBack, startInstance } from './testing/instance.ts'
import { readTimestamp } from './timestamp.ts'
import { verifyBlob } from './verify-blob.ts'

const fixture = (name: string) => JSON.parse(readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8'))
const now = lookingBack()
const artifact = Buffer.from('what was made')
/** A verification takes some milliseconds; this is where something would have gone wrong with it. */
const patienceMs = 5000

interface Subject {
  readonly bundle: unknown
  readonly authority: Authority
  readonly digest?: string
}
const subjects: Subject[] = []
let certificate: Buffer
let stamp: Buffer
beforeAll(async () => {
  const instance = await startInstance()
  const authority: Authority = {
    kind: 'sigstore',
    name: 'release',
    trustedRoot: instance.trustedRoot,
    identities: [{ issuer, subject: identity }],
  }
  const bundles: Bundle[] = [
    await instance.signBlob(artifact, { stamp: true }),
    await instance.signBlob(artifact, { as: 'statement', stamp: true }),
  ]
  subjects.push(...bundles.map((bundle) => ({ bundle, authority })), {
    bundle: fixture('npm-provenance.sigstore.json'),
    digest:
      'sha512:46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c',
    authority: {
      kind: 'sigstore',
      name: 'npm',
      trustedRoot: fixture('public-good-trusted-root.json'),
      identities: [{ issuer: 'https://token.actions.githubusercontent.com' }],
    },
  })
  const [{ verificationMaterial } = { verificationMaterial: undefined }] = bundles
  certificate = Buffer.from(verificationMaterial?.certificate?.rawBytes ?? '', 'base64')
  stamp = Buffer.from(verificationMaterial?.timestampVerificationData?.rfc3161Timestamps[0]?.signedTimestamp ?? '', 'base64')
})

const verify = (bundle: Uint8Array, { authority, digest }: Subject) =>
  verifyBlob(
    bundle,
    digest === undefined
      ? {
          content: async function* () {
            yield artifact
          },
        }
      : { digest },
    authority,
    { now },
  )

/** What of a time stamp is around what it signs, such as its status, may change; then it must still say the same. */
const around = /signedTimestamp$/

/** Demands a refusal in our own words, in time. */
async function refused(bundle: Uint8Array, subject: Subject, orSame = false): Promise<void> {
  const begun = performance.now()
  const outcome = await verify(bundle, subject).then(
    (verified) => verified,
    (error: unknown) => error,
  )
  if (orSame && !(outcome instanceof Error)) expect(outcome).toEqual(await verify(Buffer.from(JSON.stringify(subject.bundle)), subject))
  else expect(outcome).toBeInstanceOf(TrustError)
  expect(performance.now() - begun).toBeLessThan(patienceMs)
}

/** All places of a JSON value that hold a text or a number. */
function leaves(value: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (Array.isArray(value)) return value.flatMap((item, at) => leaves(item, [...path, at]))
  if (typeof value === 'object' && value !== null) return Object.entries(value).flatMap(([key, item]) => leaves(item, [...path, key]))
  return [path]
}

function replaced(value: unknown, path: readonly (string | number)[], put: (old: unknown) => unknown): unknown {
  const [first, ...rest] = path
  if (first === undefined) return put(value)
  if (Array.isArray(value)) return value.map((item, at) => (at === first ? replaced(item, rest, put) : item))
  return Object.fromEntries(Object.entries(value as object).map(([key, item]) => [key, key === first ? replaced(item, rest, put) : item]))
}

/** The text with another character at one place. */
function otherAt(text: string, at: number): string {
  const place = at % Math.max(1, text.length)
  return `${text.slice(0, place)}${text[place] === '0' ? '1' : '0'}${text.slice(place + 1)}`
}

/** Fields that nothing vouches for: a bundle with another hint or another index beside the one in the proof says the same. */
const unsigned =
  /keyid|publicKey\/hint|^verificationMaterial\/tlogEntries\/\d\/(logIndex|integratedTime|inclusionProof\/(rootHash|treeSize))$|subject/

describe('a bundle in which something was changed', { timeout: 60_000 }, () => {
  it('is never accepted, never stalls, and is refused in our own words: any text of it', async () => {
    for (const subject of subjects) {
      const places = leaves(subject.bundle).filter((path) => !unsigned.test(path.join('/')))
      const change = fc.record({ path: fc.constantFrom(...places), at: fc.nat(), bit: fc.integer({ min: 0, max: 7 }) })
      await fc.assert(
        fc.asyncProperty(change, async ({ path, at, bit }) => {
          const changed = replaced(subject.bundle, path, (old) => {
            const bytes = Buffer.from(String(old), 'base64')
            if (bytes.toString('base64') !== old || bytes.length < 8) return otherAt(String(old), at)
            bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ (1 << bit)
            return bytes.toString('base64')
          })
          await refused(Buffer.from(JSON.stringify(changed)), subject, around.test(path.join('/')))
        }),
        { numRuns: 100 },
      )
    }
  })

  it('is refused in our own words when a part is gone, or is of another kind', async () => {
    const odd = fc.constantFrom<unknown>(undefined, null, 0, -1, 1e300, true, '', 'AAAA', [], {}, [[]], '9'.repeat(400), { a: { a: {} } })
    for (const subject of subjects) {
      const places = leaves(subject.bundle).flatMap((path) => path.map((_, length) => path.slice(0, length + 1)))
      await fc.assert(
        fc.asyncProperty(fc.constantFrom(...places), odd, async (path, value) => {
          const outcome = await verify(Buffer.from(JSON.stringify(replaced(subject.bundle, path, () => value))), subject).catch(
            (error: unknown) => error,
          )
          if (outcome instanceof Error) expect(outcome).toBeInstanceOf(TrustError)
        }),
        { numRuns: 100 },
      )
    }
  })

  it('is refused in our own words when its bytes were cut or turned', async () => {
    for (const subject of subjects) {
      const whole = Buffer.from(JSON.stringify(subject.bundle))
      await fc.assert(
        fc.asyncProperty(fc.nat({ max: whole.length - 2 }), async (length) => refused(whole.subarray(0, length), subject)),
        { numRuns: 50 },
      )
    }
  })
})

describe('certificates and time stamps of any bytes', { timeout: 60_000 }, () => {
  const ours = (read: () => unknown) => {
    try {
      read()
    } catch (error) {
      expect(error).toBeInstanceOf(TrustError)
    }
  }
  it('are read or refused in our own words', () => {
    const edit = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(edit, fc.nat({ max: 40 }), (edits, cut) => {
        for (const [original, read] of [
          [certificate, readCertificate],
          [stamp, readTimestamp],
        ] as const) {
          const bytes = Buffer.from(original.subarray(0, original.length - cut))
          for (const [at, byte] of edits) bytes[at % bytes.length] = byte
          ours(() => read(bytes))
        }
      }),
      { numRuns: 1000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        for (const read of [readCertificate, readTimestamp]) ours(() => read(bytes))
      }),
    )
  })

  it('nested deeply or claiming great lengths are refused at once', () => {
    const nested = (tag: number) =>
      Array.from({ length: 3000 }).reduce<Buffer>(
        (inner) => Buffer.concat([Buffer.of(tag, 0x83, ...lengthOf(inner)), inner]),
        Buffer.alloc(0),
      )
    const begun = performance.now()
    for (const bytes of [nested(0x30), nested(0x04), Buffer.from('3084ffffffff', 'hex'), Buffer.from('308030803080', 'hex')])
      for (const read of [readCertificate, readTimestamp]) expect(() => read(bytes)).toThrow(TrustError)
    expect(performance.now() - begun).toBeLessThan(patienceMs)
  })
})

function lengthOf({ length }: Buffer): number[] {
  return [(length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff]
}
