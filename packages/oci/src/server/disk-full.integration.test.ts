import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { mountSmallDisk } from '../../../../test/environment/small-disk.ts'
import { digestOf } from '../digest.ts'
import { OciError } from '../errors.ts'
import { mediaTypes, parseManifest } from '../manifest.ts'
import { chunks, collect, describeBlob, noise, pushImage } from '../testing/content.ts'
import { startRegistry, temporaryDirectory } from '../testing/registry.ts'

/** Unmounted after the test. */
async function smallDisk(bytes: number): Promise<string> {
  const directory = await temporaryDirectory()
  onTestFinished(await mountSmallDisk(directory, bytes))
  return directory
}

describe('a registry whose disk is full', () => {
  it('says so to who pushes, serves what it has, keeps nothing of what failed, and goes on when there is room', async () => {
    const root = await smallDisk(8 * 1024 ** 2)
    const registry = await startRegistry({ root })
    const repository = registry.client({ username: 'writer', password: 'write:me' }, { retry: { attempts: 1 } }).repository('app')
    const image = await pushImage(repository, 1, { tag: '1.0', bytes: 1_000_000 })
    const large = noise(12_000_000, 9)

    const refused = repository.putBlob(describeBlob(large), () => chunks(large))
    await expect(refused).rejects.toThrow(OciError)
    await expect(refused).rejects.toMatchObject({ code: 'ServerError', status: 507, message: expect.stringContaining('disk') })
    const answer = await registry.raw('POST', `/v2/app/blobs/uploads/?digest=${digestOf(large)}`, { body: large.slice() })
    expect(answer.status).toBe(507)
    expect(await answer.json()).toEqual({ errors: [{ code: 'INTERNAL', message: expect.stringContaining('full') }] })
    expect(await readdir(join(root, 'uploads'))).toEqual([])

    // Not one block left: nothing small can be written either.
    const filler = join(root, 'filler')
    await writeFile(filler, new Uint8Array(16 * 1024 ** 2)).catch(() => {})
    const status = async (method: string, path: string, body?: Uint8Array<ArrayBuffer>): Promise<number> =>
      (
        await registry.raw(method, path, {
          headers: { 'content-type': mediaTypes.imageManifest },
          ...(body === undefined ? {} : { body }),
        })
      ).status
    const small = noise(10_000, 3)
    expect(await status('POST', `/v2/app/blobs/uploads/?digest=${digestOf(small)}`, small)).toBe(507)
    const manifest = await repository.manifest('1.0')
    const other = new Uint8Array([...manifest.bytes, 10])
    expect(await status('PUT', '/v2/app/manifests/2.0', other)).toBe(507)
    expect(await status('PUT', '/v2/app/manifests/1.0', other)).toBe(507)

    const read = async (): Promise<void> => {
      expect(await repository.resolve('1.0')).toEqual(image)
      expect(await repository.resolve('2.0')).toBeUndefined()
      expect(await repository.tags()).toEqual(['1.0'])
      for (const blob of parseManifest((await repository.manifest('1.0')).bytes).blobs) await collect(repository.blob(blob))
    }
    await read()
    expect(await readdir(join(root, 'tmp'))).toEqual([])
    expect(await readdir(join(root, 'uploads'))).toEqual([])

    // Deleting and collecting is how an operator makes room.
    const gone = noise(10, 1)
    await expect(repository.putBlob(describeBlob(gone), () => chunks(gone))).rejects.toMatchObject({ status: 507 })
    await registry.server.collectGarbage()
    await rm(filler)
    await read()
    const next = await pushImage(repository, 2, { tag: '2.0', bytes: 2_000_000 })
    expect(await repository.resolve('2.0')).toEqual(next)
    await registry.server.close()
    const again = await startRegistry({ root })
    expect(await again.client().repository('app').resolve('2.0')).toEqual(next)
    await again.server.close()
  })
})
