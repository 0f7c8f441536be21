const longest = 255

/** Whether `text` can be a pattern of repositories or tags: names with `*` (within a part of a path) and `**` (over any parts). */
export function isPattern(text: string): boolean {
  return text.length > 0 && text.length <= longest && /^[A-Za-z0-9._/*-]+$/.test(text) && !text.includes('***')
}

/**
 * Whether a name matches a pattern, from its first character to its last. `*` stands for any characters but `/`, `**` for any; a
 * pattern that ends in `/**` also matches the name without that end. Takes time in proportion to both lengths at most multiplied,
 * whatever the pattern: no regular expression, so nothing to blow up.
 */
export function matches(pattern: string, name: string): boolean {
  const star = pattern.indexOf('*')
  if (star < 0) return pattern === name
  // The usual kind: everything below a name.
  if (star === pattern.length - 2 && pattern.endsWith('/**')) return name.startsWith(pattern.slice(0, -2)) || name === pattern.slice(0, -3)
  if (pattern.endsWith('/**') && matches(pattern.slice(0, -3), name)) return true
  const parts = pattern.match(/\*\*|\*|[^*]/g) ?? []
  // reached[n]: the parts so far match the first n characters of the name.
  let reached = new Uint8Array(name.length + 1)
  reached[0] = 1
  for (const part of parts) {
    const next = new Uint8Array(name.length + 1)
    for (let at = 0; at <= name.length; at += 1) {
      if (part === '*' || part === '**') {
        const goesOn = at > 0 && next[at - 1] === 1 && (part === '**' || name[at - 1] !== '/')
        next[at] = reached[at] === 1 || goesOn ? 1 : 0
      } else if (at > 0) next[at] = reached[at - 1] === 1 && name[at - 1] === part ? 1 : 0
    }
    reached = next
  }
  return reached[name.length] === 1
}
