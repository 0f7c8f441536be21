import type { View } from '@muster/kube'

/** What the agent tells of itself: only counts, ages and kinds, nothing of what its objects are or say. */
export interface AgentState {
  readonly views: Iterable<View>
  /** Generation of the newest channel that was accepted. */
  readonly generation: number
  /** Milliseconds since the channel was last asked for, whatever came of it. */
  readonly askedMs: number
  readonly releases: { readonly ready: number; readonly other: number }
  /** Whether the disk took what was pulled last. */
  readonly cacheWritable: boolean
  readonly residentBytes: number
}

type Labels = Readonly<Record<string, string>>

/** In the text format of Prometheus ("Exposition formats", 0.0.4). Pure. */
export function metricsText({ views, generation, askedMs, releases, cacheWritable, residentBytes }: AgentState): string {
  const all = [...views].map((view) => ({ view, labels: labelsOf(view) })).sort((a, b) => (written(a.labels) < written(b.labels) ? -1 : 1))
  return [
    ...gauge('muster_agent_watch_age_seconds', 'Time since the API server last said something of what is watched.', [
      ...all.map(({ view, labels }) => [labels, view.lastActivityMs / 1000] as const),
    ]),
    ...gauge('muster_agent_watch_objects', 'Objects that are known by a watch.', [
      ...all.map(({ view, labels }) => [labels, view.size] as const),
    ]),
    ...gauge('muster_agent_channel_generation', 'Generation of the newest channel that was accepted.', [[{}, generation]]),
    ...gauge('muster_agent_channel_asked_seconds', 'Time since the channel was last asked for.', [[{}, askedMs / 1000]]),
    ...gauge('muster_agent_releases', 'Releases that are installed or wanted.', [
      [{ ready: 'true' }, releases.ready],
      [{ ready: 'false' }, releases.other],
    ]),
    ...gauge('muster_agent_cache_writable', 'Whether the disk took what was pulled last.', [[{}, cacheWritable ? 1 : 0]]),
    ...gauge('process_resident_memory_bytes', 'Resident memory.', [[{}, residentBytes]]),
    '',
  ].join('\n')
}

function labelsOf({ selection: { apiVersion, kind, namespace, labelSelector } }: View): Labels {
  return { apiVersion, kind, namespace: namespace ?? '', selector: labelSelector ?? '' }
}

function gauge(name: string, help: string, values: readonly (readonly [Labels, number])[]): string[] {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} gauge`,
    ...values.map(([labels, value]) => `${name}${written(labels)} ${Number.isFinite(value) ? value : '+Inf'}`),
  ]
}

function written(labels: Labels): string {
  const entries = Object.entries(labels).map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, escaped)}"`)
  return entries.length === 0 ? '' : `{${entries.join(',')}}`
}

function escaped(one: string): string {
  return one === '\n' ? '\\n' : `\\${one}`
}
