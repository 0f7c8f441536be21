import { OciError } from '../errors.ts'

/** A regular file of a tar archive. */
export interface TarEntry {
  readonly name: string
  /** Of its content, in bytes. */
  readonly size: number
}

export const blockBytes = 512
/** Names that OCI layouts have are shorter; longer ones, of what else lies in the archive, come by pax or GNU records up to this. */
const maximumRecordBytes = 64 * 1024

/** What the content of `size` bytes takes in a tar. */
export function padded(size: number): number {
  return Math.ceil(size / blockBytes) * blockBytes
}

/** A ustar header (POSIX.1-1988), always the same for the same entry. Sizes from 8 GiB on are written as GNU tar does. */
export function tarHeader({ name, size }: TarEntry): Uint8Array {
  const header = Buffer.alloc(blockBytes)
  if (Buffer.byteLength(name) > 100) throw new RangeError(`a name of more than 100 bytes in an archive: ${name}`)
  header.write(name, 0, 'utf8')
  header.write('0000644\0', 100, 'latin1')
  header.write('0000000\0', 108, 'latin1')
  header.write('0000000\0', 116, 'latin1')
  if (size < 8 ** 11) header.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1')
  else {
    header[124] = 0x80
    header.writeBigUInt64BE(BigInt(size), 128)
  }
  header.write('00000000000\0', 136, 'latin1')
  header.write('        0', 148, 'latin1')
  header.write('ustar\u000000', 257, 'latin1')
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return header
}

/** What a header says. */
export interface TarHeader extends TarEntry {
  readonly kind: 'file' | 'folder' | 'pax' | 'long-name' | 'ignored'
}

/**
 * Reads a header, or undefined for the zero block at the end.
 * @throws OciError `InvalidArchive` for what is not a tar header, and for links, devices and whatever else a layout never holds
 */
export function readTarHeader(block: Uint8Array, where: string): TarHeader | undefined {
  const header = Buffer.from(block.buffer, block.byteOffset, block.byteLength)
  if (header.every((byte) => byte === 0)) return undefined
  const stored = octal(header.subarray(148, 156))
  const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0)
  if (stored !== sum) throw invalidArchive(where, 'a header has a wrong checksum: it is no tar, or it is damaged')
  const size = sizeOf(header.subarray(124, 136))
  if (size === undefined) throw invalidArchive(where, 'a header has no valid size')
  const prefix = header.toString('latin1', 257, 262) === 'ustar' && header[262] === 0 ? text(header.subarray(345, 500)) : ''
  const name = text(header.subarray(0, 100))
  return { name: prefix === '' ? name : `${prefix}/${name}`, size, kind: kindOf(header[156] ?? 0, name, where) }
}

function kindOf(type: number, name: string, where: string): TarHeader['kind'] {
  switch (String.fromCharCode(type)) {
    case '\0':
    case '0':
    case '7':
      return 'file'
    case '5':
      return 'folder'
    case 'x':
      return 'pax'
    case 'g':
      return 'ignored'
    case 'L':
      return 'long-name'
    default:
      throw invalidArchive(where, `"${printable(name)}" is a link or a device, which an OCI layout never holds`)
  }
}

/**
 * The `path` and `size` of a pax record (POSIX.1-2001, "pax Extended Header").
 * @throws OciError `InvalidArchive`
 */
export function readPax(bytes: Uint8Array, where: string): { path?: string; size?: number } {
  const result: { path?: string; size?: number } = {}
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at < data.length && data[at] !== 0; ) {
    const length = Number(/^([0-9]{1,6}) /.exec(data.toString('latin1', at, at + 8))?.[1])
    if (!(length > 0) || at + length > data.length) throw invalidArchive(where, 'a pax record is malformed')
    const record = data.toString('utf8', at + String(length).length + 1, at + length - 1)
    const equals = record.indexOf('=')
    const key = record.slice(0, equals)
    const value = record.slice(equals + 1)
    if (key === 'path') result.path = value
    if (key === 'size') {
      if (!/^[0-9]{1,15}$/.test(value)) throw invalidArchive(where, 'a pax record has no valid size')
      result.size = Number(value)
    }
    at += length
  }
  return result
}

/**
 * The name of an entry as a layout has it, without `./`.
 * @throws OciError `InvalidArchive` for a name that leads out of the archive
 */
export function entryName(name: string, where: string): string {
  const plain = name.replace(/^(?:\.\/)+/, '')
  if (plain.startsWith('/') || plain.includes('\0') || plain.split('/').includes('..'))
    throw invalidArchive(where, `"${printable(name)}" leads out of the archive`)
  return plain
}

/** @throws OciError `InvalidArchive` for a record that is longer than any name */
export function recordSize(size: number, where: string): number {
  if (size > maximumRecordBytes) throw invalidArchive(where, `a record of ${size} bytes stands where a name should`)
  return size
}

export function invalidArchive(where: string, why: string, cause?: unknown): OciError {
  return new OciError('InvalidArchive', `${where} cannot be used: ${why}. Write it anew, or copy it again from where it came.`, { cause })
}

function sizeOf(field: Buffer): number | undefined {
  if (field[0] === 0x80) {
    const size = field.readBigUInt64BE(4)
    return field.readUInt32BE(0) === 0x80000000 && size <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(size) : undefined
  }
  return octal(field)
}

function octal(field: Buffer): number | undefined {
  const digits = /^ *([0-7]{1,12})[ \0]*$/.exec(field.toString('latin1'))?.[1]
  return digits === undefined ? undefined : Number.parseInt(digits, 8)
}

function text(field: Buffer): string {
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end < 0 ? field.length : end)
}

export function printable(name: string): string {
  return name.slice(0, 120).replace(/[^\x20-\x7e]/g, '?')
}
