import { TrustError } from '../errors.ts'

/** Deeper JSON is not read: no statement, SBOM or envelope comes near. */
export const maxJsonDepth = 128

/**
 * Parses JSON from outside within bounds of size and depth. What is too deep is refused before it is parsed, so that no later walk
 * over it can exhaust the stack.
 * @param what how the sentence of a refusal begins, such as "A signature on sha256:…"
 * @throws TrustError `UnknownFormat`
 */
export function parseBounded(bytes: Uint8Array, { limit, what }: { readonly limit: number; readonly what: string }): unknown {
  if (bytes.length > limit) throw new TrustError('UnknownFormat', `${what} is larger than ${limit} bytes, and was not read.`)
  if (deeperThan(bytes, maxJsonDepth)) throw new TrustError('UnknownFormat', `${what} is JSON nested deeper than ${maxJsonDepth} levels.`)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new TrustError('UnknownFormat', `${what} is not JSON in UTF-8.`, cause)
  }
}

const quote = 0x22
const backslash = 0x5c

/** Counts brackets outside strings; in UTF-8 none of these bytes is a part of another character. */
function deeperThan(bytes: Uint8Array, limit: number): boolean {
  let depth = 0
  let inString = false
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at]
    if (inString) {
      if (byte === backslash) at += 1
      else if (byte === quote) inString = false
    } else if (byte === quote) inString = true
    else if (byte === 0x5b || byte === 0x7b) {
      depth += 1
      if (depth > limit) return true
    } else if (byte === 0x5d || byte === 0x7d) depth -= 1
  }
  return false
}

/**
 * What looks like other text than it is: characters that are not seen or that turn the direction of writing (Unicode categories
 * Cc, Cf, Co, Cs, line separators), and text that is not in its composed form (NFC).
 */
export function looksLikeOther(text: string): boolean {
  return /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/u.test(text) || text.normalize('NFC') !== text
}

/** Printable ASCII without spaces: all that an identifier that is compared may have. */
export function isPlain(text: string): boolean {
  return /^[\x21-\x7e]{1,512}$/.test(text)
}
