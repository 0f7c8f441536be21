import { BundleError } from './errors.ts'
import { limits } from './limits.ts'
import { isRecord, type KubeObjectLike } from './object.ts'

/** Set by the API server, so never part of what is wanted. */
const serverSet: ReadonlySet<string> = new Set(['creationTimestamp', 'generation', 'managedFields', 'resourceVersion', 'selfLink', 'uid'])
const firstKeys = ['apiVersion', 'kind', 'metadata', 'spec']

/**
 * The object without what only a server writes: `status`, and in metadata creationTimestamp, generation, managedFields,
 * resourceVersion, selfLink and uid; `creationTimestamp: null`, which generators leave in nested metadata, goes too.
 */
export function withoutServerFields(object: KubeObjectLike): KubeObjectLike {
  const { status: _, ...rest } = object
  const metadata = Object.fromEntries(Object.entries(object.metadata).filter(([key]) => !serverSet.has(key)))
  const cleaned = Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [key, key === 'metadata' ? metadata : withoutNullTimestamps(value)]),
  )
  return { ...cleaned, apiVersion: object.apiVersion, kind: object.kind, metadata: { ...metadata, name: object.metadata.name } }
}

function withoutNullTimestamps(value: unknown, inMetadata = false): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutNullTimestamps(item))
  if (!isRecord(value)) return value
  const kept = Object.entries(value).filter(([key, item]) => !(inMetadata && key === 'creationTimestamp' && item === null))
  return Object.fromEntries(kept.map(([key, item]) => [key, withoutNullTimestamps(item, key === 'metadata')]))
}

/**
 * An object as canonical YAML: apiVersion, kind, metadata, spec, then the other keys sorted; every nested map sorted by code unit;
 * block style, two spaces, lists not indented; strings that some YAML version reads as another type are quoted. The writer is our
 * own, as its bytes are part of the format: a library's next release must not change a bundle's digest.
 * @throws BundleError `TooLarge` over 3 MiB, `ManifestInvalid` for what JSON cannot carry or nesting over 100
 */
export function canonicalYaml(object: KubeObjectLike): string {
  const writer = new Writer(describe(object))
  writer.map(object, topKeys(object), 0, 0)
  return writer.text()
}

function topKeys(object: KubeObjectLike): string[] {
  const rest = Object.keys(object).filter((key) => !firstKeys.includes(key))
  return [...firstKeys.filter((key) => key in object), ...rest.sort(byCodeUnit)]
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function describe(object: KubeObjectLike): string {
  return `${object.kind} ${object.metadata.name}`
}

class Writer {
  readonly #what: string
  readonly #parts: string[] = []
  #length = 0

  constructor(what: string) {
    this.#what = what
  }

  text(): string {
    const text = this.#parts.join('')
    if (Buffer.byteLength(text) > limits.objectBytes) throw this.#tooLarge()
    return text
  }

  /** Writes entries, one a line; the first one goes on where the line is. */
  map(value: Record<string, unknown>, keys: readonly string[], indent: number, depth: number): void {
    keys.forEach((key, at) => {
      if (key === '__proto__') throw this.#invalid('has a key "__proto__"')
      // Go's reader takes even a quoted one for a merge, and drops it.
      if (key === '<<') throw this.#invalid('has a key "<<"')
      const name = scalar(key, this.#what)
      if (name.length > 1000) throw this.#invalid(`has a key of ${key.length} characters, and YAML takes 1,000`)
      this.#write(`${at === 0 ? '' : ' '.repeat(indent)}${name}:`)
      this.#value(value[key], indent, indent, depth + 1)
    })
  }

  /** What follows `key:`. A map below it is indented by two, a list is not. */
  #value(value: unknown, indent: number, listIndent: number, depth: number): void {
    if (depth > limits.depth) throw this.#invalid(`is nested more than ${limits.depth} levels deep`)
    if (Array.isArray(value) && value.length > 0) {
      this.#write('\n')
      for (const item of value) this.#item(item, listIndent, depth + 1)
      return
    }
    if (isRecord(value) && Object.keys(value).length > 0) {
      this.#write(`\n${' '.repeat(indent + 2)}`)
      this.map(value, Object.keys(value).sort(byCodeUnit), indent + 2, depth)
      return
    }
    this.#write(` ${this.#leaf(value, indent + 2)}\n`)
  }

  #item(value: unknown, indent: number, depth: number): void {
    if (depth > limits.depth) throw this.#invalid(`is nested more than ${limits.depth} levels deep`)
    this.#write(`${' '.repeat(indent)}-`)
    if (isRecord(value) && Object.keys(value).length > 0) {
      this.#write(' ')
      this.map(value, Object.keys(value).sort(byCodeUnit), indent + 2, depth)
      return
    }
    this.#value(value, indent, indent + 2, depth)
  }

  #leaf(value: unknown, indent: number): string {
    if (value === null || value === undefined) return 'null'
    if (Array.isArray(value)) return '[]'
    switch (typeof value) {
      case 'boolean':
        return String(value)
      case 'number':
        return this.#number(value)
      case 'string':
        return literalBlock(value, indent) ?? scalar(value, this.#what)
      case 'object':
        return '{}'
      default:
        throw this.#invalid(`holds a ${typeof value}, which JSON cannot carry`)
    }
  }

  #number(value: number): string {
    if (!Number.isFinite(value)) throw this.#invalid(`holds the number ${value}, which JSON cannot carry`)
    // A whole number past 2^53 came from a float: written as one, so that no reader takes it for an exact integer.
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) return value.toExponential()
    return String(value === 0 ? 0 : value)
  }

  #write(part: string): void {
    this.#length += part.length
    if (this.#length > limits.objectBytes) throw this.#tooLarge()
    this.#parts.push(part)
  }

  #invalid(why: string): BundleError {
    return new BundleError('ManifestInvalid', `${this.#what} ${why}.`)
  }

  #tooLarge(): BundleError {
    return new BundleError(
      'TooLarge',
      `${this.#what} takes more than ${limits.objectBytes} bytes as YAML, which no API server accepts. Split it.`,
    )
  }
}

const plainPattern = /^(?:[A-Za-z_/]|\.\/|--[A-Za-z])(?:[ ]?[A-Za-z0-9_./:@=+,%-])*$/
/** Words that YAML 1.1 or 1.2 reads as booleans or null, in any case. */
const reserved: ReadonlySet<string> = new Set(['y', 'n', 'yes', 'no', 'on', 'off', 'true', 'false', 'null'])
/** What YAML forbids in text, and the tab, which readers take for indentation. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is escaped
export const unprintable = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/
const escaped = new RegExp(unprintable, 'g')

/** Whether text is written as it is: every YAML reader then reads a string. */
export function isPlain(text: string): boolean {
  return text.length <= 400 && plainPattern.test(text) && !/:(?: |$)/.test(text) && !reserved.has(text.toLowerCase())
}

function scalar(text: string, what: string): string {
  if (!text.isWellFormed()) throw new BundleError('ManifestInvalid', `${what} holds text with half a surrogate pair, which is no Unicode.`)
  if (isPlain(text)) return text
  // JSON's escapes are YAML's too (YAML 1.2, 5.7); what JSON leaves and YAML forbids is escaped after.
  return JSON.stringify(text).replace(escaped, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Text of several lines as a literal block, where that reads back the same in every YAML reader. */
function literalBlock(text: string, indent: number): string | undefined {
  let end = 0
  while (end < text.length && text[text.length - 1 - end] === '\n') end += 1
  const body = text.slice(0, text.length - end)
  if (!body.includes('\n') && end === 0) return undefined
  if (body === '' || /^[\s]/.test(body) || unprintable.test(text) || !text.isWellFormed()) return undefined
  const lines = body.split('\n')
  // A line of blanks alone is read differently by different readers.
  if (lines.some((line) => line !== '' && line.trim() === '')) return undefined
  const chomp = end === 0 ? '-' : end === 1 ? '' : '+'
  const margin = ' '.repeat(indent)
  return `|${chomp}\n${lines.map((line) => (line === '' ? '' : margin + line)).join('\n')}${'\n'.repeat(Math.max(0, end - 1))}`
}
