import type { ChartParameter } from '../format.ts'
import { healthRuleText } from '../health.ts'
import { connectionText } from './connections.ts'
import { type BundleDiff, type ChartChange, type ImageChange, type ParameterChange, repositoryOf } from './diff.ts'
import type { FieldChange } from './fields.ts'
import { offeredText } from './offered.ts'
import { permissionText } from './permissions.ts'

const longestValue = 160
const fieldsShown = 30
const linesShown = 200

/** A difference as release notes: for people, so what is long is cut; the data has all of it. */
export function diffText(diff: BundleDiff): string {
  const { from, to } = diff
  const title =
    from.name === to.name ? `${to.name} ${from.version} → ${to.version}` : `${from.name} ${from.version} → ${to.name} ${to.version}`
  if (from.digest === to.digest) return `${title}\n\nThe same bundle, ${to.digest}.\n`
  const sections = [
    section('Images', diff.images.map(imageText)),
    section('Permissions', signed(diff.permissions, permissionText)),
    section('Connections', signed(diff.connections, connectionText)),
    objectsText(diff),
    section('Health', signed(diff.health, healthRuleText)),
    section('Charts', diff.charts.map(chartText)),
    section('Parameters', [...diff.offered.map(offeredText), ...diff.parameters.map(parameterText)]),
    section('A site may change', [...diff.site.added.map((one) => `+ ${one}`), ...diff.site.removed.map((one) => `- ${one}`)]),
  ].filter((text) => text !== '')
  const body = sections.length === 0 ? ['Nothing that runs is another: only what the bundle says of itself.\n'] : sections
  return `${title}\n\n${body.join('\n')}`
}

function section(title: string, lines: readonly string[]): string {
  if (lines.length === 0) return ''
  const more = lines.length > linesShown ? [`… and ${lines.length - linesShown} more`] : []
  return `${title}\n${[...lines.slice(0, linesShown), ...more].map((line) => `  ${line}\n`).join('')}`
}

function signed<T>(
  { added, removed }: { readonly added: readonly T[]; readonly removed: readonly T[] },
  text: (value: T) => string,
): string[] {
  return [...added.map((value) => `+ ${text(value)}`), ...removed.map((value) => `- ${text(value)}`)]
}

function imageText({ repository, old, new: now }: ImageChange): string {
  const tag = (image: { readonly name: string }) => image.name.slice(repositoryOf(image.name).length + 1) || 'no tag'
  if (old === undefined) return now === undefined ? '' : `+ ${now.name} (${short(now.digest)})`
  if (now === undefined) return `- ${old.name} (${short(old.digest)})`
  const digests = `(${short(old.digest)} → ${short(now.digest)})`
  if (old.digest === now.digest) return `~ ${repository} ${tag(old)} → ${tag(now)} (the same image, ${short(now.digest)})`
  return old.name === now.name ? `~ ${old.name} was built anew ${digests}` : `~ ${repository} ${tag(old)} → ${tag(now)} ${digests}`
}

function short(digest: string): string {
  return digest.replace(/^sha256:([0-9a-f]{12})[0-9a-f]*$/, '$1')
}

/** Labels that say the version: they change with it, on every object. */
const versionLabel = /labels(?:\["(?:helm\.sh\/chart|app\.kubernetes\.io\/version)"\]|\.version)$/

function objectsText({ objects: { added, removed, changed } }: BundleDiff): string {
  const telling = changed.filter(({ fields }) => fields.some(({ path }) => !versionLabel.test(path)))
  const relabelled = changed.length - telling.length
  const lines = [
    ...added.map((object) => `+ ${object}`),
    ...removed.map((object) => `- ${object}`),
    ...telling.flatMap(({ object, fields }) => {
      const shown = fields.filter(({ path }) => !versionLabel.test(path))
      const more = shown.length > fieldsShown ? [`    … and ${shown.length - fieldsShown} more fields`] : []
      return [`~ ${object}`, ...shown.slice(0, fieldsShown).map((field) => `    ${fieldText(field)}`), ...more]
    }),
    ...(relabelled === 0 ? [] : [`~ ${relabelled} more: only the version in their labels`]),
  ]
  return section('Objects', lines)
}

/** A field that differs, as one line. */
export function fieldText({ path, old, new: now }: FieldChange): string {
  if (old === undefined) return `${path}: ${valueText(now)} (new)`
  if (now === undefined) return `${path}: ${valueText(old)} is gone`
  return old === now ? `${path}: changed` : `${path}: ${valueText(old)} → ${valueText(now)}`
}

function valueText(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  const line = (text ?? 'null')
    .replace(/@sha256:([0-9a-f]{12})[0-9a-f]{52}/g, '@$1…')
    .replaceAll('\n', '⏎')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal would obey
    .replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '?')
  return line === '' ? '""' : line.length > longestValue ? `${line.slice(0, longestValue)}…` : line
}

function chartText({ component, old, new: now }: ChartChange): string {
  if (old === undefined) return `+ ${component} is made of ${now}`
  return now === undefined ? `- ${component} is not made of ${old} any more` : `~ ${component}: ${old} → ${now}`
}

function parameterText({ chart, name, old, new: now }: ParameterChange): string {
  const set = (parameter: ChartParameter) => valueText(parameter.value ?? parameter.default ?? null)
  if (old === undefined)
    return now === undefined
      ? ''
      : `+ ${chart}: ${name} (${now.type}, ${set(now)})${now.description === undefined ? '' : `: ${valueText(now.description)}`}`
  if (now === undefined) return `- ${chart}: ${name}`
  return `~ ${chart}: ${name}: ${set(old)} → ${set(now)}`
}
