import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'

export type Unit = 's' | 'ms' | 'MiB' | '% of a core' | 'MB/s' | 'requests'

/** One thing that was measured. Values are in `unit`, one per round. */
export interface Figure {
  readonly figure: string
  readonly unit: Unit
  readonly values: readonly number[]
  /** What the value must be below: `judged` of the values, where there are at least {@link several}, else the largest. */
  readonly below?: number
  /** The share (0 to 1) of the values that must be below it. Default: 0.95. */
  readonly judged?: number
  /** How many times better than the peer's median Muster's must be. */
  readonly times?: number
  /** The same work done by somebody else, in the same run. */
  readonly peer?: { readonly name: string; readonly values: readonly number[] }
  /** What the measurement leaves open, in a few words. */
  readonly note?: string
}

/** What a benchmark is given. */
export interface BenchContext {
  /** Small sizes: whether the scripts work, not how fast Muster is. */
  readonly quick: boolean
  readonly checkout: string
  /** Folder for what can be built again, peers included. */
  readonly cache: string
  /** A folder that is gone after the run. */
  readonly scratch: string
  readonly signal: AbortSignal
  /** The running instance; brought up when it is first asked for. */
  readonly instance: () => Promise<BenchInstance>
  /** Takes the instance down, where the next measurement needs a quiet machine. */
  readonly release: () => Promise<void>
  readonly say: (line: string) => void
}

export interface BenchInstance {
  readonly state: string
  /** How long its `up` took, whole and step by step, in seconds. */
  readonly up: UpTimes
  /** Runs the command line; gives what it printed. Throws when it failed. */
  muster(...args: string[]): Promise<string>
  kubeconfig(cluster: string): string
}

export interface UpTimes {
  readonly seconds: number
  readonly steps: readonly { readonly title: string; readonly seconds: number }[]
}

export interface Benchmark {
  readonly name: string
  readonly about: string
  run(context: BenchContext): Promise<readonly Figure[]>
}

/** From so many values on, a percentile says something. */
const several = 5

/** The value below which the share `p` (0 to 1) of the values is: nearest rank. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? Number.NaN
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5)
}

const usualShare = 0.95

function decisive({ values, judged = usualShare }: Figure): number {
  return values.length >= several ? percentile(values, judged) : Math.max(...values)
}

export function verdict(figure: Figure): 'met' | 'missed' | '–' {
  const { below, times } = figure
  if (below === undefined && times === undefined) return '–'
  const low = below === undefined || decisive(figure) < below
  const better = times === undefined || (ratio(figure) ?? 0) >= times
  return low && better ? 'met' : 'missed'
}

function target({ below, times, unit }: Figure): string {
  if (below !== undefined) return `< ${below} ${unit}`
  return times === undefined ? '–' : `${times} times better`
}

/** How many times better than the peer Muster is, by medians: above 1 better, below 1 worse. */
export function ratio({ unit, values, peer }: Figure): number | undefined {
  if (peer === undefined) return undefined
  const [own, theirs] = [median(values), median(peer.values)]
  return unit === 'MB/s' ? own / theirs : theirs / own
}

function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function measured(values: readonly number[], { unit, judged = usualShare }: Pick<Figure, 'unit' | 'judged'>): string {
  const middle = `${digits(median(values))} ${unit}`
  if (values.length < several) return values.length < 2 ? middle : `${middle} (n=${values.length})`
  return `${middle}, p${Math.round(judged * 100)} ${digits(percentile(values, judged))} (n=${values.length})`
}

const columns = ['figure', 'target', 'measured (median)', 'verdict', 'peer, same run', 'times better'] as const

/** The figures as a table in Markdown, which reads well in a terminal too. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const { peer } = figure
    const times = ratio(figure)
    return [
      figure.figure,
      target(figure),
      measured(figure.values, figure),
      verdict(figure),
      peer === undefined ? '–' : `${peer.name}: ${measured(peer.values, figure)}`,
      times === undefined ? '–' : digits(times),
    ]
  })
  const widths = columns.map((column, at) => Math.max(column.length, ...rows.map((row) => row[at]?.length ?? 0)))
  const line = (cells: readonly string[]): string => `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`
  const notes = figures.flatMap(({ figure, note }) => (note === undefined ? [] : [`- ${figure}: ${note}`]))
  return [
    line(columns),
    line(widths.map((width) => '-'.repeat(width))),
    ...rows.map(line),
    ...(notes.length > 0 ? ['', ...notes] : []),
  ].join('\n')
}

/** The machine on which figures were taken: without it they say nothing. */
export interface Machine {
  readonly date: string
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly kernel: string
  readonly node: string
  /** Load before the run, over the last minute: above 0.5 others were working too. */
  readonly load: number
}

export function machine(now: Date): Machine {
  return {
    date: now.toISOString(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    load: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  }
}

export function machineLine({ date, cpu, cores, memoryGiB, kernel, node, load }: Machine): string {
  return `${date}: ${cpu}, ${cores} cores, ${memoryGiB} GiB of memory, Linux ${kernel}, Node ${node}; load before the run ${load}`
}
