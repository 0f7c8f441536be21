import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CommandFailure, runCommand } from '../command.ts'
import { BundleError } from '../errors.ts'
import { limits } from '../limits.ts'

/** One rendering of a chart. */
export interface HelmRequest {
  readonly chartDir: string
  readonly release: string
  readonly namespace: string
  readonly kubeVersion: string
  readonly apiVersions: readonly string[]
  /** Files, the later over the earlier. */
  readonly valuesFiles: readonly string[]
  /** A folder for what Helm writes beside its output. */
  readonly workDir: string
  /** Hours east of UTC of the clock that templates see. */
  readonly zoneHours: number
  /** Names the chart in messages. */
  readonly what: string
}

/** Renders a chart to YAML, each document below a line `# Source: chart/templates/file.yaml`. */
export type RenderHelm = (request: HelmRequest, signal?: AbortSignal) => Promise<string>

const defaultTimeoutMs = 60_000

/**
 * Renders by the real Helm, as `helm template` does: without a cluster (`lookup` finds nothing), without a network, with nothing of
 * the caller's environment, for 60 s and in 1 GiB of memory at most.
 * @param helm the program's path, found or built when it is first needed
 */
export function helmWith(helm: () => Promise<string>, options: { readonly timeoutMs?: number } = {}): RenderHelm {
  return async (request, signal) => {
    const { chartDir, release, namespace, kubeVersion, apiVersions, valuesFiles, workDir, zoneHours, what } = request
    const program = await helm()
    await mkdir(workDir, { recursive: true })
    const zone = join(workDir, `zone${zoneHours}`)
    await writeFile(zone, zoneFile(zoneHours))
    const command = [
      program,
      'template',
      release,
      chartDir,
      ...['--namespace', namespace],
      ...['--kube-version', kubeVersion],
      ...apiVersions.flatMap((one) => ['--api-versions', one]),
      ...valuesFiles.flatMap((file) => ['--values', file]),
      '--include-crds',
    ]
    try {
      return await runCommand(command, {
        cwd: workDir,
        env: { ...offline, HOME: workDir, HELM_CACHE_HOME: workDir, HELM_CONFIG_HOME: workDir, HELM_DATA_HOME: workDir, TZ: zone },
        timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
        maximumOutput: limits.renderedBytes,
        maximumMemory: limits.renderMemoryBytes,
        signal,
      })
    } catch (cause) {
      if (!(cause instanceof CommandFailure)) throw cause
      if (cause.reason === 'NotStarted')
        throw new BundleError('HelmFailed', `${program} could not be started: ${cause.message}.`, { cause })
      const code = cause.reason === 'Failed' ? 'HelmFailed' : 'TooLarge'
      throw new BundleError(code, `Helm could not render the chart ${what}: ${withoutPath(cause.message, chartDir).slice(0, 2000)}.`, {
        cause,
      })
    }
  }
}

/** Port 9 is the discard service: nothing is proxied there. A garbage collector that works earlier keeps to the bound on memory. */
const offline = {
  HTTP_PROXY: 'http://127.0.0.1:9',
  HTTPS_PROXY: 'http://127.0.0.1:9',
  NO_PROXY: '',
  PATH: '',
  HELM_NO_PLUGINS: '1',
  GOMEMLIMIT: '768MiB',
  GOTRACEBACK: 'none',
}

function withoutPath(message: string, dir: string): string {
  return message.replaceAll(`${dir}/`, '').replace(/^Error: /, '')
}

/** A zone without rules, in the form of RFC 8536, version 1: nothing on the machine has to know it. */
function zoneFile(hours: number): Uint8Array {
  const name = Buffer.from('ZZZ\0', 'latin1')
  const file = Buffer.alloc(44 + 6 + name.length)
  file.write('TZif', 0, 'latin1')
  // One type of local time, and the characters of its name.
  file.writeUInt32BE(1, 36)
  file.writeUInt32BE(name.length, 40)
  file.writeInt32BE(hours * 3600, 44)
  name.copy(file, 50)
  return file
}
