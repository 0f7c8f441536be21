import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { posix } from 'node:path'
import type { FileContent, LayerEntry } from './entry.ts'
import { ImageError } from './errors.ts'

const block = 512
const encoder = new TextEncoder()

/**
 * A tar archive as a stream of chunks: POSIX ustar, with a pax header (POSIX.1-2001) before an entry only where a path, a link
 * or a size does not fit. The same entries and `mtime` give the same bytes, everywhere. Entries are written in the order given
 * (see `arrange`).
 * @param mtime seconds since 1970 that every entry gets
 * @throws ImageError `SourceChanged` when a file no longer has the content its entry was made with
 */
export async function* writeTar(entries: Iterable<LayerEntry>, mtime: number): AsyncGenerator<Uint8Array> {
  for (const entry of entries) {
    yield* header(entry, mtime)
    if (entry.kind === 'file') {
      yield* readContent(entry.content, entry.path)
      const rest = entry.content.size % block
      if (rest !== 0) yield new Uint8Array(block - rest)
    }
  }
  yield new Uint8Array(2 * block)
}

function* header(entry: LayerEntry, mtime: number): Generator<Uint8Array> {
  const path = entry.kind === 'directory' ? `${entry.path}/` : entry.path
  const size = entry.kind === 'file' ? entry.content.size : 0
  const link = entry.kind === 'symlink' ? entry.target : ''
  const split = splitPath(path)
  const pax: [string, string][] = []
  if (split === undefined) pax.push(['path', path])
  if (!fits(link, 100)) pax.push(['linkpath', link])
  if (size > 0o77777777777) pax.push(['size', String(size)])
  if (pax.length > 0) {
    const records = encoder.encode(pax.map(([key, value]) => paxRecord(key, value)).join(''))
    yield ustar({ prefix: '', name: 'pax', type: 'x', mode: 0o644, uid: 0, gid: 0, size: records.length, mtime, link: '' })
    yield records
    const rest = records.length % block
    if (rest !== 0) yield new Uint8Array(block - rest)
  }
  yield ustar({
    // Read only by a tar without pax: any name that is cut will do.
    ...(split ?? { prefix: '', name: ascii(posix.basename(path)).slice(0, 100) }),
    type: entry.kind === 'file' ? '0' : entry.kind === 'symlink' ? '2' : '5',
    mode: entry.kind === 'symlink' ? 0o777 : entry.mode,
    uid: entry.uid ?? 0,
    gid: entry.gid ?? 0,
    size: size > 0o77777777777 ? 0 : size,
    mtime,
    link: fits(link, 100) ? link : ascii(link).slice(0, 100),
  })
}

/** ustar keeps a path in two fields, cut at a slash; undefined when it does not fit, or is not ASCII. */
function splitPath(path: string): { prefix: string; name: string } | undefined {
  if (fits(path, 100)) return { prefix: '', name: path }
  if (!fits(path, 256)) return undefined
  for (let cut = path.indexOf('/'); cut !== -1 && cut <= 155; cut = path.indexOf('/', cut + 1)) {
    const name = path.slice(cut + 1)
    if (cut > 0 && name !== '' && name.length <= 100) return { prefix: path.slice(0, cut), name }
  }
  return undefined
}

function fits(text: string, length: number): boolean {
  return text.length <= length && ascii(text) === text
}

function ascii(text: string): string {
  return text.replace(/[^ -~]/gu, '_')
}

/** "length key=value\n", where the length counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`)
  let length = rest + String(rest).length
  if (rest + String(length).length !== length) length = rest + String(length).length
  return `${length} ${key}=${value}\n`
}

interface Ustar {
  readonly prefix: string
  readonly name: string
  readonly type: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtime: number
  readonly link: string
}

function ustar(fields: Ustar): Uint8Array {
  const bytes = Buffer.alloc(block)
  const octal = (value: number, offset: number, width: number) =>
    bytes.write(`${value.toString(8).padStart(width - 1, '0')}\0`, offset, 'latin1')
  bytes.write(fields.name, 0, 100, 'latin1')
  octal(fields.mode, 100, 8)
  octal(fields.uid, 108, 8)
  octal(fields.gid, 116, 8)
  octal(fields.size, 124, 12)
  octal(fields.mtime, 136, 12)
  bytes.fill(' ', 148, 156)
  bytes.write(fields.type, 156, 'latin1')
  bytes.write(fields.link, 157, 100, 'latin1')
  bytes.write('ustar\x0000', 257, 'latin1')
  octal(0, 329, 8)
  octal(0, 337, 8)
  bytes.write(fields.prefix, 345, 155, 'latin1')
  let sum = 0
  for (const byte of bytes) sum += byte
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return bytes
}

async function* readContent(content: FileContent, path: string): AsyncGenerator<Uint8Array> {
  if ('bytes' in content) {
    if (content.size > 0) yield content.bytes
    return
  }
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of createReadStream(content.file, { highWaterMark: 1 << 20 })) {
    const bytes = chunk as Buffer
    size += bytes.length
    if (size > content.size) break
    hash.update(bytes)
    yield bytes
  }
  if (size !== content.size || hash.digest('hex') !== content.sha256) {
    throw new ImageError(
      'SourceChanged',
      `${content.file} (in the image /${path}) changed while it was packed. Build again when nothing writes to it.`,
    )
  }
}
