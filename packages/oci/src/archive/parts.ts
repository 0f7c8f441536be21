import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { readBounded, storageError } from '../disk.ts'
import { OciError } from '../errors.ts'
import { invalidArchive, printable } from './tar.ts'

/** A part of an archive that was split, and what it must hash to. */
export interface Part {
  readonly name: string
  /** 64 hex digits. */
  readonly sha256: string
}

const maximumListBytes = 4 * 1024 * 1024
const maximumParts = 20_000

export function partName(file: string, at: number): string {
  return `${basename(file)}.part${String(at + 1).padStart(4, '0')}`
}

/** The file that lists the parts of `file`, as sha256sum reads it. */
export function partsListPath(file: string): string {
  return `${file}.sha256`
}

export function writePartsList(parts: readonly Part[]): Uint8Array {
  return new TextEncoder().encode(parts.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join(''))
}

/**
 * The parts of a split archive, in their order; undefined where `file` has no list of parts.
 * @throws OciError `InvalidArchive`
 */
export async function readPartsList(file: string): Promise<Part[] | undefined> {
  const path = partsListPath(file)
  const bytes = await readBounded(path, maximumListBytes)
  if (bytes === undefined) return undefined
  const lines = new TextDecoder()
    .decode(bytes)
    .split('\n')
    .filter((line) => line !== '')
  if (lines.length === 0 || lines.length > maximumParts) throw invalidArchive(path, `it lists ${lines.length} parts`)
  return lines.map((line, at) => {
    const [, sha256, name] = /^([0-9a-f]{64}) [ *](.+)$/.exec(line) ?? []
    // Only the names that belong to it: a list is no licence to read other files.
    if (sha256 === undefined || name !== partName(file, at)) {
      throw invalidArchive(path, `line ${at + 1} is not the checksum of ${partName(file, at)}, but "${printable(line)}"`)
    }
    return { name, sha256 }
  })
}

/**
 * Reads every part through, before any of it is believed.
 * @throws OciError `DigestMismatch` with the name of the part, `NotFound`
 */
export async function verifyParts(file: string, parts: readonly Part[], signal?: AbortSignal): Promise<void> {
  for (const { name, sha256 } of parts) {
    const path = join(dirname(file), name)
    const actual = await sha256Of(path, signal)
    if (actual === undefined)
      throw new OciError('NotFound', `${path}, one of the ${parts.length} parts of ${file}, is not there. Copy it here.`)
    if (actual !== sha256) {
      throw new OciError(
        'DigestMismatch',
        `${path} has the checksum ${actual}, and not ${sha256} as ${partsListPath(file)} says. Copy it again.`,
      )
    }
  }
}

/** The checksum of a file; undefined where there is none. */
export async function sha256Of(path: string, signal?: AbortSignal): Promise<string | undefined> {
  const hash = createHash('sha256')
  try {
    const options = { highWaterMark: 1024 * 1024, ...(signal === undefined ? {} : { signal }) }
    for await (const chunk of createReadStream(path, options)) hash.update(chunk as Uint8Array)
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw storageError(error, path)
  }
  return hash.digest('hex')
}
