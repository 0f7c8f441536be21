import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { BundleError } from '../errors.ts'
import type { BundleChart, LeftOut } from '../format.ts'
import { limits } from '../limits.ts'
import { inOrder, type ManifestObject, parseManifests } from '../manifests.ts'
import type { KubeObjectLike } from '../object.ts'
import type { HelmSource } from '../source.ts'
import type { Chart } from './chart.ts'
import { mapHook } from './helm-hooks.ts'
import { documentValues } from './parameters.ts'
import type { RenderHelm } from './render.ts'

export interface ChartComponent {
  /** CRDs first, then by identity. */
  readonly objects: readonly ManifestObject[]
  readonly chart: BundleChart
  readonly leftOut: readonly LeftOut[]
}

export interface ChartOptions {
  readonly component: string
  readonly helm: HelmSource
  readonly chart: Chart
  /** Absolute, checked. */
  readonly valuesFiles: readonly string[]
  /** A folder for this component alone. */
  readonly workDir: string
  readonly render: RenderHelm
  readonly signal: AbortSignal | undefined
}

/**
 * Renders a chart three times and compares: what is generated anew each time (passwords, certificates, dates, lists in no order) would
 * be another bundle each time, and is refused by the name of its template.
 * @throws BundleError `ChartNotDeterministic`, `HelmFailed`, `ManifestInvalid`, `TooLarge`
 */
export async function renderChart(options: ChartOptions): Promise<ChartComponent> {
  const { component, helm, chart } = options
  const kept: ManifestObject[] = []
  const leftOut: LeftOut[] = []
  for (const { from, entries } of await renderSections(options)) {
    for (const entry of entries) {
      const hook = mapHook(entry.object, entry.where)
      if (hook === undefined) kept.push(entry)
      else if (hook.kind === 'left out') leftOut.push({ component, from, why: hook.why })
      else kept.push({ ...entry, object: hook.object })
    }
  }
  const { values, release, namespace, kubeVersion } = helm
  return {
    objects: definitionsFirst(inOrder(kept)),
    chart: {
      component,
      name: chart.name,
      version: chart.version,
      ...(chart.appVersion === undefined ? {} : { appVersion: chart.appVersion }),
      release,
      namespace,
      kubeVersion,
      ...documentValues(chart, values),
    },
    leftOut: unique(leftOut),
  }
}

interface Section {
  /** `podinfo/templates/deployment.yaml` */
  readonly from: string
  readonly text: string
}

async function renderSections(options: ChartOptions): Promise<{ from: string; entries: ManifestObject[] }[]> {
  const started = performance.now()
  const first = sectionsOf(await renderOnce(options, 0))
  if (first.length > limits.objects)
    throw new BundleError(
      'TooLarge',
      `The chart ${options.chart.name} renders to more than ${limits.objects} objects. Make several bundles.`,
    )
  const parsed = first.map(({ from, text }) => ({ from, entries: parseManifests(text, from) }))
  const tests = new Set(parsed.filter(({ entries }) => entries.length > 0 && entries.every(isLeftOut)).map(({ from }) => from))
  // A clock of whole seconds must have moved; one of whole days differs by its zone.
  if (options.chart.asksForTime) await wait(Math.max(0, 1100 - (performance.now() - started)), undefined, { signal: options.signal })
  for (const zone of [-12, 14]) compare(first, sectionsOf(await renderOnce(options, zone)), tests, options)
  return parsed
}

function isLeftOut({ object, where }: ManifestObject): boolean {
  return mapHook(object, where)?.kind === 'left out'
}

async function renderOnce(
  { helm, chart, valuesFiles, workDir, render, signal, component }: ChartOptions,
  zoneHours: number,
): Promise<string> {
  await mkdir(workDir, { recursive: true })
  const values = join(workDir, 'values.json')
  await writeFile(values, JSON.stringify(helm.values))
  return render(
    {
      chartDir: chart.dir,
      release: helm.release,
      namespace: helm.namespace,
      kubeVersion: helm.kubeVersion,
      apiVersions: helm.apiVersions,
      valuesFiles: [...valuesFiles, values],
      workDir: join(workDir, 'helm'),
      zoneHours,
      what: `${chart.name} of the component ${component}`,
    },
    signal,
  )
}

const sourceLine = /^---\n# Source: ([^\n]{1,1000})$/m

/** Helm begins each document so, at the start of a line, where no text of a document can stand. */
function sectionsOf(rendered: string): Section[] {
  const [, ...parts] = `\n${rendered}`.split(sourceLine)
  const sections: Section[] = []
  for (let at = 0; at + 1 < parts.length; at += 2) sections.push({ from: parts[at] ?? '', text: parts[at + 1] ?? '' })
  return sections
}

/** Tests may be named anew each time, as they are left out. */
function compare(
  first: readonly Section[],
  second: readonly Section[],
  tests: ReadonlySet<string>,
  { chart, component }: ChartOptions,
): void {
  const kept = (sections: readonly Section[]) => sections.filter(({ from }) => !tests.has(from))
  const [one, two] = [kept(first), kept(second)]
  const at = one.findIndex(({ from, text }, n) => two[n]?.from !== from || two[n]?.text !== text)
  const different = at >= 0 ? one[at] : two[one.length]
  if (different === undefined) return
  const other = two[at >= 0 ? at : one.length]
  throw new BundleError(
    'ChartNotDeterministic',
    `${different.from} of the chart ${chart.name} (component ${component}) renders to something else each time${firstDifference(different.text, other?.text)}. ` +
      'Passwords and certificates must not be made while a chart is rendered: set the value that it would make, or let it name a secret that exists.',
  )
}

/** The key alone: what was generated may be a secret. */
function firstDifference(one: string, two: string | undefined): string {
  const others = (two ?? '').split('\n')
  const line = one.split('\n').find((text, at) => text !== others[at])
  const key = /^\s*(?:- )?([A-Za-z0-9_."/-]{1,100}):/.exec(line ?? '')?.[1]
  return key === undefined ? '' : `, at "${key}"`
}

function definitionsFirst(objects: readonly ManifestObject[]): ManifestObject[] {
  const isDefinition = ({ object }: { readonly object: KubeObjectLike }) => object.kind === 'CustomResourceDefinition'
  return [...objects.filter(isDefinition), ...objects.filter((entry) => !isDefinition(entry))]
}

function unique(entries: readonly LeftOut[]): LeftOut[] {
  const byText = new Map(entries.map((entry) => [`${entry.from}\n${entry.why}`, entry]))
  return [...byText.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry)
}
