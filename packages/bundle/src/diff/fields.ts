import { isRecord, type KubeObjectLike } from '../object.ts'

/** A field that differs. Left out: it is not there. */
export interface FieldChange {
  /** `spec.template.spec.containers[web].image`: entries of lists by their name where they have one. */
  readonly path: string
  readonly old?: unknown
  readonly new?: unknown
}

const maximumChanges = 2000

/** What of an object is another, field by field. Values of secrets are not among it, only that they changed. */
export function fieldChanges(one: KubeObjectLike, two: KubeObjectLike): FieldChange[] {
  const changes: FieldChange[] = []
  const isSecret = one.kind === 'Secret' && one.apiVersion === 'v1'
  const add = (path: string, old: unknown, now: unknown): void => {
    if (changes.length >= maximumChanges) return
    const hidden = isSecret && /^(?:data|stringData)(?:\.|\[|$)/.test(path)
    const show = (value: unknown) => (hidden ? '(secret)' : value)
    changes.push({ path, ...(old === undefined ? {} : { old: show(old) }), ...(now === undefined ? {} : { new: show(now) }) })
  }
  compare(one, two, '', add)
  return changes
}

type Add = (path: string, old: unknown, now: unknown) => void

function compare(one: unknown, two: unknown, path: string, add: Add): void {
  if (isRecord(one) && isRecord(two)) {
    for (const key of [...new Set([...Object.keys(one), ...Object.keys(two)])].sort()) {
      compare(own(one, key), own(two, key), joined(path, key), add)
    }
    return
  }
  if (Array.isArray(one) && Array.isArray(two)) {
    compareLists(one, two, path, add)
    return
  }
  if (JSON.stringify(one) !== JSON.stringify(two)) add(path, one, two)
}

function own(value: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(value, key) ? value[key] : undefined
}

function joined(path: string, key: string): string {
  if (!/^[A-Za-z0-9_-]+$/.test(key)) return `${path}[${JSON.stringify(key)}]`
  return path === '' ? key : `${path}.${key}`
}

function compareLists(one: readonly unknown[], two: readonly unknown[], path: string, add: Add): void {
  const [ones, twos] = [byName(one), byName(two)]
  if (ones !== undefined && twos !== undefined) {
    for (const name of new Set([...ones.keys(), ...twos.keys()])) compare(ones.get(name), twos.get(name), `${path}[${name}]`, add)
    return
  }
  // Lists of plain values say most as a whole, while they are short.
  const plain = [...one, ...two].every((item) => typeof item !== 'object' || item === null)
  if (plain && one.length + two.length <= 40) {
    if (JSON.stringify(one) !== JSON.stringify(two)) add(path, one, two)
    return
  }
  for (let at = 0; at < Math.max(one.length, two.length); at += 1) compare(one[at], two[at], `${path}[${at}]`, add)
}

/** Entries by `name`, where all have one and no two the same. */
function byName(list: readonly unknown[]): Map<string, unknown> | undefined {
  const named = new Map<string, unknown>()
  for (const item of list) {
    const name = isRecord(item) ? item['name'] : undefined
    if (typeof name !== 'string' || named.has(name)) return undefined
    named.set(name, item)
  }
  return named.size === 0 ? undefined : named
}
