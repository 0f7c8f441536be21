import { BundleError } from './errors.ts'

/** A file of an archive. */
export interface ArchiveEntry {
  /** At most 100 characters: letters, digits, `.`, `_`, `-`, and `/` between names. */
  readonly path: string
  readonly content: Uint8Array
}

const block = 512
const pathPattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/
const maximumPath = 100

/**
 * A ustar archive (POSIX.1-1988) whose bytes depend on paths and contents alone: mode 0644, owner 0, time 0.
 * @throws BundleError `FormatInvalid` for a path that it does not take
 */
export function writeUstar(entries: readonly ArchiveEntry[]): Uint8Array {
  const size = entries.reduce((sum, { content }) => sum + block + padded(content.length), 2 * block)
  const archive = new Uint8Array(size)
  let at = 0
  for (const { path, content } of entries) {
    if (path.length > maximumPath || !pathPattern.test(path)) throw invalid(`"${path}" is not a path for an archive`)
    archive.set(header(path, content.length), at)
    archive.set(content, at + block)
    at += block + padded(content.length)
  }
  return archive
}

function padded(size: number): number {
  return Math.ceil(size / block) * block
}

function header(path: string, size: number): Uint8Array {
  const bytes = new Uint8Array(block)
  const put = (text: string, at: number) => bytes.set(Buffer.from(text, 'latin1'), at)
  put(path, 0)
  put('0000644\u0000', 100)
  put('0000000\u0000', 108)
  put('0000000\u0000', 116)
  put(`${size.toString(8).padStart(11, '0')}\u0000`, 124)
  put('00000000000\u0000', 136)
  put('        ', 148)
  put('0', 156)
  put('ustar\u000000', 257)
  put('0000000\u0000', 329)
  put('0000000\u0000', 337)
  const sum = bytes.reduce((total, byte) => total + byte, 0)
  put(`${sum.toString(8).padStart(6, '0')}\u0000 `, 148)
  return bytes
}

/**
 * Reads an archive that {@link writeUstar} could have written, and no other: its header has one form, so links, devices, absolute
 * paths, lying sizes and hidden bytes have nowhere to be. Contents are views of `archive`.
 * @throws BundleError `FormatInvalid`, `TooLarge` past `maximumEntries`
 */
export function readUstar(archive: Uint8Array, maximumEntries: number): ArchiveEntry[] {
  if (archive.length % block !== 0 || archive.length < 2 * block) throw invalid('the archive is cut off')
  const entries: ArchiveEntry[] = []
  const end = archive.length - 2 * block
  let at = 0
  while (at < end) {
    if (entries.length >= maximumEntries)
      throw new BundleError('TooLarge', `An archive of this bundle holds more than ${maximumEntries} files.`)
    const found = archive.subarray(at, at + block)
    const { path, size } = readHeader(found)
    const next = at + block + padded(size)
    if (next > end) throw invalid(`${path} is longer than the archive`)
    if (!isZero(archive.subarray(at + block + size, next))) throw invalid(`bytes follow the end of ${path}`)
    entries.push({ path, content: archive.subarray(at + block, at + block + size) })
    at = next
  }
  if (!isZero(archive.subarray(end))) throw invalid('the archive does not end as one')
  return entries
}

function readHeader(bytes: Uint8Array): { path: string; size: number } {
  const text = Buffer.from(bytes).toString('latin1')
  const zero = text.indexOf('\u0000')
  const path = text.slice(0, zero < 0 || zero > maximumPath ? maximumPath : zero)
  const digits = text.slice(124, 135)
  if (!pathPattern.test(path)) throw invalid('a file has a path that is not allowed')
  if (!/^[0-7]{11}$/.test(digits)) throw invalid(`${path} has no valid size`)
  const size = Number.parseInt(digits, 8)
  if (!Buffer.from(header(path, size)).equals(bytes)) throw invalid(`the header of ${path} is not one that a bundle has`)
  return { path, size }
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}

function invalid(why: string): BundleError {
  return new BundleError('FormatInvalid', `This is not a bundle's archive: ${why}. Publish the bundle again.`)
}
