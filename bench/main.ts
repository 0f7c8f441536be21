import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { cold } from './cold.ts'
import { drift } from './drift.ts'
import { footprint } from './footprint.ts'
import {
  type BenchContext,
  type BenchInstance,
  type Benchmark,
  type Figure,
  machine,
  machineLine,
  ratio,
  table,
  verdict,
} from './harness.ts'
import { informer } from './informer.ts'
import { freshInstance, purgeInstance } from './instance.ts'
import { kills200 } from './kills.ts'
import { push } from './push.ts'
import { reconcile } from './reconcile.ts'
import { registry } from './registry.ts'
import { relocate } from './relocate.ts'
import { up } from './up.ts'
import { verify } from './verify.ts'
import { verifyMany } from './verify-many.ts'

/** In this order: what is measured idle comes before what leaves work behind, and what needs a quiet machine last. */
const usual: readonly Benchmark[] = [up, drift, push, verify, verifyMany, footprint, informer, registry, relocate, reconcile]
const long: readonly Benchmark[] = [cold, kills200]

const help = `Measures what Muster promises, beside its peers, on this machine. Needs root, as "muster up" does.

  npm run bench                       all but the long ones (about 25 minutes)
  npm run bench -- drift verify       these only
  npm run bench -- --cold             the first build of a machine as well
  npm run bench -- --kills            200 kills as well
  npm run bench -- --quick            small sizes: do the scripts work?

Benchmarks:
${[...usual, ...long].map(({ name, about }) => `  ${name.padEnd(12)} ${about}`).join('\n')}

"times better": the peer's median against Muster's, above 1 where Muster is better. A target is judged by the percentile
that is shown where there are five rounds or more, else by the largest value. Figures are written to .cache/bench too.
`

const checkout = path.resolve(import.meta.dirname, '..')
const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    if (!stop.signal.aborted) process.stderr.write('\nStopping; the instance is taken down first.\n')
    stop.abort(new Error('The benchmark was stopped.'))
  })
}
process.exitCode = await main(process.argv.slice(2))

async function main(args: string[]): Promise<number> {
  const chosen = choose(args)
  if (typeof chosen === 'number') return chosen
  const temporary = await realpath(tmpdir())
  const state = path.join(temporary, 'muster-bench')
  const scratch = await mkdtemp(path.join(temporary, 'muster-bench-work-'))
  const here = machine(new Date())
  process.stderr.write(`${machineLine(here)}\n`)
  let instance: Promise<BenchInstance> | undefined
  const release = async (): Promise<void> => {
    if (instance === undefined) return
    instance = undefined
    say('take the instance down')
    await purgeInstance({ checkout, state })
  }
  const context: BenchContext = {
    quick: chosen.quick,
    checkout,
    cache: process.env['MUSTER_CACHE'] ?? path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'muster'),
    scratch,
    signal: stop.signal,
    instance: () => {
      if (instance === undefined) say('bring an instance up')
      instance ??= freshInstance({ checkout, state, signal: stop.signal })
      return instance
    },
    release,
    say,
  }
  const figures: Figure[] = []
  const failures: string[] = []
  try {
    for (const benchmark of chosen.benchmarks) {
      if (stop.signal.aborted) break
      process.stderr.write(`· ${benchmark.name}: ${benchmark.about}\n`)
      try {
        figures.push(...(await benchmark.run(context)))
      } catch (error) {
        failures.push(`${benchmark.name} failed: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  } finally {
    await release()
    await rm(scratch, { recursive: true, force: true })
  }
  process.stdout.write(`${machineLine(here)}${chosen.quick ? '\nSmall sizes: these figures say nothing.' : ''}\n\n`)
  if (figures.length > 0) process.stdout.write(`${table(figures)}\n`)
  process.stderr.write(failures.map((line) => `${line}\n`).join(''))
  const file = path.join(checkout, '.cache/bench', `${here.date.replaceAll(':', '-')}.json`)
  await mkdir(path.dirname(file), { recursive: true })
  const judged = figures.map((figure) => ({ ...figure, verdict: verdict(figure), timesBetter: ratio(figure) }))
  await writeFile(file, `${JSON.stringify({ machine: here, quick: chosen.quick, figures: judged, failures }, undefined, 2)}\n`)
  process.stderr.write(`Written to ${path.relative(checkout, file)}\n`)
  return failures.length > 0 || stop.signal.aborted ? 1 : 0
}

function say(line: string): void {
  process.stderr.write(`    ${line}\n`)
}

function choose(args: string[]): { benchmarks: readonly Benchmark[]; quick: boolean } | number {
  const options = {
    cold: { type: 'boolean' },
    kills: { type: 'boolean' },
    quick: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  } as const
  let parsed: ReturnType<typeof parseArgs<{ options: typeof options; allowPositionals: true }>>
  try {
    parsed = parseArgs({ args, options, allowPositionals: true })
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return 2
  }
  const { positionals, values } = parsed
  if (values.help) {
    process.stdout.write(help)
    return 0
  }
  const all = [...usual, ...long]
  const unknown = positionals.filter((name) => !all.some((benchmark) => benchmark.name === name))
  if (unknown.length > 0) {
    process.stderr.write(`There is no benchmark ${unknown.join(', ')}. There are: ${all.map(({ name }) => name).join(', ')}.\n`)
    return 2
  }
  const asked = new Set([...positionals, ...(values.cold ? ['cold'] : []), ...(values.kills ? ['kills'] : [])])
  const onlyExtra = positionals.length === 0
  const benchmarks = all.filter((benchmark) => asked.has(benchmark.name) || (onlyExtra && usual.includes(benchmark)))
  return { benchmarks: benchmarks.toSorted((a, b) => Number(b === cold) - Number(a === cold)), quick: values.quick ?? false }
}
