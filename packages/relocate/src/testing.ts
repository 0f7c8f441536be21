import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ContentTarget,
  type Descriptor,
  mediaTypes,
  pushArtifact,
  pushReferrer,
  Registry,
  referrersTag,
  serveRegistry,
} from '@muster/oci'
import { onTestFinished } from 'vitest'
import { bundleArtifactType } from './kinds.ts'

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

const user = { name: 'writer', password: 'w', access: 'write' as const }

export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-relocate-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** A registry of ours on loopback; what it was asked is in `requests`. */
export async function startRegistry(): Promise<{ registry: Registry; requests: string[] }> {
  const requests: string[] = []
  const logger = {
    info: (fields: object) => requests.push(`${'method' in fields ? fields.method : ''} ${'path' in fields ? fields.path : ''}`),
    error: () => {},
  }
  const server = await serveRegistry({ root: await temporaryDirectory(), listen: { host: '127.0.0.1', port: 0 }, users: [user], logger })
  const registry = new Registry({
    host: `127.0.0.1:${server.port}`,
    plainHttp: true,
    credentials: { username: user.name, password: user.password },
    retry: { baseMs: 1 },
  })
  onTestFinished(async () => {
    registry.close()
    await server.close()
  })
  return { registry, requests }
}

export const signatureType = 'application/vnd.dev.sigstore.bundle.v0.3+json'
const predicate = 'dev.sigstore.bundle.predicateType'

export async function image(target: ContentTarget, seed: string, layer: Uint8Array = bytes(`layer of ${seed}`)): Promise<Descriptor> {
  const config = bytes(JSON.stringify({ architecture: 'amd64', os: 'linux', seed }))
  return pushArtifact(target, {
    artifactType: '',
    config: { mediaType: mediaTypes.imageConfig, bytes: config },
    layers: [{ mediaType: mediaTypes.layerTar, bytes: layer }],
  })
}

export async function index(target: ContentTarget, manifests: readonly Descriptor[], more: object = {}, tag?: string): Promise<Descriptor> {
  const json = { schemaVersion: 2, mediaType: mediaTypes.imageIndex, ...more, manifests }
  return target.putManifest(bytes(JSON.stringify(json)), mediaTypes.imageIndex, tag === undefined ? {} : { tag })
}

export function sign(target: ContentTarget, subject: Descriptor, seed: string): Promise<Descriptor> {
  return hang(target, subject, seed, signatureType, 'https://sigstore.dev/cosign/sign/v1')
}

export function attest(target: ContentTarget, subject: Descriptor, seed: string): Promise<Descriptor> {
  return hang(target, subject, seed, signatureType, 'https://slsa.dev/provenance/v1')
}

export function hang(target: ContentTarget, subject: Descriptor, seed: string, type: string, predicateType?: string): Promise<Descriptor> {
  return pushReferrer(target, subject, {
    artifactType: type,
    layers: [{ mediaType: type, bytes: bytes(seed) }],
    ...(predicateType === undefined ? {} : { annotations: { [predicate]: predicateType } }),
  })
}

/** As cosign's older format: a manifest at a tag, one layer for each signature. */
export async function cosignTag(
  target: ContentTarget,
  subject: Descriptor,
  suffix: 'sig' | 'att' | 'sbom',
  seeds: readonly string[],
): Promise<Descriptor> {
  const type = {
    sig: 'application/vnd.dev.cosign.simplesigning.v1+json',
    att: 'application/vnd.dsse.envelope.v1+json',
    sbom: 'text/spdx+json',
  }[suffix]
  return pushArtifact(
    target,
    {
      artifactType: '',
      config: { mediaType: mediaTypes.imageConfig, bytes: bytes('{}') },
      layers: seeds.map((seed) => ({ mediaType: type, bytes: bytes(seed) })),
    },
    { tag: `${referrersTag(subject.digest)}.${suffix}` },
  )
}

/** A bundle of two images, one of them for two platforms, with something hung on everything. 2 images, 6 signatures, 3 attestations, 1 SBOM. */
export async function bundle(
  target: ContentTarget,
  version = '1',
): Promise<{ root: Descriptor; one: Descriptor; two: Descriptor; platform: Descriptor }> {
  const one = await image(target, `one ${version}`)
  const platform = await image(target, 'two amd64')
  const two = await index(target, [
    { ...platform, platform: { os: 'linux', architecture: 'amd64' } },
    { ...(await image(target, 'two arm64')), platform: { os: 'linux', architecture: 'arm64' } },
  ])
  const content = await pushArtifact(target, {
    artifactType: 'application/vnd.muster.bundle.content.v1',
    layers: [{ mediaType: 'application/vnd.muster.bundle.manifests.v1.tar', bytes: bytes(`content ${version}`) }],
  })
  const root = await index(
    target,
    [
      content,
      { ...one, annotations: { 'dev.muster.image.name': 'registry.example/team/one:1.0' } },
      { ...two, annotations: { 'dev.muster.image.name': 'registry.example:5000/two:2.0' } },
    ],
    { artifactType: bundleArtifactType },
    version,
  )
  const signature = await sign(target, root, `signature of the bundle ${version}`)
  // What refers to a referrer.
  await attest(target, signature, `time stamp ${version}`)
  await sign(target, one, 'signature of one')
  await hang(target, one, 'sbom of one', 'application/spdx+json')
  await sign(target, two, 'signature of two')
  await attest(target, platform, 'provenance of one platform')
  await cosignTag(target, one, 'sig', ['first', 'second', 'third'])
  await cosignTag(target, two, 'att', ['statement'])
  return { root, one, two, platform }
}

/** Bytes that no compression makes smaller, the same each time (xorshift). */
export function noise(length: number, seed = 1): Uint8Array {
  const result = new Uint8Array(length)
  let state = seed
  for (let at = 0; at < length; at += 1) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    result[at] = state & 0xff
  }
  return result
}
