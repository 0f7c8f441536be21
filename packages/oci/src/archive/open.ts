import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream'
import { createZstdDecompress } from 'node:zlib'
import { errno, storageError, writeAll } from '../disk.ts'
import { OciError } from '../errors.ts'
import { FileBytes, type RandomBytes } from './bytes.ts'
import { type Part, readPartsList, verifyParts } from './parts.ts'
import { invalidArchive } from './tar.ts'
import { isZstd, readSeekTable, ZstdBytes } from './zstd.ts'

export interface OpenArchiveOptions {
  /** Where an archive is unpacked that others compressed, and that cannot be read from anywhere. Default: the system's. */
  readonly temporary?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * The bytes of the tar: of a file or of its parts (verified), as they are or out of zstd.
 * @throws OciError `NotFound`, `DigestMismatch` for a damaged part, `InvalidArchive`, `Unsupported`, `Storage`
 */
export async function openTar(file: string, options: OpenArchiveOptions): Promise<RandomBytes> {
  const paths = await pathsOf(file, options.signal)
  const bytes = await FileBytes.open(paths)
  try {
    const start = await bytes.read(0, Math.min(4, bytes.size))
    if (start[0] === 0x1f && start[1] === 0x8b) {
      throw new OciError('Unsupported', `${file} is compressed with gzip. Unpack it first (gunzip), or write it as .tar or .tar.zst.`)
    }
    if (!isZstd(start)) return bytes
    const frames = await readSeekTable(bytes, file)
    if (frames !== undefined) return new ZstdBytes(bytes, frames, file)
    await bytes.close()
    return await unpacked(file, paths, options)
  } catch (error) {
    await bytes.close()
    throw error
  }
}

async function pathsOf(file: string, signal: AbortSignal | undefined): Promise<string[]> {
  if (await exists(file)) return [file]
  const parts: Part[] | undefined = await readPartsList(file)
  if (parts === undefined)
    throw new OciError('NotFound', `There is no archive ${file}, and no list ${file}.sha256 of its parts. Check the path.`)
  await verifyParts(file, parts, signal)
  return parts.map(({ name }) => join(dirname(file), name))
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file)
    return true
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return false
    throw storageError(error, file)
  }
}

/** Unpacks into a file without a name, which is gone with the process however it ends. */
async function unpacked(file: string, paths: readonly string[], { temporary, signal }: OpenArchiveOptions): Promise<RandomBytes> {
  const path = join(temporary ?? tmpdir(), `muster-${randomUUID()}.tar`)
  const target = await open(path, 'wx')
  try {
    const chunks = pipeline(readAllOf(paths), createZstdDecompress(), () => {})
    try {
      for await (const chunk of chunks) {
        signal?.throwIfAborted()
        await writeAll(target, chunk as Uint8Array).catch((error: unknown) => {
          throw storageError(error, path)
        })
      }
    } catch (error) {
      if (error instanceof OciError || signal?.aborted === true) throw error
      throw invalidArchive(file, 'its zstd compression is damaged, or it is truncated', error)
    }
    return await FileBytes.open([path])
  } finally {
    await target.close()
    await rm(path, { force: true })
  }
}

async function* readAllOf(paths: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const path of paths) yield* createReadStream(path, { highWaterMark: 512 * 1024 })
}
