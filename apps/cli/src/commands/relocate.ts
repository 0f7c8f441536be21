import path from 'node:path'
import { isDigest, type RateLimits } from '@muster/oci'
import { type RelocateOptions, relocate, relocateToArchive, type Since, sinceArchive, sinceArtifact, uploadMemory } from '@muster/relocate'
import type { OpenOptions } from '../artifact.ts'
import type { Context } from '../context.ts'
import { UsageError } from '../errors.ts'
import type { verification } from '../relocation/refusal.ts'
import { formatBytes, packedText, relocatedText } from '../relocation/report.ts'
import { type NamedSource, Sources } from '../relocation/sources.ts'
import { openTarget, type Target } from '../relocation/target.ts'
import type { PolicyOptions } from '../verification/policy-file.ts'

export interface RelocateCommandOptions extends PolicyOptions {
  readonly since?: string
  readonly partSize?: number
  readonly jobs?: number
  readonly rate: RateLimits
  readonly mirror?: boolean
  readonly ca?: string
  readonly plainHttp?: boolean
  readonly output: 'text' | 'json'
}

const defaultJobs = 4
const maximumSources = 1000
/** Registries may ask for longer pauses than an interactive command would wait. */
const retry = { attempts: 7, maximumMs: 120_000 }
const progressMs = 3000

/** `muster relocate SRC… DST`: brings artifacts with all that hangs on them from any place to any other. */
export async function relocateCommand(context: Context, places: readonly string[], options: RelocateCommandOptions): Promise<void> {
  const [to, froms] = [places.at(-1), places.slice(0, -1)]
  if (to === undefined || froms.length === 0) throw new UsageError('Say from where and to where: muster relocate SRC… DST.')
  const opening: OpenOptions = {
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    ...(options.plainHttp === undefined ? {} : { plainHttp: options.plainHttp }),
    registry: { limits: options.rate, retry, uploads: uploadMemory(path.join(context.cache, 'uploads')) },
  }
  const opened = new Sources(context, opening)
  let target: Target | undefined
  const verifying = await verificationOf(context, { ...options, ...opening })
  try {
    const sources: NamedSource[] = []
    for (const from of froms) sources.push(...(await opened.open(from)))
    if (sources.length > maximumSources) throw new UsageError(`At most ${maximumSources} artifacts are relocated in one call.`)
    target = await openTarget(context, to, sources.length, {
      ...opening,
      ...(options.mirror === undefined ? {} : { mirror: options.mirror }),
    })
    if (target.kind === 'stores' && options.partSize !== undefined)
      throw new UsageError('--part-size is for archives: only they have parts.')
    const { jobs = defaultJobs } = options
    const base: RelocateOptions = {
      jobs,
      signal: context.signal,
      since: await readSince(context, options.since, sources, jobs),
      onProgress: (step) => context.stderr.write(`${step}\n`),
    }
    const verified = sources.map((source) => (verifying ? { ...source, verify: verifying.of(source.text) } : source))
    if (target.kind === 'archive') await toArchive(context, verified, target, base, options)
    else await toStores(context, verified, target, base, options)
  } finally {
    if (target?.kind === 'stores') target.close()
    await opened.close()
    await verifying?.close()
  }
}

async function toStores(
  context: Context,
  sources: readonly NamedSource[],
  target: Extract<Target, { kind: 'stores' }>,
  options: RelocateOptions,
  { output }: RelocateCommandOptions,
): Promise<void> {
  const stores = sources.map((source) => target.storeOf(source))
  const results = []
  for (const [at, source] of sources.entries()) {
    const store = stores[at]
    if (store === undefined) continue
    const progress = everyNow((bytes: number) => context.stderr.write(`  ${formatBytes(bytes)} sent\n`))
    const result = await relocate(source, store, { ...options, onMoved: ({ bytes }) => progress(bytes) })
    results.push(result)
    if (output === 'text') context.stdout.write(relocatedText(result))
  }
  if (output === 'json') context.stdout.write(`${JSON.stringify({ artifacts: results }, null, 2)}\n`)
}

async function toArchive(
  context: Context,
  sources: readonly NamedSource[],
  target: Extract<Target, { kind: 'archive' }>,
  options: RelocateOptions,
  { output, partSize }: RelocateCommandOptions,
): Promise<void> {
  const named = sources.map((source) => ({ ...source, tag: target.tagOf(source) }))
  if (new Set(named.map(({ tag }) => tag)).size < named.length)
    throw new UsageError('Two artifacts would have the same name in the archive.')
  const progress = everyNow((done: number, all: number) => context.stderr.write(`  ${formatBytes(done)} of ${formatBytes(all)} written\n`))
  const packing = { file: target.file, ...(partSize === undefined ? {} : { partBytes: partSize }) }
  const packed = await relocateToArchive(named, packing, { ...options, onWritten: progress })
  context.stdout.write(output === 'json' ? `${JSON.stringify(packed, null, 2)}\n` : packedText(packed))
}

/** Loaded where it is asked for: rules and certificates are much code. */
async function verificationOf(context: Context, options: PolicyOptions & OpenOptions): ReturnType<typeof verification> {
  if ((options.policy ?? []).length === 0 && options.key === undefined) return undefined
  return (await import('../relocation/refusal.ts')).verification(context, options)
}

async function readSince(
  context: Context,
  text: string | undefined,
  sources: readonly NamedSource[],
  jobs: number,
): Promise<Since | undefined> {
  if (text === undefined) return undefined
  if (!isDigest(text)) return sinceArchive(text.replace(/^archive:/, ''), { signal: context.signal })
  const [source] = sources
  if (source === undefined || sources.length > 1)
    throw new UsageError('--since DIGEST is for one artifact. For several, give the earlier archive.')
  return sinceArtifact(source.store, text, { jobs, signal: context.signal, mirrorOf: source.mirrorOf })
}

/** Not more often than a person reads. */
function everyNow<T extends unknown[]>(report: (...values: T) => void): (...values: T) => void {
  let last = performance.now()
  return (...values) => {
    if (performance.now() - last < progressMs) return
    last = performance.now()
    report(...values)
  }
}
