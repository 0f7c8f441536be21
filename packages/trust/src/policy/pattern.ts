/** Names of images and repositories are ASCII without white space; a pattern with anything else could only deceive its reader. */
const patternText = /^[!-~]{1,512}$/

/** Longest name that is looked at. Longer ones match no pattern, and so are refused. */
const maxName = 1024

type Token = { readonly kind: 'literal'; readonly char: string } | { readonly kind: 'segment' } | { readonly kind: 'any' }

/** A pattern over a name: `*` stands for any part of a path's segment, `**` for any part of the name, slashes too. */
export interface NamePattern {
  readonly text: string
  matches(name: string): boolean
}

/** Nothing where `text` is no pattern. */
export function namePattern(text: string): NamePattern | undefined {
  if (!patternText.test(text) || text.includes('***')) return undefined
  const tokens = tokensOf(text)
  return { text, matches: (name) => name.length <= maxName && matches(tokens, name) }
}

function tokensOf(text: string): Token[] {
  return (text.match(/\*\*|\*|[^*]/g) ?? []).map((part) =>
    part === '**' ? { kind: 'any' } : part === '*' ? { kind: 'segment' } : { kind: 'literal', char: part },
  )
}

/** Token by token over all positions at once: its time is the product of both lengths, whatever the pattern. */
function matches(tokens: readonly Token[], name: string): boolean {
  let reached = new Uint8Array(name.length + 1)
  reached[0] = 1
  for (const token of tokens) {
    const next = new Uint8Array(name.length + 1)
    for (let at = 0; at <= name.length; at += 1) {
      if (token.kind === 'literal') {
        if (reached[at] === 1 && name[at] === token.char) next[at + 1] = 1
      } else if (reached[at] === 1 || (at > 0 && next[at - 1] === 1 && (token.kind === 'any' || name[at - 1] !== '/'))) {
        next[at] = 1
      }
    }
    reached = next
  }
  return reached[name.length] === 1
}
