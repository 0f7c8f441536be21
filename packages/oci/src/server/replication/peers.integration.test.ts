import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { peerMs } from '../../../../../test/peers/peers.ts'
import { distribution3 } from '../../../../../test/peers/registries.ts'
import { pushReferrer } from '../../artifact.ts'
import type { ContentSource, ContentTarget } from '../../content.ts'
import { copy } from '../../copy.ts'
import { Layout } from '../../layout/layout.ts'
import { parseManifest } from '../../manifest.ts'
import { administer } from '../../testing/administration.ts'
import { collect, pushImage, pushIndex } from '../../testing/content.ts'
import { startPeer } from '../../testing/peer.ts'
import { type RunningRegistry, reader, startRegistry, temporaryDirectory } from '../../testing/registry.ts'
import type { MirrorEntry } from './mirror-status.ts'

const artifactType = 'application/vnd.example.signature'

/** An index of two images, signed, one image signed too. */
async function fill(target: ContentSource & ContentTarget, seed: number, bytes = 500_000) {
  const images = [await pushImage(target, seed, { bytes }), await pushImage(target, seed + 1, { bytes })]
  const index = await pushIndex(target, images, '1.0')
  const ofIndex = await pushReferrer(target, index, { artifactType, layers: [] })
  const ofImage = await pushReferrer(target, images[0] ?? index, { artifactType, layers: [] })
  return { images, index, ofIndex, ofImage }
}

async function expectWhole(from: ContentSource, { images, index, ofIndex, ofImage }: Awaited<ReturnType<typeof fill>>): Promise<void> {
  expect(await from.resolve('1.0')).toMatchObject({ digest: index.digest })
  expect((await from.referrers(index.digest)).map(({ digest }) => digest)).toEqual([ofIndex.digest])
  expect((await from.referrers(images[0]?.digest ?? '')).map(({ digest }) => digest)).toEqual([ofImage.digest])
  for (const image of images)
    for (const blob of parseManifest((await from.manifest(image.digest)).bytes).blobs) await collect(from.blob(blob))
}

async function run(registry: RunningRegistry, name: string): Promise<MirrorEntry> {
  await administer(registry, 'POST', `mirrors/${name}/run`)
  let found: MirrorEntry | undefined
  const over = async (): Promise<boolean> => {
    found = ((await administer(registry, 'GET', 'mirrors')).json as { mirrors: MirrorEntry[] }).mirrors.find((one) => one.name === name)
    return found?.state === 'done' || found?.state === 'failed'
  }
  await expect.poll(over, { timeout: 60_000 }).toBe(true)
  if (found === undefined) throw new Error(`no mirror ${name}`)
  return found
}

describe('with distribution 3, which has no referrers API', () => {
  beforeAll(async () => {
    await distribution3.program()
  }, peerMs)

  it('a mirror carries everything there and back, signatures included', async () => {
    const peer = await startPeer(distribution3)
    const common = { registry: peer.host, plainHttp: true, repositories: ['bundles/**'] }
    const source = await startRegistry({ mirrors: [{ ...common, name: 'away', direction: 'push' }] })
    const [app, other] = [
      await fill(source.client().repository('bundles/app'), 1),
      await fill(source.client().repository('bundles/other'), 5),
    ]
    expect(await run(source, 'away')).toMatchObject({ state: 'done', repositories: 2, errors: [] })
    await expectWhole(peer.registry.repository('bundles/app'), app)
    const target = await startRegistry({ mirrors: [{ ...common, name: 'home', direction: 'pull' }] })
    expect(await run(target, 'home')).toMatchObject({ state: 'done', repositories: 2, errors: [] })
    await expectWhole(target.client().repository('bundles/app'), app)
    await expectWhole(target.client().repository('bundles/other'), other)
    expect(await target.client().repository('bundles/app').tags()).toEqual(['1.0'])
    expect(await run(target, 'home')).toMatchObject({ state: 'done', blobs: 0, manifests: 0 })
  })

  it('a mirror that broke off with the other registry goes on where it was', async () => {
    const peer = await startPeer(distribution3)
    const mirror = { name: 'away', direction: 'push' as const, registry: peer.host, plainHttp: true, repositories: ['app/**'] }
    const source = await startRegistry({ mirrors: [mirror] })
    const images = await fill(source.client().repository('app/a'), 1)
    expect(await run(source, 'away')).toMatchObject({ state: 'done' })
    const more = await fill(source.client().repository('app/b'), 11)
    await peer.stop()
    const broken = await run(source, 'away')
    expect(broken).toMatchObject({ state: 'failed' })
    expect(broken.errors.join()).toContain('app/b')
    await peer.restart()
    expect(await run(source, 'away')).toMatchObject({ state: 'done', errors: [] })
    await expectWhole(peer.registry.repository('app/a'), images)
    await expectWhole(peer.registry.repository('app/b'), more)
  })

  it('a cache of it gives an image with its signatures, each blob once, and goes on without it', async () => {
    const peer = await startPeer(distribution3)
    const there = peer.registry.repository('team/app')
    const pushed = await fill(there, 1, 5_000_000)
    const host = 'images.example'
    const cache = await startRegistry({ upstreams: [{ host, registry: peer.host, plainHttp: true, tagMs: 0 }] })
    const here = cache.client(reader).repository(`cache/${host}/team/app`)
    const layouts = await Promise.all(
      [1, 2, 3, 4].map(async (at) => Layout.open(join(await temporaryDirectory(), `${at}`), { create: true })),
    )
    const index = await here.resolve('1.0')
    if (index === undefined) throw new Error('not found')
    await Promise.all(layouts.map((layout) => copy(here, layout, index, { tag: '1.0', referrers: true })))
    for (const layout of layouts) await expectWhole(layout, pushed)
    await peer.stop()
    await expectWhole(here, pushed)
    const ns = await cache.raw('GET', `/v2/team/app/manifests/1.0?ns=${host}`)
    expect(ns.headers.get('docker-content-digest')).toBe(pushed.index.digest)
    const text = await (await cache.raw('GET', '/metrics')).text()
    expect(text).toMatch(/^muster_registry_upstream_requests_total\{upstream="images\.example",result="hit"\} [1-9]/m)
    const fetched = Number(/^muster_registry_upstream_bytes_total\{upstream="images\.example"\} ([0-9]+)$/m.exec(text)?.[1])
    // Two layers and what is small; not four times that.
    expect(fetched).toBeGreaterThan(10_000_000)
    expect(fetched).toBeLessThan(10_100_000)
  })
})
