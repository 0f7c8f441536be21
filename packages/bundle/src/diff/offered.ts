import type { BundleParameter } from '../parameter.ts'
import type { ReadBundle } from '../read.ts'

/** A parameter that a bundle offers, before and after; left out where it was not there, or is no more. */
export interface OfferedChange {
  readonly name: string
  readonly old?: BundleParameter
  readonly new?: BundleParameter
}

/** Parameters that are new, gone, or other than before. Sorted by name. */
export function diffOffered(from: Pick<ReadBundle, 'parameters'>, to: Pick<ReadBundle, 'parameters'>): OfferedChange[] {
  const named = ({ parameters }: Pick<ReadBundle, 'parameters'>) => new Map(parameters.map((parameter) => [parameter.name, parameter]))
  const [old, now] = [named(from), named(to)]
  return [...new Set([...old.keys(), ...now.keys()])].sort().flatMap((name): OfferedChange[] => {
    const [before, after] = [old.get(name), now.get(name)]
    if (JSON.stringify(before) === JSON.stringify(after)) return []
    return [{ name, ...(before === undefined ? {} : { old: before }), ...(after === undefined ? {} : { new: after }) }]
  })
}

export function offeredText({ name, old, new: now }: OfferedChange): string {
  if (now === undefined) return `- ${name}`
  if (old === undefined)
    return `+ ${name} (${defaultText(now)})${now.description === undefined ? '' : `: ${now.description.split('\n')[0]}`}`
  const parts = [
    ...(defaultText(old) === defaultText(now) ? [] : [`${defaultText(old)} → ${defaultText(now)}`]),
    ...(JSON.stringify(old.schema) === JSON.stringify(now.schema) ? [] : ['other values are allowed']),
    ...(JSON.stringify(old.set) === JSON.stringify(now.set) ? [] : ['it goes elsewhere']),
  ]
  return `~ ${name}: ${parts.length === 0 ? 'described otherwise' : parts.join('; ')}`
}

function defaultText({ default: standard, secret }: BundleParameter): string {
  if (standard === undefined) return secret === true ? 'secret, to be given' : 'to be given'
  const text = JSON.stringify(standard)
  return `default ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`
}

/** What a cluster's own site may change, one thing a line. */
export function siteAllowances({ config }: Pick<ReadBundle, 'config'>): string[] {
  const { allow = [], parameters } = config.siteOverlays ?? {}
  const fields = allow.map(
    ({ kind = 'any object', name, path = 'any field' }) => `${path} of ${kind}${name === undefined ? '' : ` ${name}`}`,
  )
  return [...fields, ...(parameters ?? []).map((name) => `the parameter ${name}`)].sort()
}
