import { OverlayError } from './errors.ts'

/** A label selector as kubectl takes it: `app=web,tier in (a,b),!old`. */
export type LabelSelector = (labels: ReadonlyMap<string, string>) => boolean

const key = '[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?'
const value = '[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|'
const equality = new RegExp(`^(${key})\\s*(==|=|!=)\\s*(${value})$`)
const membership = new RegExp(`^(${key})\\s+(in|notin)\\s*\\(([^()]*)\\)$`)
const existence = new RegExp(`^(!?)\\s*(${key})$`)
const aValue = new RegExp(`^(?:${value})$`)

/** @throws OverlayError `Malformed` */
export function labelSelector(text: string): LabelSelector {
  const requirements = text
    .split(/,(?![^()]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => requirement(part, text))
  return (labels) => requirements.every((one) => one(labels))
}

function requirement(part: string, text: string): LabelSelector {
  const equal = equality.exec(part)
  if (equal) {
    const [, name = '', sign, wanted] = equal
    return (labels) => (labels.get(name) === wanted) === (sign !== '!=')
  }
  const member = membership.exec(part)
  if (member) {
    const [, name = '', operator, list = ''] = member
    const values = list.split(',').map((one) => one.trim())
    if (values.every((one) => aValue.test(one))) return (labels) => values.includes(labels.get(name) ?? missing) === (operator === 'in')
  }
  const exists = existence.exec(part)
  if (exists) {
    const [, not, name = ''] = exists
    return (labels) => labels.has(name) === (not === '')
  }
  throw new OverlayError('Malformed', `"${text.slice(0, 200)}" is no label selector; write it as app=web,tier in (a,b).`)
}

/** No value of a label. */
const missing = '\u0000'
