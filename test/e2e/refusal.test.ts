import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { apiVersion, type Release } from '@muster/api'
import type { KubeClient, KubeObject } from '@muster/kube'
import { createKeyPair } from '@muster/pki'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'

const instance = sharedInstance()
let dir: string
let client: KubeClient

/** A bundle of one ConfigMap that holds its version. */
async function publish(version: string, ...options: string[]): Promise<string> {
  await writeFile(
    path.join(dir, 'bundle.yaml'),
    `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: refusal\nversion: ${version}\ncomponents:\n- name: main\n  manifests: [objects.yaml]\n`,
  )
  await writeFile(
    path.join(dir, 'objects.yaml'),
    `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: refusal\ndata:\n  version: ${version}\n  # what the corrupted copy will differ in\n  padding: ${'x'.repeat(64)}\n`,
  )
  const printed = await instance.succeed('publish', dir, ...options)
  const digest = printed.match(/sha256:[0-9a-f]{64}/)?.[0]
  if (!digest) throw new Error(`publish named no digest: ${printed}`)
  return digest
}

async function refusedBecause(digest: string): Promise<string> {
  const ready = await eventually(
    async () => {
      const release = await client.find<Release & KubeObject>({ apiVersion, kind: 'Release', name: 'refusal' })
      const condition = release?.status?.conditions?.find((one) => one.type === 'Ready')
      return release?.spec.bundle.digest === digest &&
        condition?.observedGeneration === release.metadata.generation &&
        condition?.status === 'False' &&
        condition.reason !== 'Progressing'
        ? condition
        : undefined
    },
    { withinMs: 60_000, what: `a verdict on ${digest}` },
  )
  return ready.reason
}

async function running(): Promise<unknown> {
  const object = await client.get<KubeObject & { data: Record<string, string> }>({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    namespace: 'refusal',
    name: 'refusal',
  })
  return object.data['version']
}

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-refusal-'))
  client = await instance.client('alpha')
  await publish('1.0.0')
  await instance.succeed('place', 'refusal', '--version', '1.0.0', '--on', 'alpha')
  expect(await running()).toBe('1.0.0')
})

afterAll(async () => {
  await instance.succeed('place', 'refusal', '--nowhere')
  await rm(dir, { recursive: true, force: true })
})

describe('a bundle is refused, with a reason of its own, and what ran keeps running', () => {
  it('when it bears no signature', async () => {
    const digest = await publish('1.0.1', '--unsigned')
    await instance.succeed('place', 'refusal', '--version', '1.0.1', '--on', 'alpha', '--no-wait')
    expect(await refusedBecause(digest)).toBe('SignatureMissing')
    expect(await running()).toBe('1.0.0')
  })

  it('when another key signed it', async () => {
    const key = path.join(dir, 'other.key')
    await writeFile(key, createKeyPair().privateKey, { mode: 0o600 })
    const digest = await publish('1.0.2', '--key', key)
    await instance.succeed('place', 'refusal', '--version', '1.0.2', '--on', 'alpha', '--no-wait')
    expect(await refusedBecause(digest)).toBe('SignatureWrongKey')
    expect(await running()).toBe('1.0.0')
  })

  it('when a byte of it was flipped in the registry', async () => {
    const digest = await publish('1.0.3')
    await flipByteOfContent(digest)
    await instance.succeed('place', 'refusal', '--version', '1.0.3', '--on', 'alpha', '--no-wait')
    expect(await refusedBecause(digest)).toBe('DataDamaged')
    expect(await running()).toBe('1.0.0')
  })

  it('and a good one afterwards is taken', async () => {
    await publish('1.0.4')
    await instance.succeed('place', 'refusal', '--version', '1.0.4', '--on', 'alpha')
    expect(await running()).toBe('1.0.4')
  })
})

function blobPath(digest: string): string {
  const hex = digest.slice('sha256:'.length)
  return path.join(instance.state, 'registry', 'data', 'blobs', 'sha256', hex.slice(0, 2), hex)
}

/** Changes one byte of the layer with the bundle's manifests where the registry keeps it. */
async function flipByteOfContent(digest: string): Promise<void> {
  const index = await readJson<{ manifests: { digest: string }[] }>(digest)
  const content = await readJson<{ layers: { digest: string }[] }>(index.manifests[0]?.digest ?? '')
  const file = await open(blobPath(content.layers[0]?.digest ?? ''), 'r+')
  try {
    const bytes = await file.readFile()
    const at = bytes.indexOf('xxxx')
    expect(at).toBeGreaterThan(0)
    await file.write(Buffer.from('y'), 0, 1, at)
  } finally {
    await file.close()
  }
}

async function readJson<T>(digest: string): Promise<T> {
  const file = await open(blobPath(digest))
  try {
    return JSON.parse(await file.readFile('utf8')) as T
  } finally {
    await file.close()
  }
}
