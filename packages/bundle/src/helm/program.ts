import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { CommandFailure, runCommand } from '../command.ts'
import { BundleError } from '../errors.ts'
import { helmModule, helmVersion } from './defaults.ts'

export interface HelmProgramOptions {
  /** Programs that were built are kept here, by name and version. */
  readonly cacheDir: string
  /** Where helm and go are looked up (PATH), and what go sees of the caller's settings. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal | undefined
  /** Said before it is built. */
  readonly onBuild?: (() => void) | undefined
}

const buildDeadlineMs = 30 * 60_000

/**
 * The Helm that renders: the one of this version that was built before, or is on PATH; else it is built from its Go module, which the
 * go command checks against the checksum database. That takes minutes, once.
 * @returns its absolute path
 * @throws BundleError `HelmFailed`
 */
export async function helmProgram(options: HelmProgramOptions): Promise<string> {
  const built = join(options.cacheDir, `helm-${helmVersion}`, 'helm')
  if (await exists(built)) return built
  return (await onPath(options)) ?? build(built, options)
}

/** Each minor version may render in its own way, so only a program of the same one is taken. */
async function onPath({ env, signal }: HelmProgramOptions): Promise<string | undefined> {
  for (const dir of (env['PATH'] ?? '').split(delimiter)) {
    const program = join(dir, 'helm')
    if (!dir.startsWith('/') || !(await exists(program))) continue
    const said = await runCommand([program, 'version', '--template', '{{.Version}}'], {
      env: { PATH: '', HOME: '/nonexistent' },
      timeoutMs: 10_000,
      maximumOutput: 1000,
      signal,
    }).catch(() => '')
    return minor(said.trim()) === minor(helmVersion) ? program : undefined
  }
  return undefined
}

function minor(version: string): string {
  return /^v\d+\.\d+/.exec(version)?.[0] ?? ''
}

async function build(file: string, options: HelmProgramOptions): Promise<string> {
  const place = join(file, '..')
  await mkdir(options.cacheDir, { recursive: true })
  options.onBuild?.()
  // Two that build at once each build their own: the later one finds that it is there.
  const dir = await mkdtemp(`${place}.making-`)
  try {
    await runCommand(['go', 'install', '-trimpath', '-ldflags=-s -w', `${helmModule}@${helmVersion}`], {
      env: { ...options.env, GOBIN: dir, CGO_ENABLED: '0', GOFLAGS: '-mod=mod', GOWORK: 'off' },
      timeoutMs: buildDeadlineMs,
      maximumOutput: 1024 * 1024,
      signal: options.signal,
    })
    await rename(dir, place).catch(async (error: unknown) => {
      if (!(await exists(file))) throw error
    })
    return file
  } catch (cause) {
    if (!(cause instanceof CommandFailure)) throw cause
    const why =
      cause.reason === 'NotStarted'
        ? 'go could not be started; install Go, or put a helm of this version on PATH'
        : cause.message.slice(-1500)
    throw new BundleError('HelmFailed', `Helm ${helmVersion}, which renders charts, could not be built: ${why}.`, {
      cause,
      transient: cause.reason !== 'NotStarted',
    })
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}
