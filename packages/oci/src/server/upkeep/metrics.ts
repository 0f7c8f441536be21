/** Upper bounds of the classes of a request's length, in seconds. */
const bounds = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 600] as const

type Labels = Readonly<Record<string, string>>

interface Series {
  readonly help: string
  readonly type: 'counter' | 'gauge'
  readonly values: Map<string, number>
}

interface Lengths {
  readonly classes: number[]
  sum: number
  count: number
}

/**
 * What the registry counts, in the text format of Prometheus ("Exposition formats", 0.0.4). Labels come from closed sets only (kind of
 * route, method, status, names in the settings), so their number is bounded.
 */
export class Metrics {
  readonly #series = new Map<string, Series>()
  readonly #lengths = new Map<string, Lengths>()

  count(name: string, help: string, labels: Labels = {}, by = 1): void {
    const { values } = this.#of(name, help, 'counter')
    const key = written(labels)
    values.set(key, (values.get(key) ?? 0) + by)
  }

  set(name: string, help: string, value: number, labels: Labels = {}): void {
    this.#of(name, help, 'gauge').values.set(written(labels), value)
  }

  request(route: string, method: string, status: number, seconds: number): void {
    this.count('muster_registry_requests_total', 'Requests answered.', { route, method, code: String(status) })
    const lengths = this.#lengths.get(route) ?? { classes: bounds.map(() => 0), sum: 0, count: 0 }
    this.#lengths.set(route, lengths)
    lengths.sum += seconds
    lengths.count += 1
    bounds.forEach((bound, at) => {
      if (seconds <= bound) lengths.classes[at] = (lengths.classes[at] ?? 0) + 1
    })
  }

  text(): string {
    const lines: string[] = []
    for (const [name, { help, type, values }] of this.#series) {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
      for (const [labels, value] of values) lines.push(`${name}${labels} ${value}`)
    }
    const name = 'muster_registry_request_seconds'
    lines.push(`# HELP ${name} How long requests took.`, `# TYPE ${name} histogram`)
    for (const [route, { classes, sum, count }] of this.#lengths) {
      for (const [at, bound] of bounds.entries()) lines.push(`${name}_bucket${written({ route, le: String(bound) })} ${classes[at] ?? 0}`)
      lines.push(`${name}_bucket${written({ route, le: '+Inf' })} ${count}`)
      lines.push(`${name}_sum${written({ route })} ${sum}`, `${name}_count${written({ route })} ${count}`)
    }
    return `${lines.join('\n')}\n`
  }

  #of(name: string, help: string, type: Series['type']): Series {
    const series = this.#series.get(name) ?? { help, type, values: new Map<string, number>() }
    this.#series.set(name, series)
    return series
  }
}

function written(labels: Labels): string {
  const entries = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replace(/[\\"\n]/g, (one) => (one === '\n' ? '\\n' : `\\${one}`))}"`,
  )
  return entries.length === 0 ? '' : `{${entries.join(',')}}`
}
