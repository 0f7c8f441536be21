import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { copy } from '../copy.ts'
import { Layout } from '../layout/layout.ts'
import { parseManifest } from '../manifest.ts'
import { age } from '../testing/age.ts'
import { failure, noise, pushImage } from '../testing/content.ts'
import { client, startRegistry, temporaryDirectory, users, writer } from '../testing/registry.ts'

/** The registry in a process of its own, which can be killed. */
async function startProcess(
  root: string,
  extra: { garbage?: { intervalMs: number; graceMs: number } } = {},
): Promise<{ child: ChildProcess; port: number }> {
  const program = `
    import { serveRegistry } from ${JSON.stringify(new URL('./serve.ts', import.meta.url).href)}
    const options = JSON.parse(process.argv[1])
    const server = await serveRegistry(options)
    console.log(server.port)`
  const options = JSON.stringify({ root, listen: { host: '127.0.0.1', port: 0 }, users, ...extra })
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program, options], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  for await (const line of createInterface({ input: child.stdout })) return { child, port: Number(line) }
  throw new Error('the registry process ended before it listened')
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

/** Everything that a tag or digest names is there and whole. */
async function expectWhole(root: string, previous: string, name = 'team/app'): Promise<void> {
  const registry = await startRegistry({ root })
  const repository = registry.client().repository(name)
  for (const tag of await repository.tags()) {
    const found = await repository.resolve(tag)
    if (found === undefined) throw new Error(`${tag} names nothing`)
    const { bytes } = await repository.manifest(found.digest)
    const target = await Layout.open(join(await temporaryDirectory(), 'check'), { create: true })
    expect(await copy(repository, target, found)).toMatchObject({ manifests: 1, blobs: parseManifest(bytes).blobs.length })
  }
  expect(await repository.resolve('0')).toMatchObject({ digest: previous })
  await registry.server.close()
}

describe('a registry that is killed', () => {
  it('has nothing torn afterwards, at whichever step of a push it was, and takes the push again', { timeout: 60_000 }, async () => {
    const root = await temporaryDirectory()
    const source = await Layout.open(join(await temporaryDirectory(), 'source'), { create: true })
    const first = await startRegistry({ root })
    const previous = await pushImage(first.client().repository('team/app'), 0, { tag: '0' })
    await first.server.close()
    // Seeded: how far into each push the kill comes, in steps of its progress.
    const seeds = noise(5, 99)
    for (const [round, seed] of seeds.entries()) {
      const { child, port } = await startProcess(root)
      const repository = client({ host: `127.0.0.1:${port}`, plainHttp: true, credentials: writer, retry: { attempts: 1 } }).repository(
        'team/app',
      )
      const image = await pushImage(source, 10 + round, { bytes: 2_000_000 })
      let steps = 0
      let killed: Promise<void> | undefined
      const onProgress = (): void => {
        steps += 1
        if (steps > seed % 30) killed ??= kill(child)
      }
      const result = await failure(copy(source, repository, image, { tag: `${round}`, onProgress }).then(() => {}))
      killed ??= kill(child)
      await killed
      expect(['Unreachable', 'nothing was thrown']).toContain(result)
      await expectWhole(root, previous.digest)
    }
    const last = await startRegistry({ root })
    const image = await pushImage(source, 10, { bytes: 2_000_000 })
    await copy(source, last.client().repository('team/app'), image, { tag: 'again' })
    expect(await last.client().repository('team/app').resolve('again')).toEqual(image)
  })

  it('lets the client finish its upload after it is back', { timeout: 30_000 }, async () => {
    const root = await temporaryDirectory()
    const { child, port } = await startProcess(root)
    const source = await Layout.open(join(await temporaryDirectory(), 'source'), { create: true })
    const image = await pushImage(source, 1, { bytes: 8_000_000 })
    const registry = client({
      host: `127.0.0.1:${port}`,
      plainHttp: true,
      credentials: writer,
      retry: { attempts: 40, baseMs: 20, maximumMs: 200 },
    })
    let restarted: Promise<unknown> | undefined
    const onProgress = ({ bytes }: { bytes: number }): void => {
      if (bytes > 3_000_000) restarted ??= kill(child).then(() => startRegistry({ root, listen: { host: '127.0.0.1', port } }))
    }
    await copy(source, registry.repository('team/app'), image, { tag: '1.0', onProgress })
    await restarted
    expect(await registry.repository('team/app').resolve('1.0')).toEqual(image)
  })

  it('in the middle of collecting garbage loses nothing that is named, and a later run removes the rest', { timeout: 60_000 }, async () => {
    const root = await temporaryDirectory()
    const source = await Layout.open(join(await temporaryDirectory(), 'source'), { create: true })
    const first = await startRegistry({ root })
    const previous = await pushImage(first.client().repository('team/app'), 0, { tag: '0' })
    await pushImage(first.client().repository('team/new'), 0, { tag: '0' })
    await first.server.close()
    for (const [round, seed] of noise(3, 7).entries()) {
      const server = await startRegistry({ root, garbage: { intervalMs: 0 } })
      const app = server.client().repository('team/app')
      const doomed = await Promise.all(Array.from({ length: 12 }, (_, at) => pushImage(app, 1000 * (round + 1) + at, { bytes: 100 })))
      for (const image of doomed) await app.deleteManifest(image.digest)
      await server.server.close()
      await age(root)
      // Seeded: how many files of the 36 are gone when the kill comes.
      const enough = (await contentCount(root)) - (seed % 30)
      const { child, port } = await startProcess(root, { garbage: { intervalMs: 1, graceMs: 60_000 } })
      const repository = client({ host: `127.0.0.1:${port}`, plainHttp: true, credentials: writer, retry: { attempts: 1 } }).repository(
        'team/new',
      )
      const image = await pushImage(source, 10 + round, { bytes: 200_000 })
      const pushed = failure(copy(source, repository, image, { tag: `${round + 1}` }).then(() => {}))
      while ((await contentCount(root)) > enough) await setImmediate()
      await kill(child)
      expect(['Unreachable', 'nothing was thrown']).toContain(await pushed)
      await expectWhole(root, previous.digest)
      await expectWhole(root, previous.digest, 'team/new')
    }
    const last = await startRegistry({ root, garbage: { intervalMs: 0, graceMs: 60_000 } })
    await age(root)
    await last.server.collectGarbage()
    expect(await last.server.collectGarbage()).toEqual({ unlinked: 0, removed: 0, bytes: 0, damaged: [] })
    await last.server.close()
    await expectWhole(root, previous.digest)
    expect(await contentCount(root)).toBeLessThanOrEqual(3 * 4)
  })
})

async function contentCount(root: string): Promise<number> {
  return (await readdir(join(root, 'blobs', 'sha256'), { recursive: true })).filter((entry) => entry.length > 60).length
}
