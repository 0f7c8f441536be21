import { isPlain, unprintable } from './canonical.ts'
import { limits } from './limits.ts'

/**
 * Reads canonical YAML, and only that: many times faster than a whole YAML reader and without its memory, which is what an agent
 * with large bundles feels. For any other text it gives undefined, never another meaning: a YAML reader then decides.
 */
export function readCanonicalYaml(text: string): Record<string, unknown> | undefined {
  try {
    return new Reader(text).document()
  } catch (error) {
    if (error instanceof NotCanonical) return undefined
    throw error
  }
}

class NotCanonical extends Error {}

const numberPattern = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e[-+][0-9]+)?$/
const quotedPattern = /"(?:[^"\\]|\\.)*"/y
/** A surrogate written as an escape, which YAML readers treat in different ways. */
const surrogateEscape = /\\u[dD][89a-fA-F]/

class Reader {
  readonly #lines: string[]
  #at = 0

  constructor(text: string) {
    if (!text.endsWith('\n')) throw new NotCanonical()
    this.#lines = text.slice(0, -1).split('\n')
  }

  document(): Record<string, unknown> {
    const value = this.#map(0, 0)
    if (this.#at < this.#lines.length) throw new NotCanonical()
    return value
  }

  /** Entries at `indent`, of which the first one is where the present line is known to have it. */
  #map(indent: number, depth: number): Record<string, unknown> {
    if (depth > limits.depth) throw new NotCanonical()
    const result: Record<string, unknown> = {}
    let first = true
    for (let line = this.#lines[this.#at]; line !== undefined; line = this.#lines[this.#at]) {
      if (!first && (!indented(line, indent) || line.startsWith('-', indent))) break
      first = false
      const { key, end } = this.#key(line, indent)
      if (Object.hasOwn(result, key) || key === '__proto__' || key === '<<') throw new NotCanonical()
      result[key] = this.#value(line, end + 1, indent, indent, depth + 1)
    }
    return result
  }

  /** A key and where its colon is. */
  #key(line: string, from: number): { key: string; end: number } {
    const found = this.#keyAt(line, from)
    if (found === undefined) throw new NotCanonical()
    return found
  }

  #keyAt(line: string, from: number): { key: string; end: number } | undefined {
    if (line[from] === '"') {
      const token = quotedAt(line, from)
      const end = from + token.length
      if (line[end] !== ':' || (line.length > end + 1 && line[end + 1] !== ' ')) return undefined
      return { key: unquote(token), end }
    }
    let end = line.indexOf(':', from)
    while (end >= 0 && end + 1 < line.length && line[end + 1] !== ' ') end = line.indexOf(':', end + 1)
    if (end < 0) return undefined
    const key = line.slice(from, end)
    return isPlain(key) ? { key, end } : undefined
  }

  /** What follows `key:` or `-` at `from`, on this line or below. */
  #value(line: string, from: number, indent: number, listIndent: number, depth: number): unknown {
    if (depth > limits.depth) throw new NotCanonical()
    if (line.length > from) {
      if (line[from] !== ' ') throw new NotCanonical()
      return this.#leaf(line.slice(from + 1), indent + 2)
    }
    this.#at += 1
    const next = this.#lines[this.#at]
    if (next !== undefined && indented(next, listIndent) && next.startsWith('-', listIndent)) return this.#list(listIndent, depth)
    // Below a dash there is only a list: a map begins on its line.
    if (next === undefined || listIndent !== indent || !indented(next, indent + 2)) throw new NotCanonical()
    return this.#map(indent + 2, depth)
  }

  #list(indent: number, depth: number): unknown[] {
    const items: unknown[] = []
    for (let line = this.#lines[this.#at]; line !== undefined; line = this.#lines[this.#at]) {
      if (!indented(line, indent) || line[indent] !== '-' || (line.length > indent + 1 && line[indent + 1] !== ' ')) break
      const isMap = line.length > indent + 2 && this.#keyAt(line, indent + 2) !== undefined
      items.push(isMap ? this.#map(indent + 2, depth + 1) : this.#value(line, indent + 1, indent, indent + 2, depth + 1))
    }
    if (items.length === 0) throw new NotCanonical()
    return items
  }

  #leaf(text: string, margin: number): unknown {
    this.#at += 1
    if (text.startsWith('|')) return this.#block(text, margin)
    if (text.startsWith('"')) {
      if (quotedAt(text, 0).length !== text.length) throw new NotCanonical()
      return unquote(text)
    }
    switch (text) {
      case 'null':
        return null
      case 'true':
        return true
      case 'false':
        return false
      case '[]':
        return []
      case '{}':
        return {}
      default:
        if (isPlain(text)) return text
        return readNumber(text)
    }
  }

  #block(head: string, margin: number): string {
    if (head !== '|' && head !== '|-' && head !== '|+') throw new NotCanonical()
    const lines: string[] = []
    for (let line = this.#lines[this.#at]; line !== undefined; line = this.#lines[this.#at]) {
      if (line !== '' && leadingSpaces(line) < margin) break
      const content = line.slice(margin)
      if (unprintable.test(content) || (line !== '' && content.trim() === '')) throw new NotCanonical()
      lines.push(content)
      this.#at += 1
    }
    let blank = 0
    while (lines.at(-1) === '') {
      lines.pop()
      blank += 1
    }
    if (lines.length === 0 || lines[0] === '' || /^\s/.test(lines[0] ?? '') || (blank > 0 && head !== '|+')) throw new NotCanonical()
    return lines.join('\n') + (head === '|-' ? '' : '\n'.repeat(blank + 1))
  }
}

function leadingSpaces(line: string): number {
  let at = 0
  while (line[at] === ' ') at += 1
  return at
}

/** Whether a line has exactly this margin and something after it. */
function indented(line: string, indent: number): boolean {
  return line.length > indent && leadingSpaces(line) === indent
}

function quotedAt(line: string, from: number): string {
  quotedPattern.lastIndex = from
  const token = quotedPattern.exec(line)?.[0]
  if (token === undefined) throw new NotCanonical()
  return token
}

function unquote(token: string): string {
  if (unprintable.test(token) || surrogateEscape.test(token)) throw new NotCanonical()
  try {
    const value: unknown = JSON.parse(token)
    if (typeof value === 'string' && value.isWellFormed()) return value
  } catch {
    // An escape that only YAML has.
  }
  throw new NotCanonical()
}

function readNumber(text: string): number {
  const value = Number(text)
  if (!numberPattern.test(text) || !Number.isFinite(value)) throw new NotCanonical()
  // Written as an integer, it must be exact.
  if (/^-?[0-9]+$/.test(text) && !Number.isSafeInteger(value)) throw new NotCanonical()
  return value
}
