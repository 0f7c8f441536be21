import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { BundleError } from './errors.ts'
import { limits } from './limits.ts'

const block = 512
const decompress = promisify(gunzip)

/**
 * Unpacks a tar, gzipped or not, into a folder that exists and is empty. Only files and folders below it are taken: links, devices,
 * absolute paths and `..` are refused, before anything of the archive is written.
 * @param what names the archive in messages
 * @returns paths of the files
 * @throws BundleError `ArchiveUnsafe`, `TooLarge`
 */
export async function unpack(archive: Uint8Array, dir: string, what: string): Promise<string[]> {
  const files = readTar(await plain(archive, what), what)
  for (const { path, content } of files) {
    const file = join(dir, path)
    await mkdir(dirname(file), { recursive: true })
    // `wx`: a path that is there twice must not be written through.
    await writeFile(file, content, { flag: 'wx', mode: 0o644 }).catch((cause: unknown) => {
      throw unsafe(what, `"${path}" is there twice, or as file and folder`, cause)
    })
  }
  return files.map(({ path }) => path)
}

async function plain(archive: Uint8Array, what: string): Promise<Uint8Array> {
  if (archive.length > limits.packedBytes) throw tooLarge(what, `${limits.packedBytes} bytes`)
  if (archive[0] !== 0x1f || archive[1] !== 0x8b) return archive
  try {
    // Headers and padding beside the files themselves.
    return await decompress(archive, { maxOutputLength: limits.unpackedBytes + 2 * block * limits.unpackedFiles })
  } catch (cause) {
    if (cause instanceof RangeError) throw tooLarge(what, `${limits.unpackedBytes} bytes when it is unpacked`)
    throw unsafe(what, 'it is damaged, or no gzip', cause)
  }
}

interface TarFile {
  readonly path: string
  readonly content: Uint8Array
}

/** ustar, and what GNU tar and Go's writer add: long names (types L and x), and global headers, which say nothing of use. */
function readTar(tar: Uint8Array, what: string): TarFile[] {
  const files: TarFile[] = []
  let longName: string | undefined
  let total = 0
  let headers = 0
  for (let at = 0; at + block <= tar.length; ) {
    const header = tar.subarray(at, at + block)
    if (header.every((byte) => byte === 0)) break
    headers += 1
    if (headers > 4 * limits.unpackedFiles) throw tooLarge(what, `${limits.unpackedFiles} files`)
    const size = sizeOf(header, what)
    const content = tar.subarray(at + block, at + block + size)
    if (content.length < size) throw unsafe(what, 'it is cut off')
    at += block + Math.ceil(size / block) * block
    const type = String.fromCharCode(header[156] ?? 0)
    if (type === 'x' || type === 'L') {
      longName = type === 'L' ? textOf(content) : (paxPath(content) ?? longName)
      continue
    }
    if (type === 'g') continue
    const path = longName ?? headerPath(header)
    longName = undefined
    if (type === '5') {
      if (!/^(?:\.?\/*)?$/.test(path)) checkPath(path.replace(/\/+$/, ''), what)
      continue
    }
    if (type !== '0' && type !== '\0') throw unsafe(what, `"${path.slice(0, 200)}" is a link or a device`)
    total += size
    if (total > limits.unpackedBytes) throw tooLarge(what, `${limits.unpackedBytes} bytes when it is unpacked`)
    files.push({ path: checkPath(path, what), content })
    if (files.length > limits.unpackedFiles) throw tooLarge(what, `${limits.unpackedFiles} files`)
  }
  return files
}

function sizeOf(header: Uint8Array, what: string): number {
  const digits = textOf(header.subarray(124, 136)).trim()
  if (!/^[0-7]{1,12}$/.test(digits)) throw unsafe(what, 'a file has no valid size')
  return Number.parseInt(digits, 8)
}

function headerPath(header: Uint8Array): string {
  const name = textOf(header.subarray(0, 100))
  const isUstar = textOf(header.subarray(257, 262)) === 'ustar'
  const prefix = isUstar && header[263] === 0x30 ? textOf(header.subarray(345, 500)) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

/** Records `LENGTH KEY=VALUE\n` (POSIX pax, "Extended Header"). */
function paxPath(content: Uint8Array): string | undefined {
  const found = /(?:^|\n)\d+ path=([^\n]*)\n/.exec(textOf(content))
  return found?.[1]
}

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8')
}

function checkPath(path: string, what: string): string {
  const clean = path.replace(/^(?:\.\/)+/, '')
  const parts = clean.split('/')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  const odd = clean.length > 1024 || /[\u0000-\u001f\u007f\\]/.test(clean)
  if (odd || parts.length > 64 || parts.some((part) => part === '' || part === '.' || part === '..'))
    throw unsafe(what, `"${path.slice(0, 200)}" is a path that leaves its folder or is not clean`)
  return clean
}

function unsafe(what: string, why: string, cause?: unknown): BundleError {
  return new BundleError('ArchiveUnsafe', `${what} is not unpacked: ${why}.`, { cause })
}

function tooLarge(what: string, bound: string): BundleError {
  return new BundleError('TooLarge', `${what} has more than ${bound}.`)
}
