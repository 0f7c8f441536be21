import { chmod, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { CompileMeter, packageListFormat, parseGoLine, parsePackageList } from './go-progress.ts'
import { type Component, linkerFlags, type Target } from './recipe.ts'
import { type Environment, runTool } from './run-tool.ts'

/** One thing that happens while something is built. */
export interface BuildStep {
  readonly step: 'waiting' | 'downloading' | 'compiling' | 'linking' | 'checking' | 'bootstrapping' | 'packing'
  /** The file being made. */
  readonly file: string
  /** What in it: a package, a module, a line that a tool said. */
  readonly detail?: string
  /** Packages compiled so far of those to compile. Absent where the whole is not known. */
  readonly done?: number
  readonly total?: number
  /** Estimate of the time that this step still takes. Absent where nothing honest can be said. */
  readonly remainingMs?: number
}

const listTimeoutMs = 20 * 60_000
const buildTimeoutMs = 90 * 60_000

/** The environment of a Go build: what changes the result is set, what reaches the module proxy is the user's. */
export function goEnvironment(env: Environment, o: { arch: 'amd64' | 'arm64'; cacheDir: string }): Environment {
  const homeless = env['HOME'] === undefined
  return {
    ...env,
    CGO_ENABLED: '0',
    GOOS: 'linux',
    GOARCH: o.arch,
    GOAMD64: 'v1',
    GOARM64: 'v8.0',
    GOEXPERIMENT: '',
    GOFLAGS: '-mod=readonly',
    GOWORK: 'off',
    // Without a home folder (a service), Go has no place of its own to keep things.
    ...(homeless && env['GOCACHE'] === undefined && { GOCACHE: join(o.cacheDir, 'go-build') }),
    ...(homeless && env['GOPATH'] === undefined && { GOPATH: join(o.cacheDir, 'go') }),
  }
}

/** The version of Go that builds in this folder (go.mod may ask for a newer one, which Go then fetches), as `go1.26.8`. */
export async function goVersion(dir: string, env: Environment, signal: AbortSignal): Promise<string> {
  return (await runTool({ command: 'go', args: ['env', 'GOVERSION'], cwd: dir, env, signal, timeoutMs: listTimeoutMs })).trim()
}

/**
 * Builds one component's targets, one after the other, into `outDir`: static, without paths of this machine, stripped.
 *
 * @throws BuildError ToolMissing, ToolFailed, Timeout, Aborted
 */
export async function buildComponent(o: {
  component: Component
  version: string
  /** The component's folder in distro/. */
  dir: string
  outDir: string
  env: Environment
  signal: AbortSignal
  /** Milliseconds from any fixed point. */
  clock: () => number
  onStep: (step: BuildStep) => void
}): Promise<void> {
  for (const target of o.component.targets) {
    await buildTarget(o, target)
    await chmod(join(o.outDir, target.output), 0o755)
    for (const link of target.links) await symlink(target.output, join(o.outDir, link))
  }
}

async function buildTarget(o: Parameters<typeof buildComponent>[0], target: Target): Promise<void> {
  const { component, dir, env, signal, onStep } = o
  const file = target.output
  const tags = [...component.tags, ...target.tags].join(',')
  const flags = ['-trimpath', '-buildvcs=false', ...(tags === '' ? [] : [`-tags=${tags}`])]
  const base = { command: 'go', cwd: dir, env, signal }

  onStep({ step: 'downloading', file })
  let modules = 0
  const listed = await runTool({
    ...base,
    args: ['list', '-deps', '-f', packageListFormat, ...flags, target.package],
    timeoutMs: listTimeoutMs,
    onLine: (line) => {
      const said = parseGoLine(line)
      if (said.kind === 'downloading') onStep({ step: 'downloading', file, detail: said.module, done: ++modules })
    },
  })
  const packages = parsePackageList(listed)
  const mainPackage = packages.at(-1)?.importPath ?? target.package
  const meter = new CompileMeter(packages, mainPackage)
  const start = o.clock()
  // Where only the main package is left, all that takes time is linking.
  onStep(meter.total > 1 ? { step: 'compiling', file, done: 0, total: meter.total } : { step: 'linking', file })
  await runTool({
    ...base,
    args: ['build', '-v', ...flags, `-ldflags=${linkerFlags(component, o.version)}`, '-o', join(o.outDir, file), target.package],
    timeoutMs: buildTimeoutMs,
    onLine: (line) => {
      if (!meter.see(line) || meter.total <= 1) return
      const remainingMs = meter.remainingMs(o.clock() - start)
      onStep({
        step: meter.linking ? 'linking' : 'compiling',
        file,
        detail: line,
        done: meter.done,
        total: meter.total,
        ...(remainingMs !== undefined && { remainingMs }),
      })
    },
  })
}
