import { gzipSync } from 'node:zlib'

/** An entry of an archive as anybody could write it. */
export interface OddEntry {
  readonly path: string
  readonly content?: string | Uint8Array
  /** ustar's type flag. Default: a file. */
  readonly type?: string
  /** What the header says, where it lies. */
  readonly size?: number
}

/** A tar for tests: also such as nobody should unpack. */
export function tarOf(entries: readonly OddEntry[]): Uint8Array {
  const parts = entries.flatMap(({ path, content = '', type = '0', size }) => {
    const bytes = Buffer.from(content)
    const header = Buffer.alloc(512)
    header.write(path, 0, 100, 'utf8')
    header.write(`${(size ?? bytes.length).toString(8).padStart(11, '0')}\0`, 124, 'latin1')
    header.write(type, 156, 'latin1')
    header.write('ustar\u000000', 257, 'latin1')
    return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]
  })
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

export function tgzOf(entries: readonly OddEntry[]): Uint8Array {
  return gzipSync(tarOf(entries))
}
