/** One challenge of a WWW-Authenticate header (RFC 9110, 11.6.1). `scheme` and parameter names are lower-case. */
export interface Challenge {
  readonly scheme: string
  readonly parameters: ReadonlyMap<string, string>
}

const maximumHeader = 8192
const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const quoted = /"((?:[^"\\]|\\.)*)"/y
const space = /[ \t]*/y

/** Reads the challenges of a header; what does not parse is left out. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  const text = header.slice(0, maximumHeader)
  let at = 0
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (match === null) return undefined
    at = pattern.lastIndex
    return match[1] ?? match[0]
  }
  while (at < text.length) {
    take(space)
    if (text[at] === ',') {
      at += 1
      continue
    }
    const word = take(token)
    if (word === undefined) break
    take(space)
    const current = challenges.at(-1)
    if (text[at] === '=' && current !== undefined) {
      at += 1
      take(space)
      const value = text[at] === '"' ? take(quoted)?.replace(/\\(.)/g, '$1') : take(token)
      if (value === undefined) break
      current.parameters.set(word.toLowerCase(), value)
    } else {
      challenges.push({ scheme: word.toLowerCase(), parameters: new Map() })
    }
  }
  return challenges
}
