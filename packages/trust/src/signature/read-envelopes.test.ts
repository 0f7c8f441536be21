import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type ContentSource, type Descriptor, digestOf, Layout, OciError, pushArtifact, pushReferrer } from '@muster/oci'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { generateKeyPair } from '../keys/keys.ts'
import { signatureKeyFromPem } from '../keys/memory-key.ts'
import { attach } from './attach.ts'
import { sigstoreBundleMediaType } from './bundle-reader.ts'
import { attachCosignAttestation, attachCosignSignature } from './cosign-writer.ts'
import { isSignedBy } from './envelope.ts'
import { readEnvelopes } from './read-envelopes.ts'
import { type SigstoreBundleJson, signStatement } from './sigstore-bundle.ts'

const key = signatureKeyFromPem(generateKeyPair().privateKey)
async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

const predicateType = 'https://example.test/review/v1'
const reference = 'registry.example/app'

let dir: string
let layout: Layout
let subject: Descriptor

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-envelopes-'))
  layout = await Layout.open(dir, { create: true })
  subject = await pushArtifact(layout, { artifactType: 'application/vnd.example', layers: [] })
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const codes = async (source: ContentSource = layout): Promise<string[]> =>
  (await readEnvelopes(source, subject)).problems.map(({ code }) => code)

const except = (change: Partial<ContentSource>): ContentSource => ({
  resolve: (name, options) => layout.resolve(name, options),
  manifest: (digest, options) => layout.manifest(digest, options),
  blob: (descriptor, options) => layout.blob(descriptor, options),
  referrers: (digest, options) => layout.referrers(digest, options),
  ...change,
})

/** Attaches any bytes as a Sigstore bundle. */
const attachBytes = (bytes: Uint8Array): Promise<Descriptor> =>
  pushReferrer(layout, subject, { artifactType: sigstoreBundleMediaType, layers: [{ mediaType: sigstoreBundleMediaType, bytes }] })
const attachJson = (value: unknown): Promise<Descriptor> => attachBytes(Buffer.from(JSON.stringify(value)))

const signed = (change: Partial<Parameters<typeof signStatement>[0]> = {}): Promise<SigstoreBundleJson> =>
  signStatement({ subject, key, ...change })

/** A bundle over any statement, well signed. */
async function over(statement: unknown, payloadType = 'application/vnd.in-toto+json'): Promise<object> {
  const payload = Buffer.from(typeof statement === 'string' ? statement : JSON.stringify(statement))
  const sig = await key.sign(Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `), payload]))
  const dsseEnvelope = { payload: payload.toString('base64'), payloadType, signatures: [{ sig: Buffer.from(sig).toString('base64') }] }
  return { ...(await signed()), dsseEnvelope }
}

const statementOn = (change: object) => ({
  _type: 'https://in-toto.io/Statement/v1',
  subject: [{ digest: { sha256: subject.digest.slice(7) } }],
  predicateType,
  predicate: {},
  ...change,
})

describe('what hangs on an artifact', () => {
  it('is read in every format, and each signature holds over exactly what was signed', async () => {
    await attach(layout, subject, await signed({ annotations: { a: 'b' } }))
    const attestation = await signed({ predicateType, predicate: { by: 'ada' } })
    await attach(layout, subject, attestation)
    await attachCosignSignature(layout, subject, { key, reference, annotations: { c: 'd' } })
    await attachCosignSignature(layout, subject, { key, reference })
    await attachCosignAttestation(layout, subject, attestation, { key })
    const { envelopes, problems } = await readEnvelopes(layout, subject)
    expect(problems).toEqual([])
    expect(envelopes.every((envelope) => isSignedBy(envelope, key.publicKey) && envelope.claims.digest === subject.digest)).toBe(true)
    const review = { digest: subject.digest, predicateType, predicate: { by: 'ada' } }
    expect(envelopes.map(({ format, claims }) => [format, claims])).toEqual(
      expect.arrayContaining([
        ['sigstore-bundle', expect.objectContaining({ annotations: { a: 'b' }, predicateType: 'https://sigstore.dev/cosign/sign/v1' })],
        ['sigstore-bundle', review],
        ['cosign-signature', { digest: subject.digest, annotations: { c: 'd' } }],
        ['cosign-signature', { digest: subject.digest }],
        ['cosign-attestation', review],
      ]),
    )
    expect(envelopes).toHaveLength(5)
  })

  it('is empty where nothing does', async () => {
    await pushReferrer(layout, subject, { artifactType: 'application/vnd.cyclonedx+json', layers: [] })
    expect(await readEnvelopes(layout, subject)).toEqual({ envelopes: [], problems: [] })
  })

  it.each<[string, string, () => Promise<unknown>]>([
    ['another payload type', 'UnknownFormat', async () => attachJson(await over(statementOn({}), 'text/plain'))],
    ['no payload type', 'UnknownFormat', async () => attachJson(await over(statementOn({}), ''))],
    ['a payload that is no statement', 'UnknownFormat', async () => attachJson(await over('{}'))],
    [
      'another artifact',
      'SignatureInvalid',
      async () => attachJson(await over(statementOn({ subject: [{ digest: { sha256: '0'.repeat(64) } }] }))),
    ],
    ['no subject', 'UnknownFormat', async () => attachJson(await over(statementOn({ subject: [] })))],
    [
      'a predicate type with a Cyrillic letter',
      'UnknownFormat',
      async () => attachJson(await over(statementOn({ predicateType: 'https://exаmple.test/' }))),
    ],
    [
      'an annotation name that turns the direction of writing',
      'UnknownFormat',
      async () =>
        attachJson(
          await over(statementOn({ subject: [{ digest: { sha256: subject.digest.slice(7) }, annotations: { 'a\u202eb': 'x' } }] })),
        ),
    ],
    [
      'two signatures of which one is good',
      'UnknownFormat',
      async () => {
        const good = await signed()
        const [one] = good.dsseEnvelope.signatures
        return attachJson({ ...good, dsseEnvelope: { ...good.dsseEnvelope, signatures: [one, { sig: 'AAAA' }] } })
      },
    ],
    [
      'a key and a certificate at once',
      'UnknownFormat',
      async () => attachJson({ ...(await signed()), verificationMaterial: { publicKey: {}, certificate: { rawBytes: 'AAAA' } } }),
    ],
    ['a field that nobody knows', 'UnknownFormat', async () => attachJson({ ...(await signed()), more: 1 })],
    [
      'another version',
      'UnknownFormat',
      async () => attachJson({ ...(await signed()), mediaType: 'application/vnd.dev.sigstore.bundle.v9+json' }),
    ],
    ['JSON nested a million times', 'UnknownFormat', () => attachBytes(Buffer.from('['.repeat(1_000_000)))],
    ['a predicate nested 200 times', 'UnknownFormat', async () => attachJson(await over(`{"a":${'['.repeat(200)}${']'.repeat(200)}}`))],
    ['17 MB', 'UnknownFormat', () => attachBytes(Buffer.alloc(17_000_000, 0x20))],
    ['no layer', 'UnknownFormat', () => pushReferrer(layout, subject, { artifactType: sigstoreBundleMediaType, layers: [] })],
    [
      'the format of Notation',
      'UnknownFormat',
      () => pushReferrer(layout, subject, { artifactType: 'application/vnd.cncf.notary.signature', layers: [] }),
    ],
  ])('with %s is a problem by name, beside a good signature that still counts', async (_what, code, make) => {
    await make()
    await attach(layout, subject, await signed())
    const { envelopes, problems } = await readEnvelopes(layout, subject)
    expect(problems.map((problem) => problem.code)).toEqual([code])
    expect(envelopes).toHaveLength(1)
  })

  it('that claims to be of one gigabyte is not read: refused before the first byte', async () => {
    await attach(layout, subject, await signed())
    let read = 0
    const source = except({
      manifest: async (digest, options) => {
        const { descriptor, bytes } = await layout.manifest(digest, options)
        const text = Buffer.from(bytes).toString('utf8')
        return { descriptor, bytes: Buffer.from(text.replace(/("layers":\[\{[^}]*"size":)\d+/, '$11000000000')) }
      },
      blob: () => {
        read += 1
        return once(Buffer.alloc(1))
      },
    })
    expect(await codes(source)).toEqual(['UnknownFormat'])
    expect(read).toBe(0)
  })

  it('is read no further than 64 of each kind, and that is said', async () => {
    await attachJson({})
    const [one] = await layout.referrers(subject.digest)
    if (one === undefined) throw new Error('the signature is not listed')
    let read = 0
    const source = except({
      referrers: async () => Array.from({ length: 66 }, () => one),
      blob: (descriptor, options) => {
        read += 1
        return layout.blob(descriptor, options)
      },
    })
    const { problems } = await readEnvelopes(source, subject)
    expect(read).toBe(64)
    expect(problems.some(({ message }) => message.includes('only the first 64'))).toBe(true)
  })

  it('is told apart from what could not be asked for: RegistryUnreachable, and from what was damaged', async () => {
    await attach(layout, subject, await signed())
    const outage = async (): Promise<never> => {
      throw new OciError('Unreachable', 'The registry does not answer.')
    }
    expect(await codes(except({ referrers: outage }))).toEqual(['RegistryUnreachable'])
    expect(await codes(except({ manifest: outage }))).toEqual(['RegistryUnreachable'])
    const lost = {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: digestOf(Buffer.from('lost')),
      size: 4,
      artifactType: sigstoreBundleMediaType,
    }
    expect(await codes(except({ referrers: async () => [lost] }))).toEqual(['DataDamaged'])
  })

  it('ends at once when the caller gives up', async () => {
    const stop = new AbortController()
    const source = except({
      referrers: async () => {
        stop.abort(new Error('enough'))
        throw new OciError('Unreachable', 'stopped')
      },
    })
    await expect(readEnvelopes(source, subject, { signal: stop.signal })).rejects.toThrow('enough')
  })

  it('that is any JSON in any format is a problem, never a crash', async () => {
    const hex = subject.digest.slice(7)
    const field = fc.option(fc.jsonValue(), { nil: undefined })
    const bundle = await signed()
    const anything = fc.oneof(
      fc.json(),
      fc
        .record({ payload: field, payloadType: field, signatures: field })
        .map((dsseEnvelope) => JSON.stringify({ ...bundle, dsseEnvelope })),
      fc
        .record({ publicKey: field, certificate: field, tlogEntries: field, timestampVerificationData: field })
        .map((verificationMaterial) => JSON.stringify({ ...bundle, verificationMaterial })),
      fc.record({ critical: field, optional: field }).map((value) => JSON.stringify(value)),
    )
    const mediaType = fc.constantFrom(
      sigstoreBundleMediaType,
      'application/vnd.dev.cosign.simplesigning.v1+json',
      'application/vnd.dsse.envelope.v1+json',
    )
    const annotations = fc.dictionary(
      fc.constantFrom(
        'dev.cosignproject.cosign/signature',
        'dev.sigstore.cosign/certificate',
        'dev.sigstore.cosign/bundle',
        'dev.sigstore.cosign/rfc3161timestamp',
      ),
      fc.oneof(fc.string(), fc.json()),
    )
    await fc.assert(
      fc.asyncProperty(anything, mediaType, annotations, async (text, type, notes) => {
        const bytes = Buffer.from(text)
        const layer = { mediaType: type, digest: digestOf(bytes), size: bytes.length, annotations: notes }
        const manifest = Buffer.from(
          JSON.stringify({
            schemaVersion: 2,
            config: { mediaType: 'application/json', digest: digestOf(bytes), size: bytes.length },
            layers: [layer],
          }),
        )
        const source: ContentSource = {
          resolve: async (tag) =>
            tag === `sha256-${hex}.sig`
              ? { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digestOf(manifest), size: manifest.length }
              : undefined,
          manifest: async () => ({ descriptor: { mediaType: '', digest: '', size: 0 }, bytes: manifest }),
          blob: () => once(bytes),
          referrers: async () => [],
        }
        const { envelopes, problems } = await readEnvelopes(source, subject)
        expect(envelopes.filter((envelope) => !isSignedBy(envelope, key.publicKey) || type !== sigstoreBundleMediaType)).toEqual([])
        expect(problems.length + envelopes.length).toBe(1)
      }),
      { numRuns: 300 },
    )
  }, 60_000)
})
