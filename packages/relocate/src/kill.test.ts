import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, open, readFile, rename, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Layout, mediaTypes, type Registry } from '@muster/oci'
import { describe, expect, it, vi } from 'vitest'
import { image, noise, startRegistry, temporaryDirectory } from './testing.ts'

vi.setConfig({ testTimeout: 240_000 })

const main = resolve(import.meta.dirname, '../../../apps/cli/src/main.ts')

/** `muster relocate` in a process of its own, with the most memory that it took (MiB). */
async function muster(registry: Registry, args: readonly string[], killWhen?: (stderr: string) => boolean) {
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
    if (killWhen?.(stderr) === true) child.kill('SIGKILL')
  })
  const looking = setInterval(() => {
    readFile(`/proc/${child.pid}/status`, 'utf8').then(
      (status) => {
        peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)
      },
      () => {},
    )
  }, 50)
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  clearInterval(looking)
  return { code, signal, stdout, stderr, peak }
}

describe('a relocation that is killed in the middle', () => {
  it('goes on, and what arrived is not sent again', async () => {
    const { registry, requests } = await startRegistry()
    const layout = await Layout.open(await temporaryDirectory(), { create: true })
    const layers = Array.from({ length: 3 }, (_, at) => noise(8_000_000 + at))
    const config = new TextEncoder().encode('{}')
    const descriptors = []
    for (const bytes of [config, ...layers]) {
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
      const descriptor = { mediaType: mediaTypes.layerTar, digest, size: bytes.length }
      await layout.putBlob(descriptor, async function* () {
        yield bytes
      })
      descriptors.push(descriptor)
    }
    const [first, ...rest] = descriptors
    const manifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.imageManifest,
      config: { ...first, mediaType: mediaTypes.imageConfig },
      layers: rest,
    }
    await layout.putManifest(new TextEncoder().encode(JSON.stringify(manifest)), mediaTypes.imageManifest, { tag: '1' })
    const args = [`oci:${layout.directory}:1`, `${registry.host}/big:1`, '--jobs', '1', '--rate', '8MB/s']
    const arrived = (): string[] => requests.filter((line) => /^PUT .*\/blobs\/uploads\//.test(line))
    const killed = await muster(registry, args, (stderr) => stderr.includes(' sent\n'))
    expect(killed.signal).toBe('SIGKILL')
    expect(await registry.repository('big').resolve('1')).toBeUndefined()
    const before = arrived().length
    const again = await muster(registry, args.slice(0, 4))
    expect(again.code, again.stderr).toBe(0)
    expect(again.stdout).toContain('1 image, 0 signatures, 0 attestations → the same')
    expect(arrived().length - before).toBe(4 - before)
  })
})

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
