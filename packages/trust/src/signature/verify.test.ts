import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type ContentSource, type Descriptor, digestOf, Layout, mediaTypes, OciError, pushArtifact, pushReferrer } from '@muster/oci'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { channelArtifactType, fetchChannel, pushChannel } from '../channel/channel-store.ts'
import { generateKeyPair } from '../keys/keys.ts'
import { signatureKeyFromPem } from '../keys/memory-key.ts'
import { attach } from './attach.ts'
import { sigstoreBundleMediaType } from './bundle-reader.ts'
import { signStatement } from './sigstore-bundle.ts'
import { verifyArtifact } from './verify.ts'

const publisher = { name: 'publisher', ...generateKeyPair() }
const second = { name: 'second', ...generateKeyPair() }
const stranger = { name: 'stranger', ...generateKeyPair() }
const publishers = [publisher, second]

let dir: string
let layout: Layout
let subject: Descriptor

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-trust-'))
  layout = await Layout.open(dir, { create: true })
  subject = await pushArtifact(layout, { artifactType: 'application/vnd.example', layers: [] })
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const code = (expected: string) => expect.objectContaining({ code: expected })
const sign = async (by: typeof publisher, digest = subject.digest) =>
  attach(layout, subject, await signStatement({ subject: { digest }, key: signatureKeyFromPem(by.privateKey) }))

/** The layout, but for some calls. */
const except = (change: Partial<ContentSource>): ContentSource => ({
  resolve: (name, options) => layout.resolve(name, options),
  manifest: (digest, options) => layout.manifest(digest, options),
  blob: (descriptor, options) => layout.blob(descriptor, options),
  referrers: (digest, options) => layout.referrers(digest, options),
  ...change,
})

/** Changes a byte of every blob that holds `text`, on disk. */
async function damage(text: string): Promise<void> {
  const folder = path.join(dir, 'blobs', 'sha256')
  for (const name of await readdir(folder)) {
    const bytes = await readFile(path.join(folder, name))
    const at = bytes.indexOf(text)
    if (at < 0 || bytes.includes('schemaVersion')) continue
    bytes[at] = (bytes[at] ?? 0) ^ 1
    await rm(path.join(folder, name))
    await writeFile(path.join(folder, name), bytes)
  }
}

describe('an artifact', () => {
  it('signed by a named publisher is accepted, and it is said by whom', async () => {
    await sign(publisher)
    expect(await verifyArtifact(layout, subject, { publishers })).toEqual({ signedBy: ['publisher'] })
  })

  it('without a signature is refused: SignatureMissing', async () => {
    await expect(verifyArtifact(layout, subject, { publishers })).rejects.toThrow(code('SignatureMissing'))
  })

  it('signed by someone else only is refused: SignatureWrongKey', async () => {
    await sign(stranger)
    await expect(verifyArtifact(layout, subject, { publishers })).rejects.toThrow(code('SignatureWrongKey'))
  })

  it('with the signature of another artifact is refused: SignatureInvalid', async () => {
    await sign(publisher, digestOf(Buffer.from('another')))
    await expect(verifyArtifact(layout, subject, { publishers })).rejects.toThrow(code('SignatureInvalid'))
  })

  it('whose signature was damaged in the registry is refused: DataDamaged', async () => {
    await sign(publisher)
    await damage('dsseEnvelope')
    await expect(verifyArtifact(layout, subject, { publishers })).rejects.toThrow(code('DataDamaged'))
  })

  it('is accepted with bad signatures beside the good one', async () => {
    await sign(stranger)
    await sign(publisher, digestOf(Buffer.from('another')))
    await pushReferrer(layout, subject, {
      artifactType: sigstoreBundleMediaType,
      layers: [{ mediaType: sigstoreBundleMediaType, bytes: Buffer.from('[]') }],
    })
    await sign(second)
    expect(await verifyArtifact(layout, subject, { publishers })).toEqual({ signedBy: ['second'] })
  })

  it('that needs two publishers is refused with one, also when the one signed twice', async () => {
    await sign(publisher)
    await sign(publisher)
    const twice = [...publishers, { name: 'same key, other name', publicKey: publisher.publicKey }]
    await expect(verifyArtifact(layout, subject, { publishers: twice, threshold: 2 })).rejects.toThrow(code('SignatureMissing'))
    await sign(second)
    expect((await verifyArtifact(layout, subject, { publishers: twice, threshold: 2 })).signedBy.sort()).toEqual(['publisher', 'second'])
  })

  it('is not called unsigned for its SBOM or for what else refers to it', async () => {
    await pushReferrer(layout, subject, { artifactType: 'application/vnd.cyclonedx+json', layers: [] })
    await pushReferrer(layout, subject, {
      artifactType: sigstoreBundleMediaType,
      layers: [],
      annotations: { 'dev.sigstore.bundle.predicateType': 'https://cyclonedx.org/bom' },
    })
    await expect(verifyArtifact(layout, subject, { publishers })).rejects.toThrow(code('SignatureMissing'))
    await sign(publisher)
    expect((await verifyArtifact(layout, subject, { publishers })).signedBy).toEqual(['publisher'])
  })

  it('gets no verdict while the registry does not answer', async () => {
    await sign(publisher)
    const outage = (): never => {
      throw new OciError('Unreachable', 'The registry does not answer.')
    }
    for (const source of [except({ referrers: outage }), except({ manifest: outage }), except({ blob: outage })])
      await expect(verifyArtifact(source, subject, { publishers })).rejects.toThrow(
        expect.objectContaining({ name: 'OciError', code: 'Unreachable' }),
      )
  })

  it('is not read on and on: after 64 signatures it is refused', async () => {
    const good = await sign(publisher)
    const listed = await layout.referrers(subject.digest)
    const [known] = listed
    if (!known) throw new Error('the signature is not listed')
    const lost = Array.from({ length: 64 }, (_, at) => ({ ...known, digest: digestOf(Buffer.from(`${at}`)) }))
    let asked = 0
    const source = except({
      referrers: async () => [...lost, { ...known, digest: good.digest }],
      manifest: (digest) => {
        asked += 1
        return layout.manifest(digest)
      },
    })
    await expect(verifyArtifact(source, subject, { publishers })).rejects.toThrow(code('SignatureInvalid'))
    expect(asked).toBe(64)
  })

  it('is signed in the shape that cosign looks for', async () => {
    const { digest } = await attach(layout, subject, await signStatement({ subject, key: signatureKeyFromPem(publisher.privateKey) }), {
      createdAt: new Date('2030-01-01T00:00:00.500Z'),
    })
    const manifest = JSON.parse(Buffer.from((await layout.manifest(digest)).bytes).toString('utf8'))
    expect(manifest).toMatchObject({
      mediaType: mediaTypes.imageManifest,
      artifactType: sigstoreBundleMediaType,
      config: { mediaType: mediaTypes.empty, digest: digestOf(Buffer.from('{}')), size: 2 },
      layers: [{ mediaType: sigstoreBundleMediaType }],
      subject: { digest: subject.digest, size: subject.size, mediaType: subject.mediaType },
      annotations: {
        'dev.sigstore.bundle.content': 'dsse-envelope',
        'dev.sigstore.bundle.predicateType': 'https://sigstore.dev/cosign/sign/v1',
        'org.opencontainers.image.created': '2030-01-01T00:00:00Z',
      },
    })
  })
})

describe('a channel in a registry', () => {
  const roots = [Buffer.from('root 1'), Buffer.from('root 2')]
  const channelBytes = Buffer.from('channel 1')

  it('is fetched as it was pushed, and the newest replaces the last', async () => {
    expect(await fetchChannel(layout)).toBeUndefined()
    await pushChannel(layout, roots[0] ?? '', channelBytes)
    const pushed = await pushChannel(layout, roots, Buffer.from('channel 2'))
    const fetched = await fetchChannel(layout)
    expect(fetched?.digest).toBe(pushed.digest)
    expect(fetched?.rootBytes.map((root) => Buffer.from(root).toString('utf8'))).toEqual(['root 1', 'root 2'])
    expect(Buffer.from(fetched?.channelBytes ?? []).toString('utf8')).toBe('channel 2')
    expect(await fetchChannel(layout, { known: pushed.digest })).toBe('unchanged')
  })

  it('that was damaged is refused: DataDamaged', async () => {
    await pushChannel(layout, roots, channelBytes)
    await damage('channel 1')
    await expect(fetchChannel(layout)).rejects.toThrow(code('DataDamaged'))
  })

  it('that is something else is refused: ChannelMalformed', async () => {
    await pushArtifact(layout, { artifactType: channelArtifactType, layers: [] }, { tag: 'current' })
    await expect(fetchChannel(layout)).rejects.toThrow(code('ChannelMalformed'))
  })

  it('is not taken for missing while the registry does not answer', async () => {
    const source = except({
      resolve: async () => {
        throw new OciError('Unreachable', 'The registry does not answer.')
      },
    })
    await expect(fetchChannel(source)).rejects.toThrow(code('Unreachable'))
  })
})
