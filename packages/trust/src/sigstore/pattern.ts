import { TrustError } from '../errors.ts'

/**
 * Regular expressions in the common part of RE2's syntax, run as a set of states: time grows with pattern × text and with nothing
 * else, so a name made by a stranger cannot stall its reader. Always matched against the whole text.
 *
 * Understood: literals, `.`, `[a-z]`, `[^…]`, `\d \w \s` and their opposites, `( )`, `(?: )`, `|`, `* + ? {m,n}`, `^` and `$` at the
 * ends. Anything else is refused rather than taken for a literal.
 */
export interface Pattern {
  matches(text: string): boolean
}

const maxPatternLength = 512
const maxStates = 2048
const maxTextLength = 4096
const maxRepeat = 100
const maxDepth = 32

type Test = (codePoint: number) => boolean
/** What a state does: consume a code point, or go on to others without. */
type State = { readonly test: Test; readonly next: number } | { readonly either: readonly number[] }
/** Adds its states before `next`, and gives the first. */
type Fragment = (next: number) => number

/** @throws TrustError `AuthorityInvalid` */
export function compilePattern(source: string): Pattern {
  const states: State[] = [{ either: [] }]
  const start = new Parser(source, (state) => {
    if (states.length >= maxStates) throw invalid(source, 'it is too large')
    return states.push(state) - 1
  }).parse()(0)
  return { matches: (text) => run(states, start, text) }
}

function run(states: readonly State[], start: number, text: string): boolean {
  if (text.length > maxTextLength) return false
  let current = closure(states, [start])
  for (const character of text) {
    const codePoint = character.codePointAt(0) ?? 0
    const reached: number[] = []
    for (const at of current) {
      const state = states[at]
      if (state && 'test' in state && state.test(codePoint)) reached.push(state.next)
    }
    current = closure(states, reached)
    if (current.size === 0) return false
  }
  return current.has(0)
}

function closure(states: readonly State[], from: readonly number[]): Set<number> {
  const seen = new Set(from)
  for (const at of seen) {
    const state = states[at]
    if (state && 'either' in state) for (const next of state.either) seen.add(next)
  }
  return seen
}

class Parser {
  readonly #source: string
  readonly #characters: readonly string[]
  readonly #add: (state: State) => number
  #at = 0
  #depth = 0

  constructor(source: string, add: (state: State) => number) {
    if (source.length === 0 || source.length > maxPatternLength)
      throw invalid(source.slice(0, 64), `it must have 1 to ${maxPatternLength} characters`)
    this.#source = source
    this.#characters = [...source]
    this.#add = add
  }

  parse(): Fragment {
    if (this.#peek() === '^') this.#at += 1
    const fragment = this.#alternatives()
    if (this.#at < this.#characters.length) throw this.#refuse(`"${this.#peek()}" stands where it cannot`)
    return fragment
  }

  #alternatives(): Fragment {
    const branches = [this.#sequence()]
    while (this.#take('|')) branches.push(this.#sequence())
    return branches.length === 1 && branches[0] ? branches[0] : (next) => this.#add({ either: branches.map((branch) => branch(next)) })
  }

  #sequence(): Fragment {
    const parts: Fragment[] = []
    for (let next = this.#peek(); next !== undefined && next !== '|' && next !== ')'; next = this.#peek()) {
      // An end that is there anyway. Elsewhere it could never hold, and is refused below.
      if (next === '$' && this.#at === this.#characters.length - 1) this.#at += 1
      else parts.push(this.#repeated())
    }
    return (next) => parts.reduceRight((after, part) => part(after), next)
  }

  #repeated(): Fragment {
    let fragment = this.#atom()
    for (let sign = this.#peek(); sign !== undefined && '*+?{'.includes(sign); sign = this.#peek()) {
      fragment = this.#repeat(fragment, sign)
      if ('*+?{'.includes(this.#peek() ?? ' ')) throw this.#refuse('one repetition follows another')
    }
    return fragment
  }

  #repeat(one: Fragment, sign: string): Fragment {
    this.#at += 1
    const optional: Fragment = (next) => this.#add({ either: [one(next), next] })
    const any: Fragment = (next) => {
      const either: number[] = [next]
      const loop = this.#add({ either })
      either.push(one(loop))
      return loop
    }
    if (sign === '*') return any
    if (sign === '?') return optional
    if (sign === '+') return (next) => one(any(next))
    const { least, most } = this.#bounds()
    const rest: Fragment[] = most === undefined ? [any] : Array.from({ length: most - least }, () => optional)
    return (next) => [...Array.from({ length: least }, () => one), ...rest].reduceRight((after, part) => part(after), next)
  }

  #bounds(): { least: number; most: number | undefined } {
    const end = this.#characters.indexOf('}', this.#at)
    const match = /^(\d{1,3})(,(\d{1,3})?)?$/.exec(this.#characters.slice(this.#at, end < 0 ? this.#at : end).join(''))
    if (!match) throw this.#refuse('after "{" there must be a count, as {2} or {1,3}')
    this.#at = end + 1
    const least = Number(match[1])
    const most = match[2] === undefined ? least : match[3] === undefined ? undefined : Number(match[3])
    if (least > maxRepeat || (most ?? 0) > maxRepeat || (most ?? least) < least)
      throw this.#refuse(`a count is not within 0 and ${maxRepeat}`)
    return { least, most }
  }

  #atom(): Fragment {
    const character = this.#next()
    switch (character) {
      case '(':
        return this.#group()
      case '[':
        return this.#consume(this.#set())
      case '.':
        return this.#consume((codePoint) => codePoint !== 10)
      case '\\':
        return this.#consume(this.#escaped())
      case '*':
      case '+':
      case '?':
      case '{':
      case '}':
      case ']':
      case ')':
      case '^':
      case '$':
        throw this.#refuse(`"${character}" stands where it cannot; write \\${character} for the character itself`)
      default:
        return this.#consume(equal(character))
    }
  }

  #group(): Fragment {
    this.#depth += 1
    if (this.#depth > maxDepth) throw this.#refuse('its groups are nested too deeply')
    if (this.#take('?') && !this.#take(':')) throw this.#refuse('of groups with "(?" only "(?:" is understood')
    const fragment = this.#alternatives()
    if (!this.#take(')')) throw this.#refuse('a group is not closed')
    this.#depth -= 1
    return fragment
  }

  #set(): Test {
    const not = this.#take('^')
    const tests: Test[] = []
    for (let first = true; first || this.#peek() !== ']'; first = false) {
      const character = this.#next()
      if (character === '[') throw this.#refuse('"[" in a set is written as \\[')
      if (character === '\\' && /[dwsDWS]/.test(this.#peek() ?? '')) {
        tests.push(this.#escaped())
        continue
      }
      const low = character === '\\' ? this.#literal() : character
      if (this.#peek() !== '-' || this.#characters[this.#at + 1] === ']') {
        tests.push(equal(low))
        continue
      }
      this.#at += 1
      const end = this.#next()
      const from = low.codePointAt(0) ?? 0
      const to = (end === '\\' ? this.#literal() : end).codePointAt(0) ?? 0
      if (to < from) throw this.#refuse('a range in a set runs backwards')
      tests.push((codePoint) => codePoint >= from && codePoint <= to)
    }
    this.#at += 1
    return (codePoint) => tests.some((test) => test(codePoint)) !== not
  }

  #escaped(): Test {
    const kind = this.#peek() ?? ''
    const named = classes[kind.toLowerCase()]
    if (named === undefined || !/[dwsDWS]/.test(kind)) return equal(this.#literal())
    this.#at += 1
    return kind === kind.toLowerCase() ? named : (codePoint) => !named(codePoint)
  }

  /** After a backslash: punctuation stands for itself; a letter might mean something elsewhere, and is refused. */
  #literal(): string {
    const character = this.#next()
    if (/[A-Za-z0-9]/.test(character)) throw this.#refuse(`\\${character} is not understood`)
    return character
  }

  #consume(test: Test): Fragment {
    return (next) => this.#add({ test, next })
  }

  #peek(): string | undefined {
    return this.#characters[this.#at]
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false
    this.#at += 1
    return true
  }

  #next(): string {
    const character = this.#peek()
    if (character === undefined) throw this.#refuse('it ends too soon')
    this.#at += 1
    return character
  }

  #refuse(why: string): TrustError {
    return invalid(this.#source, why)
  }
}

const classes: Readonly<Record<string, Test>> = {
  d: (c) => c >= 48 && c <= 57,
  w: (c) => (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || c === 95 || (c >= 97 && c <= 122),
  s: (c) => c === 32 || (c >= 9 && c <= 13 && c !== 11),
}

function equal(character: string): Test {
  const wanted = character.codePointAt(0)
  return (codePoint) => codePoint === wanted
}

function invalid(source: string, why: string): TrustError {
  return new TrustError('AuthorityInvalid', `The pattern ${JSON.stringify(source)} cannot be used: ${why}.`)
}
