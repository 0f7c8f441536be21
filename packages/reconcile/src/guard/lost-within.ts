import type { PathStep } from '../tolerance.ts'

/**
 * A CEL expression that is true when `before` lost nothing to `after` but at or below these paths. Both are expressions of sets of
 * fields (fieldsV1). CEL has no recursion, so the paths are unrolled: as deep as they are, and no deeper.
 */
export function lostWithin(before: string, after: string, paths: readonly (readonly PathStep[])[]): string {
  return level(before, after, paths, 0)
}

function level(before: string, after: string, paths: readonly (readonly PathStep[])[], depth: number): string {
  const k = `k${depth}`
  const ends: string[] = []
  const heads = new Map<string, { readonly head: PathStep; readonly tails: (readonly PathStep[])[] }>()
  for (const [head, ...tail] of paths) {
    if (head === undefined) continue
    if (tail.length === 0) ends.push(leadsOver(head, k))
    else {
      const key = JSON.stringify(head)
      const known = heads.get(key) ?? { head, tails: [] }
      known.tails.push(tail)
      heads.set(key, known)
    }
  }
  const [mine, theirs] = [`${before}[${k}]`, `${after}[${k}]`]
  const deeper = [...heads.values()].map(({ head, tails }) => `(${leadsOver(head, k)} && ${level(mine, theirs, tails, depth + 1)})`)
  const kept = `(${k} in ${after} && (${[`${mine} == ${theirs}`, ...deeper].join(' || ')}))`
  return `${before}.all(${k}, ${[...ends, kept].join(' || ')})`
}

/** Whether a step leads over an element, in CEL. */
function leadsOver(step: PathStep, element: string): string {
  if ('field' in step) return `${element} == ${celString(`f:${step.field}`)}`
  if ('any' in step) return `!${element}.startsWith('f:')`
  if ('index' in step) return `${element} == ${celString(`i:${step.index}`)}`
  if ('value' in step) return `${element} in [${celString(`v:${step.value}`)}, ${celString(`v:${JSON.stringify(step.value)}`)}]`
  const keys = Object.entries(step.keys).map(([name, value]) => {
    const texts = [JSON.stringify(value), value].flatMap((text) => ['}', ','].map((end) => `"${name}":${text}${end}`))
    return `(${texts.map((text) => `${element}.contains(${celString(text)})`).join(' || ')})`
  })
  return `(${[`${element}.startsWith('k:')`, ...keys].join(' && ')})`
}

/** A text as a literal of CEL. */
export function celString(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\r', '\\r')}'`
}
