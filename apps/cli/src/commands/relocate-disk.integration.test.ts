import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Layout, pushArtifact } from '@muster/oci'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { mountSmallDisk } from '../../../../test/environment/small-disk.ts'
import { runHere } from '../testing/run.ts'

const mebibyte = 1024 ** 2
const layers = 4

let source: string
let digest: string
let disk: string
let filler: string

async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'relocate-disk-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

beforeEach(async () => {
  const directory = await temporary()
  const layout = await Layout.open(directory, { create: true })
  const artifact = {
    artifactType: 'application/vnd.example.large',
    layers: Array.from({ length: layers }, () => ({ mediaType: 'application/octet-stream', bytes: randomBytes(3 * mebibyte) })),
  }
  digest = (await pushArtifact(layout, artifact, { tag: '1.0.0' })).digest
  source = `oci:${directory}:1.0.0`
  disk = await temporary()
  onTestFinished(await mountSmallDisk(disk, 32 * mebibyte))
  // Room for two of four layers.
  filler = join(disk, 'of-somebody-else')
  await writeFile(filler, randomBytes(24 * mebibyte))
})

async function filesIn(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true, withFileTypes: true })
  return names.filter((entry) => entry.isFile()).length
}

describe('relocating to a disk that is full', () => {
  it('a folder: says what to do, ends with 1, claims nothing, and goes on where it was when there is room', async () => {
    const folder = join(disk, 'media')
    const failed = await runHere('relocate', source, `oci:${folder}:1.0.0`, '--jobs', '1')
    expect(failed.code).toBe(1)
    expect(failed.err).toMatch(/could not be written or read \(ENOSPC\)\. Check the disk's space/)
    expect(failed.out).toBe('')
    const there = await Layout.open(folder)
    expect(await there.resolve('1.0.0')).toBeUndefined()
    const arrived = await filesIn(join(folder, 'blobs'))
    expect(arrived).toBeGreaterThan(0)

    await rm(filler)
    const done = await runHere('relocate', source, `oci:${folder}:1.0.0`, '--output', 'json')
    expect([done.code, done.err.includes('ENOSPC')]).toEqual([0, false])
    const { artifacts } = JSON.parse(done.out) as { artifacts: { digest: string; moved: { blobs: number; present: number } }[] }
    expect(artifacts[0]).toMatchObject({ digest, moved: { present: expect.any(Number) } })
    expect(artifacts[0]?.moved.present).toBeGreaterThan(0)
    expect((await there.resolve('1.0.0'))?.digest).toBe(digest)
  })

  it('an archive: the same, no file bears its name before it is whole, and the next run goes on with what there is', async () => {
    const file = join(disk, 'media.tar')
    const failed = await runHere('relocate', source, `archive:${file}`)
    expect(failed.code).toBe(1)
    expect(failed.err).toMatch(/could not be written or read \(ENOSPC\)\. Check the disk's space/)
    expect(failed.out).toBe('')
    expect(await readdir(disk)).toEqual(['media.tar.partial', 'of-somebody-else'])
    await rm(filler)
    const done = await runHere('relocate', source, `archive:${file}`, '--output', 'json')
    expect(done.code).toBe(0)
    expect((JSON.parse(done.out) as { resumed: number }).resumed).toBeGreaterThan(0)
    expect(await readdir(disk)).toEqual(['media.tar'])
  })

  it('an archive in parts: whole parts stay, none is claimed to be all, and the next run goes on behind them', async () => {
    const target = join(disk, 'parts')
    await mkdir(target)
    const file = join(target, 'media.tar')
    const failed = await runHere('relocate', source, `archive:${file}`, '--part-size', '4MiB')
    expect(failed.code).toBe(1)
    expect(failed.err).toMatch(/ENOSPC/)
    const parts = await readdir(target)
    expect(parts.some((name) => name.endsWith('.sha256'))).toBe(false)
    await rm(filler)
    const done = await runHere('relocate', source, `archive:${file}`, '--part-size', '4MiB', '--output', 'json')
    expect(done.code).toBe(0)
    expect((JSON.parse(done.out) as { resumed: number }).resumed).toBeGreaterThan(0)
    expect((await readdir(target)).filter((name) => name.endsWith('.sha256'))).toHaveLength(1)
  })
})
