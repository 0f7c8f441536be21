import { describe, expect, it } from 'vitest'
import { pushReferrer } from '../../artifact.ts'
import { administer } from '../../testing/administration.ts'
import { noise, pushImage, pushIndex } from '../../testing/content.ts'
import { type RunningRegistry, reader, startRegistry, writer } from '../../testing/registry.ts'
import type { MirrorEntry } from './mirror-status.ts'

const artifactType = 'application/vnd.example.signature'

async function status(registry: RunningRegistry, name: string): Promise<MirrorEntry> {
  const { json } = await administer(registry, 'GET', 'mirrors')
  const found = (json as { mirrors: MirrorEntry[] }).mirrors.find((one) => one.name === name)
  if (found === undefined) throw new Error(`no mirror ${name}`)
  return found
}

/** Runs a mirror and waits for its end. */
async function run(registry: RunningRegistry, name: string): Promise<MirrorEntry> {
  const before = (await status(registry, name)).finishedMs
  expect((await administer(registry, 'POST', `mirrors/${name}/run`)).status).toBe(202)
  let found = await status(registry, name)
  await expect
    .poll(
      async () => {
        found = await status(registry, name)
        return found.state !== 'running' && found.finishedMs !== before
      },
      { timeout: 10_000 },
    )
    .toBe(true)
  return found
}

async function fill(registry: RunningRegistry) {
  const client = registry.client()
  const app = client.repository('bundles/app')
  const image = await pushImage(app, 1)
  const index = await pushIndex(app, [image], '1.0')
  const signature = await pushReferrer(app, index, { artifactType, layers: [{ mediaType: 'text/plain', bytes: noise(10) }] })
  await pushImage(client.repository('bundles/other'), 2, { tag: '2.0' })
  await pushImage(client.repository('private/app'), 3, { tag: '1.0' })
  return { index, signature }
}

describe('a mirror', { timeout: 30_000 }, () => {
  it('pushes every repository that matches, with referrers, and the second time only what is new', async () => {
    const target = await startRegistry()
    const mirror = {
      name: 'away',
      direction: 'push' as const,
      registry: target.host,
      plainHttp: true,
      credentials: writer,
      repositories: ['bundles/**'],
      prefix: 'from-alpha/',
    }
    const source = await startRegistry({
      mirrors: [mirror],
      now: (() => {
        let at = 1_900_000_000_000
        return () => at++
      })(),
    })
    const { index, signature } = await fill(source)
    expect(await status(source, 'away')).toMatchObject({ state: 'never', direction: 'push', patterns: ['bundles/**'] })
    expect(await run(source, 'away')).toMatchObject({ state: 'done', repositories: 2, tags: 2, manifests: 4, errors: [] })
    expect(await target.client().repositories()).toEqual(['from-alpha/bundles/app', 'from-alpha/bundles/other'])
    const there = target.client().repository('from-alpha/bundles/app')
    expect(await there.resolve('1.0')).toEqual(index)
    expect((await there.referrers(index.digest)).map(({ digest }) => digest)).toEqual([signature.digest])
    const second = await pushReferrer(source.client().repository('bundles/app'), index, {
      artifactType: 'application/vnd.example.sbom',
      layers: [],
    })
    expect(await run(source, 'away')).toMatchObject({ state: 'done', tags: 2, manifests: 1 })
    expect((await there.referrers(index.digest)).map(({ digest }) => digest).sort()).toEqual([signature.digest, second.digest].sort())
  })

  it('pulls, keeps to its tags, and goes on by itself at its interval', async () => {
    const source = await startRegistry()
    const { index } = await fill(source)
    await pushImage(source.client().repository('bundles/app'), 9, { tag: 'nightly' })
    const mirror = {
      name: 'home',
      direction: 'pull' as const,
      registry: source.host,
      plainHttp: true,
      credentials: reader,
      repositories: ['bundles/app'],
      tags: ['1.*'],
      everyMs: 1,
    }
    const target = await startRegistry({ mirrors: [mirror] })
    expect(await run(target, 'home')).toMatchObject({ state: 'done', repositories: 1, tags: 1 })
    expect(await target.client().repository('bundles/app').tags()).toEqual(['1.0'])
    expect(await target.client().repository('bundles/app').resolve('1.0')).toEqual(index)
  })

  it('says what failed, goes on with the rest, and remembers over a restart', async () => {
    const source = await startRegistry()
    await fill(source)
    const mirror = {
      name: 'home',
      direction: 'pull' as const,
      registry: source.host,
      plainHttp: true,
      credentials: reader,
      repositories: ['bundles/none', 'bundles/other'],
    }
    const options = { mirrors: [mirror], quotas: [] }
    const target = await startRegistry(options)
    const found = await run(target, 'home')
    expect(found).toMatchObject({ state: 'failed', tags: 1, errors: [expect.stringContaining('bundles/none')] })
    expect(JSON.stringify(found)).not.toContain(reader.password)
    await target.server.close()
    const again = await startRegistry({ ...options, root: target.root })
    expect(await status(again, 'home')).toMatchObject({ state: 'failed', tags: 1 })
    expect((await administer(again, 'POST', 'mirrors/none/run')).status).toBe(404)
  })

  it('keeps to the quotas of where it writes', async () => {
    const source = await startRegistry()
    await pushImage(source.client().repository('bundles/app'), 1, { tag: '1.0', bytes: 200_000 })
    const mirror = {
      name: 'home',
      direction: 'pull' as const,
      registry: source.host,
      plainHttp: true,
      credentials: reader,
      repositories: ['bundles/**'],
    }
    const target = await startRegistry({ mirrors: [mirror], quotas: [{ repositories: '**', bytes: 100_000 }] })
    expect(await run(target, 'home')).toMatchObject({
      state: 'failed',
      errors: [expect.stringContaining('the quota of ** is 100000 bytes')],
    })
  })
})
