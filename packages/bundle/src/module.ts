import { CommandFailure, runCommand } from './command.ts'
import { BundleError } from './errors.ts'
import { isRecord } from './object.ts'

/** Brings a Go module (`path@version`) onto this machine; returns its folder and its checksum as in go.sum (`h1:…`). */
export type FetchGoModule = (goModule: string, signal?: AbortSignal) => Promise<{ dir: string; sum: string }>

const defaultTimeoutMs = 10 * 60_000

/**
 * Fetches by the real go command, which verifies the module against the checksum database as it is configured to.
 * Runs without a shell, for 10 minutes at most.
 * @param env where the command is looked up (PATH), and what it sees of the caller's settings (GOPROXY and the like)
 */
export function goModuleWith(
  env: Readonly<Record<string, string | undefined>>,
  options: { readonly go?: string; readonly timeoutMs?: number } = {},
): FetchGoModule {
  return async (goModule, signal) => {
    const output = await download(goModule, { go: options.go ?? 'go', env, timeoutMs: options.timeoutMs ?? defaultTimeoutMs, signal })
    let answer: unknown
    try {
      answer = JSON.parse(output)
    } catch (cause) {
      throw new BundleError('ModuleUnavailable', `go mod download gave no JSON for ${goModule}. Run it by hand to see why.`, { cause })
    }
    if (!isRecord(answer) || typeof answer['Dir'] !== 'string' || typeof answer['Sum'] !== 'string') {
      throw new BundleError('ModuleUnavailable', `go mod download named no folder and checksum for ${goModule}. Run it by hand to see why.`)
    }
    return { dir: answer['Dir'], sum: answer['Sum'] }
  }
}

async function download(
  goModule: string,
  { go, ...options }: { go: string; env: Readonly<Record<string, string | undefined>>; timeoutMs: number; signal: AbortSignal | undefined },
): Promise<string> {
  try {
    return await runCommand([go, 'mod', 'download', '-json', goModule], { ...options, maximumOutput: 64 * 1024 })
  } catch (cause) {
    if (!(cause instanceof CommandFailure)) throw cause
    const why = cause.reason === 'NotStarted' ? `${go} could not be started. Install Go, or put it on PATH` : cause.message.slice(0, 2000)
    throw new BundleError('ModuleUnavailable', `The Go module ${goModule} could not be fetched: ${why}.`, {
      cause,
      transient: cause.reason !== 'NotStarted',
    })
  }
}
