import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { mkdir, open, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { join, resolve } from 'node:path'
import { Archive, type ContentTarget, type Descriptor, Layout, mediaTypes, parseManifest, type Registry } from '@muster/oci'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { relocateToArchive } from './relocate.ts'
import { image, noise, startRegistry, temporaryDirectory } from './testing.ts'

vi.setConfig({ testTimeout: 240_000 })

const main = resolve(import.meta.dirname, '../../../apps/cli/src/main.ts')

/** `muster relocate` in a process of its own, with the most memory that it took (MiB). */
async function muster(registry: Registry, args: readonly string[], killWhen?: () => Promise<boolean>) {
  const home = await temporaryDirectory()
  const auth = Buffer.from('writer:w').toString('base64')
  await writeFile(join(home, 'config.json'), JSON.stringify({ auths: { [registry.host]: { auth } } }))
  const env = { PATH: process.env['PATH'], DOCKER_CONFIG: home, MUSTER_STATE: home, MUSTER_CACHE: join(home, 'cache'), NO_COLOR: '1' }
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main, 'relocate', '--plain-http', ...args], { env })
  let [stdout, stderr, peak] = ['', '', 0]
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const looking = setInterval(() => {
    readFile(`/proc/${child.pid}/status`, 'utf8').then(
      (status) => {
        peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)
      },
      () => {},
    )
  }, 50)
  const watching = setInterval(() => void killWhen?.().then((seen) => seen && child.kill('SIGKILL')), 5)
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  clearInterval(looking)
  clearInterval(watching)
  return { code, signal, stdout, stderr, peak }
}

/** An image with layers of noise, in `store` as `1`. */
async function bigImage(store: ContentTarget, sizes: readonly number[]): Promise<Descriptor> {
  const descriptors = []
  for (const bytes of [new TextEncoder().encode('{}'), ...sizes.map((size) => noise(size, size))]) {
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
    const descriptor = { mediaType: mediaTypes.layerTar, digest, size: bytes.length }
    await store.putBlob(descriptor, async function* () {
      yield bytes
    })
    descriptors.push(descriptor)
  }
  const [first, ...layers] = descriptors
  const config = { ...first, mediaType: mediaTypes.imageConfig }
  const manifest = { schemaVersion: 2, mediaType: mediaTypes.imageManifest, config, layers }
  return store.putManifest(new TextEncoder().encode(JSON.stringify(manifest)), mediaTypes.imageManifest, { tag: '1' })
}

describe('a relocation that is killed in the middle', () => {
  it('on the way from an archive to a registry goes on, and what arrived is not sent again', async () => {
    const { registry, requests } = await startRegistry()
    const layout = await Layout.open(await temporaryDirectory(), { create: true })
    const descriptor = await bigImage(layout, [8_000_000, 8_000_001, 8_000_002])
    const archive = join(await temporaryDirectory(), 'big.tar.zst')
    await relocateToArchive([{ name: 'big', store: layout, descriptor, tag: '1' }], { file: archive }, { jobs: 1 })
    const args = [archive, `${registry.host}/big:1`, '--jobs', '1', '--rate', '8MB/s']
    const arrived = (): string[] => requests.filter((line) => /^PUT .*\/blobs\/uploads\//.test(line))
    // With the first of three layers sent, two are still to come.
    const killed = await muster(registry, args, async () => arrived().length > 0)
    expect(killed.signal).toBe('SIGKILL')
    const target = registry.repository('big')
    expect(await target.resolve('1')).toBeUndefined()
    const { blobs } = parseManifest((await layout.manifest(descriptor.digest)).bytes)
    const there = (await Promise.all(blobs.map((blob) => target.hasBlob(blob)))).filter((isThere) => isThere).length
    expect(there).toBeGreaterThan(0)
    const before = arrived().length
    const again = await muster(registry, args.slice(0, 4))
    expect(again.code, again.stderr).toBe(0)
    expect(again.stdout).toContain('1 image, 0 signatures, 0 attestations → the same')
    expect(arrived().length - before).toBe(4 - there)
  })

  it('at any moment goes on with an archive of one file, and asks for nothing again that is in it', async () => {
    const { registry } = await startRegistry()
    const root = await bigImage(registry.repository('big'), [300_000, 9_000_000, 100_000, 8_000_000])
    const directory = await temporaryDirectory()
    const next = chance()
    const runs: { readonly had: number; readonly asked: Asked[] }[] = []
    onTestFinished(listen(registry.host, (one) => runs.at(-1)?.asked.push(one)))
    for (const name of ['big.tar', 'big.tar.zst']) {
      const file = join(directory, name)
      const partial = `${file}.partial`
      const args = [`${registry.host}/big:1`, file, '--rate', '16MB/s', '-o', 'json']
      for (let kills = 0; kills < 2; kills += 1) {
        const had = framesIn(await sizeOf(partial)) * frameBytes
        runs.push({ had, asked: [] })
        const size = had + next() * (17_400_000 - had)
        const killed = await muster(registry, args, async () => (await sizeOf(partial)) >= size || (await sizeOf(file)) > 0)
        // The last write may be the end of it.
        if (killed.signal === null) expect([killed.code, await sizeOf(partial)], killed.stderr).toEqual([0, 0])
      }
      const had = framesIn(await sizeOf(partial)) * frameBytes
      runs.push({ had, asked: [] })
      const done = await muster(registry, args)
      expect(done.code, done.stderr).toBe(0)
      expect((JSON.parse(done.stdout) as { resumed: number }).resumed).toBe(had)
    }
    expect((await readdir(directory)).sort()).toEqual(['big.tar', 'big.tar.zst'])
    const plain = await readFile(join(directory, 'big.tar'))
    const store = await Archive.open(join(directory, 'big.tar.zst'))
    onTestFinished(() => store.close())
    const again = join(directory, 'again.tar')
    await relocateToArchive([{ name: 'big', store, descriptor: root, tag: '1' }], { file: again }, { jobs: 1 })
    expect((await readFile(again)).equals(plain)).toBe(true)
    const places = placesIn(plain)
    for (const { had, asked } of runs) expectOnlyBehind(had, asked, places)
    expect(runs.some(({ had }) => had > 0)).toBe(true)
  })
})

interface Asked {
  readonly digest: string
  readonly from: number
}

interface Place {
  readonly start: number
  readonly end: number
}

/** What lies in the file already is not asked for, and of a blob that it is in the middle of only the rest. */
function expectOnlyBehind(had: number, asked: readonly Asked[], places: ReadonlyMap<string, Place>): void {
  for (const { digest, from } of asked) {
    const { start = 0, end = 0 } = places.get(digest) ?? {}
    expect(end, `MUSTER_TEST_SEED=${seed}`).toBeGreaterThan(had)
    expect(start + from, `MUSTER_TEST_SEED=${seed}`).toBe(Math.max(start, had))
  }
}

const frameBytes = 2 * 1024 * 1024

/** How many whole frames there are. Compressed, noise is as long as before, but for a little. */
function framesIn(size: number): number {
  return Math.floor(size / frameBytes + 0.005)
}

/** Where the blobs of a tar that was written here lie. */
function placesIn(tar: Buffer): Map<string, Place> {
  const places = new Map<string, Place>()
  for (let at = 0; tar[at] !== 0; ) {
    const size = Number.parseInt(tar.toString('latin1', at + 124, at + 135), 8)
    const start = at + 512
    places.set(
      `sha256:${tar
        .toString('latin1', at, at + 100)
        .replace(/\0.*$/, '')
        .split('/')
        .at(-1)}`,
      { start, end: start + size },
    )
    at = start + Math.ceil(size / 512) * 512
  }
  return places
}

/** The blobs that the registry in this process is asked for. */
function listen(host: string, onAsked: (asked: Asked) => void): () => void {
  const look = (message: unknown): void => {
    const { request } = message as { request: IncomingMessage }
    const digest = /\/blobs\/(sha256:[0-9a-f]{64})$/.exec(request.url ?? '')?.[1]
    if (request.method !== 'GET' || request.headers.host !== host || digest === undefined) return
    onAsked({ digest, from: Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0) })
  }
  subscribe('http.server.request.start', look)
  return () => void unsubscribe('http.server.request.start', look)
}

function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  )
}

const seed = Number(process.env['MUSTER_TEST_SEED'] ?? 4)

/** Numbers from 0 to 1, by a seed. */
function chance(): () => number {
  let state = seed + 1
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

describe('memory', () => {
  it('stays small for a blob of 2 GiB', async () => {
    const { registry } = await startRegistry()
    const directory = await temporaryDirectory()
    const layout = await Layout.open(directory, { create: true })
    const size = 2 * 1024 ** 3
    const hash = createHash('sha256')
    const zeros = Buffer.alloc(4 * 1024 * 1024)
    for (let at = 0; at < size; at += zeros.length) hash.update(zeros)
    const hex = hash.digest('hex')
    // Sparse: it takes no place on the disk here.
    const sparse = join(directory, 'sparse')
    const handle = await open(sparse, 'w')
    await handle.truncate(size)
    await handle.close()
    await mkdir(join(directory, 'blobs', 'sha256'), { recursive: true })
    await rename(sparse, join(directory, 'blobs', 'sha256', hex))
    const small = await image(layout, 'small')
    const { bytes } = await layout.manifest(small.digest)
    const manifest = JSON.parse(new TextDecoder().decode(bytes)) as { layers: unknown[] }
    manifest.layers = [{ mediaType: mediaTypes.layerTar, digest: `sha256:${hex}`, size }]
    await layout.putManifest(new TextEncoder().encode(JSON.stringify(manifest)), mediaTypes.imageManifest, { tag: 'big' })
    const archive = join(directory, 'big.tar.zst')
    const outcome = await muster(registry, [`oci:${directory}:big`, archive])
    expect(outcome.code, outcome.stderr).toBe(0)
    expect(outcome.peak).toBeLessThan(200)
  })
})
