/** An element of DER (X.690, 8.1, 10.1): its tag, and its content. Just what the parameters of an encrypted key need. */
export interface DerElement {
  readonly tag: number
  readonly content: Uint8Array
}

export const derTags = { integer: 0x02, octets: 0x04, nothing: 0x05, oid: 0x06, sequence: 0x30 } as const

/** The elements that `bytes` consist of, one after the other. @throws Error where they are not DER */
export function readDer(bytes: Uint8Array): DerElement[] {
  const elements: DerElement[] = []
  for (let at = 0; at < bytes.length; ) {
    const { tag, start, end } = header(bytes, at)
    if (end > bytes.length) throw new Error('an element is longer than what holds it')
    elements.push({ tag, content: bytes.subarray(start, end) })
    at = end
  }
  return elements
}

/** The elements of a sequence. @throws Error where it is none, or has fewer than `least` */
export function readSequence(element: DerElement | undefined, least: number): DerElement[] {
  if (element?.tag !== derTags.sequence) throw new Error('no sequence where one is due')
  const elements = readDer(element.content)
  if (elements.length < least) throw new Error('a sequence is too short')
  return elements
}

/** An object identifier in dotted decimals. @throws Error */
export function readOid(element: DerElement | undefined): string {
  if (element?.tag !== derTags.oid || element.content.length === 0 || element.content.length > 32) throw new Error('no object identifier')
  const arcs: number[] = []
  let arc = 0
  for (const byte of element.content) {
    arc = arc * 128 + (byte & 0x7f)
    if (arc > Number.MAX_SAFE_INTEGER / 128) throw new Error('an object identifier is too large')
    if (byte & 0x80) continue
    arcs.push(arc)
    arc = 0
  }
  const [first = 0, ...others] = arcs
  const top = Math.min(2, Math.floor(first / 40))
  return [top, first - top * 40, ...others].join('.')
}

/** A small whole number that is not negative. @throws Error */
export function readInteger(element: DerElement | undefined): number {
  if (element?.tag !== derTags.integer || element.content.length === 0 || element.content.length > 5) throw new Error('no small integer')
  if ((element.content[0] ?? 0) & 0x80) throw new Error('a negative integer')
  return element.content.reduce((value, byte) => value * 256 + byte, 0)
}

export function readOctets(element: DerElement | undefined): Uint8Array {
  if (element?.tag !== derTags.octets) throw new Error('no octet string')
  return element.content
}

function header(bytes: Uint8Array, at: number): { tag: number; start: number; end: number } {
  const tag = bytes[at]
  const short = bytes[at + 1]
  if (tag === undefined || short === undefined || (tag & 0x1f) === 0x1f) throw new Error('no element of a simple tag')
  if (short < 0x80) return { tag, start: at + 2, end: at + 2 + short }
  const size = short & 0x7f
  const start = at + 2 + size
  if (size === 0 || size > 3 || start > bytes.length) throw new Error('no definite length')
  const length = bytes.subarray(at + 2, start).reduce((value, byte) => value * 256 + byte, 0)
  if (length < (size === 1 ? 0x80 : 256 ** (size - 1))) throw new Error('a length that is not the shortest')
  return { tag, start, end: start + length }
}

export function writeDer(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const size = content.length < 0x80 ? 0 : content.length < 0x100 ? 1 : content.length < 0x10000 ? 2 : 3
  const length = Buffer.alloc(1 + size, size === 0 ? content.length : 0x80 | size)
  if (size > 0) length.writeUIntBE(content.length, 1, size)
  return Buffer.concat([Buffer.of(tag), length, content])
}

export function writeOid(dotted: string): Buffer {
  const [top = 0, second = 0, ...others] = dotted.split('.').map(Number)
  const bytes = [top * 40 + second, ...others].flatMap((arc) => {
    const groups = [arc & 0x7f]
    for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) groups.unshift((rest & 0x7f) | 0x80)
    return groups
  })
  return writeDer(derTags.oid, Buffer.from(bytes))
}

/** @param value not negative, below 2^40 */
export function writeInteger(value: number): Buffer {
  const bytes: number[] = []
  for (let rest = value; rest > 0 || bytes.length === 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256)
  if ((bytes[0] ?? 0) & 0x80) bytes.unshift(0)
  return writeDer(derTags.integer, Buffer.from(bytes))
}
