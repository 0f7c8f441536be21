import type { Change } from './changes.ts'
import { changesBetween, isWithin } from './changes.ts'
import { OverlayError } from './errors.ts'
import type { Item } from './item.ts'
import { parsePath, pathText } from './path.ts'
import { describeSubject, type Subject } from './subject.ts'

/** Fields that a site may change. */
export interface AllowedFields {
  /** `Deployment`, `Deployment.apps`; any where it is left out, as with name and path. */
  readonly kind?: string | undefined
  readonly name?: string | undefined
  readonly path?: string | undefined
}

/** What a site may change, by the word of one who has a say. */
export interface Allowance {
  /** Who says so: `the bundle`, `EnclavePolicy north`. */
  readonly by: string
  readonly fields: readonly AllowedFields[]
}

/**
 * Refuses what a site's overlay changes beyond what each of the allowances lets it change.
 * @throws OverlayError `NotAllowed` naming object and field
 */
export function demandAllowed(before: readonly Item[], after: readonly Item[], allowances: readonly Allowance[]): void {
  const pairs = new Map(after.map((item) => [item.number, item]))
  for (const item of before) {
    const other = pairs.get(item.number)
    const changes: readonly Change[] = other === undefined ? [{ steps: [], items: [] }] : changesBetween(item.tree, other.tree)
    for (const change of changes) {
      const refusing = allowances.find(({ fields }) => !fields.some((one) => allows(one, item.subject, change)))
      if (refusing === undefined) continue
      const what = change.steps.length === 0 ? 'is to go' : `has ${pathText(change.steps)}`
      throw new OverlayError(
        'NotAllowed',
        `${describeSubject(item.subject)} ${what}, which ${refusing.by} does not let a site change. ${allowedText(refusing)}`,
      )
    }
  }
}

function allows({ kind, name, path }: AllowedFields, subject: Subject, change: Change): boolean {
  const full = subject.group === '' ? subject.kind : `${subject.kind}.${subject.group}`
  if (kind !== undefined && kind !== subject.kind && kind !== full) return false
  if (name !== undefined && name !== subject.name) return false
  // All fields of an object, but not the object itself.
  if (path === undefined) return change.steps.length > 0
  return isWithin(change, parsePath(path))
}

function allowedText({ fields }: Allowance): string {
  if (fields.length === 0) return 'It lets a site change no field of an object, only values of parameters.'
  const some = fields
    .slice(0, 5)
    .map(({ kind = 'any object', name, path = 'any field' }) => `${path} of ${kind}${name === undefined ? '' : ` ${name}`}`)
  return `It lets a site change: ${some.join('; ')}${fields.length > some.length ? '; …' : ''}.`
}
