import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type ContentSource, type Descriptor, digestOf, Layout, mediaTypes, pushArtifact, pushReferrer } from '@muster/oci'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { generateKeyPair } from '../keys/keys.ts'
import { signatureKeyFromPem } from '../keys/memory-key.ts'
import { readTree, type TreeNode } from './artifact-tree.ts'
import { attach } from './attach.ts'
import { attachCosignSignature } from './cosign-writer.ts'
import { signStatement } from './sigstore-bundle.ts'

const key = signatureKeyFromPem(generateKeyPair().privateKey)
let dir: string
let layout: Layout
let image: Descriptor
let index: Descriptor

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-tree-'))
  layout = await Layout.open(dir, { create: true })
  image = await pushArtifact(layout, { artifactType: 'application/vnd.example.image', layers: [] })
  const manifests = [{ ...image, annotations: { 'dev.muster.image.name': 'registry.example/app:1.0' } }]
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests }))
  index = await layout.putManifest(bytes, mediaTypes.imageIndex, { tag: 'bundle' })
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const count = (node: TreeNode): number => [...node.members, ...node.referrers].reduce((sum, one) => sum + count(one), 1)

describe('the tree of an artifact', () => {
  it('has its members, their signatures in both formats, attestations, SBOMs, and what hangs on those', async () => {
    await attach(layout, index, await signStatement({ subject: index, key }))
    await attachCosignSignature(layout, image, { key, reference: 'registry.example/app' })
    const sbom = await pushReferrer(layout, image, { artifactType: 'application/spdx+json', layers: [] })
    await attach(layout, sbom, await signStatement({ subject: sbom, key }))
    await attach(layout, image, await signStatement({ subject: image, key, predicateType: 'https://example.test/x', predicate: {} }))
    const tree = await readTree(layout, index)
    expect(tree.referrers).toEqual([
      expect.objectContaining({
        kind: 'signature',
        statements: [expect.objectContaining({ format: 'sigstore-bundle', certified: false })],
      }),
    ])
    const [member] = tree.members
    expect(member).toMatchObject({
      kind: 'member',
      digest: image.digest,
      annotations: { 'dev.muster.image.name': 'registry.example/app:1.0' },
    })
    expect(member?.referrers.map(({ kind }) => kind).sort()).toEqual(['attestation', 'referrer', 'signature'])
    expect(member?.referrers.find(({ kind }) => kind === 'referrer')?.referrers).toEqual([expect.objectContaining({ kind: 'signature' })])
    expect(count(tree)).toBe(7)
  })

  it('ends where a list of referrers leads back to itself, and names what is listed and not there', async () => {
    const lost = { mediaType: mediaTypes.imageManifest, digest: digestOf(Buffer.from('lost')), size: 4 }
    const source: ContentSource = {
      resolve: (name) => layout.resolve(name),
      manifest: (digest) => layout.manifest(digest),
      blob: (descriptor) => layout.blob(descriptor),
      referrers: async (digest) => (digest === lost.digest ? [] : [image, index, lost]),
    }
    const tree = await readTree(source, index)
    const nodes: TreeNode[] = []
    const visit = (node: TreeNode): void => {
      nodes.push(node)
      for (const one of [...node.members, ...node.referrers]) visit(one)
    }
    visit(tree)
    expect(nodes.length).toBeLessThan(20)
    expect(new Set(nodes.map(({ stopped }) => stopped))).toEqual(new Set([undefined, 'repeated', 'missing']))
  })

  it('of an artifact that is not there is an error, not an empty tree', async () => {
    await expect(readTree(layout, { ...index, digest: digestOf(Buffer.from('nothing')) })).rejects.toThrow(
      expect.objectContaining({ code: 'NotFound' }),
    )
  })
})
