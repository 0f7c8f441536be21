import { describe, expect, it } from 'vitest'
import { pushReferrer } from '../../artifact.ts'
import { readJson } from '../../content.ts'
import { copy } from '../../copy.ts'
import { parseManifest } from '../../manifest.ts'
import { administer } from '../../testing/administration.ts'
import { age } from '../../testing/age.ts'
import { failure, pushImage, pushIndex } from '../../testing/content.ts'
import { type RunningRegistry, startRegistry } from '../../testing/registry.ts'
import type { Channels } from './retention.ts'

/** Channels of these tests: a manifest whose annotations name digests. */
const channels: Channels = {
  repositories: 'channels/**',
  needs: async (repository, source) => {
    const current = await source.resolve('current')
    if (current === undefined) return []
    const { annotations } = parseManifest((await source.manifest(current.digest)).bytes)
    if (annotations?.['bundles'] === undefined) throw new Error(`the channel ${repository} cannot be read`)
    return annotations['bundles'].split(' ').map((digest) => ({ digest, why: `the channel ${repository} names it` }))
  },
}
const options = { channels, retentionGraceMs: 1000, garbage: { intervalMs: 0, graceMs: 1000 } }
const rules = [{ repositories: '**', keep: { newest: 1 } }]

async function pushChannel(registry: RunningRegistry, cluster: string, bundles: string): Promise<void> {
  const repository = registry.client().repository(`channels/${cluster}`)
  const empty = await repository.putManifest(
    new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, manifests: [], annotations: { bundles } })),
    'application/vnd.oci.image.index.v1+json',
    { tag: 'current' },
  )
  expect(empty.digest).toMatch(/^sha256:/)
}

/** Three versions of a bundle, each with an image that is in the mirror too, both signed. */
async function publish(registry: RunningRegistry) {
  const client = registry.client()
  const bundles = client.repository('bundles/app')
  const mirror = client.repository('mirror/registry.example/app')
  const versions = []
  for (const at of [1, 2, 3]) {
    const image = await pushImage(bundles, at)
    const bundle = await pushIndex(bundles, [image], `${at}.0`)
    await copy(bundles, mirror, image, { tag: `${at}.0` })
    const signature = await pushReferrer(bundles, bundle, { artifactType: 'application/vnd.example.signature', layers: [] })
    const imageSignature = await pushReferrer(mirror, image, { artifactType: 'application/vnd.example.signature', layers: [] })
    versions.push({ image, bundle, signature, imageSignature })
    await age(registry.root)
  }
  return { bundles, mirror, versions: versions as [(typeof versions)[0], (typeof versions)[0], (typeof versions)[0]] }
}

const retain = (registry: RunningRegistry, more: object = {}) =>
  administer(registry, 'POST', 'retain', { rules, needed: [], dryRun: false, ...more })

describe('retention in a registry', { timeout: 30_000 }, () => {
  it('removes old versions with their signatures, and what only they held goes with the garbage', async () => {
    let now = Date.now()
    const registry = await startRegistry({ ...options, now: () => now })
    const { bundles, mirror, versions } = await publish(registry)
    now += 60_000
    const dry = await retain(registry, { dryRun: true })
    expect(dry.json).toMatchObject({ done: false, remove: [{ repository: 'bundles/app' }, { repository: 'mirror/registry.example/app' }] })
    expect((await bundles.tags()).sort()).toEqual(['1.0', '2.0', '3.0'])
    now += 60_000
    expect(await retain(registry)).toMatchObject({ status: 200, json: { done: true, missing: [], skipped: [] } })
    expect(await bundles.tags()).toEqual(['3.0'])
    expect(await mirror.tags()).toEqual(['3.0'])
    const [first, , last] = versions
    for (const gone of [first.bundle, first.image, first.signature]) expect(await bundles.resolve(gone.digest)).toBeUndefined()
    expect(await mirror.resolve(first.imageSignature.digest)).toBeUndefined()
    expect((await mirror.referrers(last.image.digest)).map(({ digest }) => digest)).toEqual([last.imageSignature.digest])
    await age(registry.root)
    expect((await administer(registry, 'POST', 'gc')).json).toMatchObject({ damaged: [] })
    expect(await readJson(bundles, await configOf(bundles, last.image.digest), { limit: 1000 })).toMatchObject({ seed: 3 })
    const { json } = await administer(registry, 'GET', 'audit?limit=1000')
    expect((json as { records: unknown[] }).records).toContainEqual(
      expect.objectContaining({
        who: 'registry',
        action: 'retain: remove tag',
        repository: 'bundles/app',
        reference: '1.0',
        digest: first.bundle.digest,
      }),
    )
  })

  it('never takes what a channel names: the bundle, its images in the mirror, their signatures', async () => {
    let now = Date.now()
    const registry = await startRegistry({ ...options, now: () => now })
    const { bundles, mirror, versions } = await publish(registry)
    const [first, second] = versions
    await pushChannel(registry, 'alpha', first.bundle.digest)
    await age(registry.root)
    now += 60_000
    const { json } = await retain(registry)
    expect(json).toMatchObject({
      done: true,
      keep: expect.arrayContaining([
        expect.objectContaining({ repository: 'bundles/app', tag: '1.0', why: 'the channel channels/alpha names it' }),
      ]),
    })
    expect((await bundles.tags()).sort()).toEqual(['1.0', '3.0'])
    expect((await mirror.tags()).sort()).toEqual(['1.0', '3.0'])
    expect((await bundles.referrers(first.bundle.digest)).map(({ digest }) => digest)).toEqual([first.signature.digest])
    expect((await mirror.referrers(first.image.digest)).map(({ digest }) => digest)).toEqual([first.imageSignature.digest])
    expect(await bundles.resolve(second.bundle.digest)).toBeUndefined()
  })

  it('never takes what the caller says is placed or still runs, and tells what is needed and missing', async () => {
    let now = Date.now()
    const registry = await startRegistry({ ...options, now: () => now })
    const { bundles, versions } = await publish(registry)
    now += 60_000
    const missing = { digest: `sha256:${'0'.repeat(64)}`, why: 'placement x' }
    const { json } = await retain(registry, { needed: [{ digest: versions[1].bundle.digest, why: 'placement app' }, missing] })
    expect(json).toMatchObject({ missing: [missing] })
    expect((await bundles.tags()).sort()).toEqual(['2.0', '3.0'])
  })

  it('removes nothing when a channel cannot be read', async () => {
    let now = Date.now()
    const registry = await startRegistry({ ...options, now: () => now })
    const { bundles } = await publish(registry)
    await pushImage(registry.client().repository('channels/alpha'), 9, { tag: 'current' })
    now += 60_000
    const { status, json } = await retain(registry)
    expect(status).toBe(409)
    expect(JSON.stringify(json)).toContain('The channel in channels/alpha cannot be read')
    expect(await bundles.tags()).toHaveLength(3)
  })

  it('keeps what was asked for a moment ago: somebody is about to name it', async () => {
    let now = Date.now()
    const registry = await startRegistry({ ...options, now: () => now })
    const { bundles, versions } = await publish(registry)
    now += 60_000
    await bundles.resolve('1.0')
    await bundles.resolve(versions[1].bundle.digest)
    await retain(registry)
    expect((await bundles.tags()).sort()).toEqual(['1.0', '3.0'])
    expect(await bundles.resolve(versions[1].bundle.digest)).toEqual(versions[1].bundle)
  })

  it('leaves every channel whole that is pushed while it runs', async () => {
    let now = Date.now()
    const registry = await startRegistry({ ...options, now: () => now })
    const bundles = registry.client().repository('bundles/app')
    for (let at = 0; at < 12; at += 1) await pushImage(bundles, at, { tag: `${at}.0`, bytes: 10 })
    await age(registry.root)
    now += 60_000
    const named: string[] = []
    const publishing = async (): Promise<void> => {
      for (let at = 0; at < 12; at += 3) {
        // As the hub does: find the bundle, then name it.
        const bundle = await bundles.resolve(`${at}.0`)
        if (bundle === undefined) continue
        await pushChannel(registry, `c${at}`, bundle.digest)
        named.push(bundle.digest)
      }
    }
    const retaining = async (): Promise<void> => {
      for (let at = 0; at < 4; at += 1) expect((await retain(registry)).status).toBe(200)
    }
    await Promise.all([publishing(), retaining()])
    expect(named.length).toBeGreaterThan(0)
    for (const digest of named) expect(await bundles.resolve(digest)).toBeDefined()
    // What nobody named is gone, but the newest.
    await retain(registry)
    expect((await bundles.tags()).length).toBeLessThanOrEqual(named.length + 1)
  })

  it('is for administrators, and takes no rule that keeps nothing', async () => {
    const registry = await startRegistry(options)
    expect((await registry.raw('POST', '/_muster/v1/retain')).status).toBe(403)
    const { status, json } = await retain(registry, { rules: [{ repositories: '**', keep: {} }] })
    expect(status).toBe(400)
    expect(JSON.stringify(json)).toContain('rules[0].keep')
    expect(await failure(registry.client().ping())).toBe('nothing was thrown')
  })
})

async function configOf(repository: ReturnType<ReturnType<RunningRegistry['client']>['repository']>, digest: string) {
  const { config } = parseManifest((await repository.manifest(digest)).bytes)
  if (config === undefined) throw new Error('no config')
  return config
}
