import { readFile, realpath, stat } from 'node:fs/promises'
import { isAbsolute, join, relative, resolve } from 'node:path'
import { CommandFailure, runCommand } from './command.ts'
import { readDocuments } from './documents.ts'
import { BundleError } from './errors.ts'
import { limits } from './limits.ts'
import { isRecord } from './object.ts'

/** Renders a kustomization folder to YAML. */
export type RenderKustomize = (dir: string, signal?: AbortSignal) => Promise<string>

const defaultTimeoutMs = 60_000
const fileNames = ['kustomization.yaml', 'kustomization.yml', 'Kustomization']
const maximumFolders = 1000

/**
 * Renders by a real Kustomize: the command gets the folder as its last argument, as in `['kubectl', 'kustomize']`.
 * It runs without a shell, for 60 s at most, with nothing in its environment but a proxy that does not answer, and no PATH, so that
 * a fetch that {@link refuseRemote} did not see fails instead of happening. Give the program by its absolute path.
 */
export function kustomizeWith(command: readonly string[], options: { readonly timeoutMs?: number } = {}): RenderKustomize {
  return async (dir, signal) => {
    try {
      return await runCommand([...command, dir], {
        cwd: dir,
        env: offline,
        timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
        maximumOutput: limits.renderedBytes,
        signal,
      })
    } catch (cause) {
      if (!(cause instanceof CommandFailure)) throw cause
      const subject =
        cause.reason === 'NotStarted' ? `${command[0] ?? 'Kustomize'} could not be started` : `Kustomize could not render ${dir}`
      throw new BundleError('KustomizeFailed', `${subject}: ${cause.message.slice(0, 2000)}.`, { cause })
    }
  }
}

/** Port 9 is the discard service: nothing is proxied there. */
const offline = { HTTP_PROXY: 'http://127.0.0.1:9', HTTPS_PROXY: 'http://127.0.0.1:9', NO_PROXY: '', PATH: '' }

/**
 * Refuses a kustomization that would fetch something: URLs and git repositories wherever Kustomize takes a path, and Helm charts.
 * Follows local folders. A bundle is made offline, from what is under review.
 * @param root a folder that local paths must not leave
 * @throws BundleError `RemoteResource`, or `KustomizeFailed` where there is no kustomization
 */
export async function refuseRemote(dir: string, root?: string): Promise<void> {
  const bounds = root === undefined ? undefined : await realpath(root)
  const seen = new Set<string>()
  const waiting = [resolve(dir)]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const folder = await realpath(next).catch((cause: unknown) => {
      throw new BundleError('KustomizeFailed', `${dir} is not a folder that can be read.`, { cause })
    })
    if (seen.has(folder)) continue
    seen.add(folder)
    if (seen.size > maximumFolders)
      throw new BundleError('TooLarge', `The kustomization ${dir} takes in more than ${maximumFolders} folders.`)
    if (bounds !== undefined && isOutside(bounds, folder)) {
      throw new BundleError('RemoteResource', `The kustomization ${dir} takes in ${folder}, which is outside of ${root}.`)
    }
    waiting.push(...(await checkFolder(folder)))
  }
}

function isOutside(root: string, path: string): boolean {
  const way = relative(root, path)
  return way === '..' || way.startsWith('../') || isAbsolute(way)
}

/** Checks one kustomization file; returns the folders that it takes in. */
async function checkFolder(dir: string): Promise<string[]> {
  const { file, text } = await readKustomization(dir)
  const folders: string[] = []
  for (const document of readDocuments(text, { file, code: 'KustomizeFailed' })) {
    if (!isRecord(document.value)) throw new BundleError('KustomizeFailed', `${document.position()}: this is not a kustomization.`)
    for (const field of ['helmCharts', 'helmChartInflationGenerator']) {
      if (document.value[field] === undefined) continue
      throw new BundleError(
        'RemoteResource',
        `${document.position([field])}: ${field} fetches charts. Render the chart into files and name those.`,
      )
    }
    for (const { path, at } of pathsOf(document.value)) {
      if (isRemote(path)) {
        throw new BundleError(
          'RemoteResource',
          `${document.position(at)}: "${path.slice(0, 200)}" is not on this machine. A bundle is made offline: copy it beside the kustomization.`,
        )
      }
      const target = resolve(dir, path)
      const found = await stat(target).catch(() => undefined)
      if (found?.isDirectory() === true) folders.push(target)
    }
  }
  return folders
}

async function readKustomization(dir: string): Promise<{ file: string; text: string }> {
  for (const name of fileNames) {
    const file = join(dir, name)
    const text = await readFile(file, 'utf8').catch(() => undefined)
    if (text !== undefined) return { file, text }
  }
  throw new BundleError('KustomizeFailed', `${dir} has no kustomization.yaml.`)
}

interface PathAt {
  readonly path: string
  readonly at: PropertyKey[]
}

const lists = [
  'resources',
  'bases',
  'components',
  'crds',
  'configurations',
  'generators',
  'transformers',
  'validators',
  'patchesStrategicMerge',
]
const withPath = ['patches', 'patchesJson6902', 'replacements']
const generators = ['configMapGenerator', 'secretGenerator']

/** Every field that Kustomize reads a file or folder by (`Kustomization` of its API, v1beta1). */
function pathsOf(kustomization: Record<string, unknown>): PathAt[] {
  const found: PathAt[] = []
  const add = (value: unknown, at: PropertyKey[]) => {
    // Text of several lines is an inline patch or configuration.
    if (typeof value === 'string' && !value.includes('\n')) found.push({ path: value, at })
  }
  for (const field of lists) for (const [at, value] of entriesOf(kustomization[field]).entries()) add(value, [field, at])
  for (const field of withPath) {
    for (const [at, value] of entriesOf(kustomization[field]).entries()) if (isRecord(value)) add(value['path'], [field, at, 'path'])
  }
  for (const field of generators) {
    for (const [at, value] of entriesOf(kustomization[field]).entries()) {
      if (!isRecord(value)) continue
      add(value['env'], [field, at, 'env'])
      for (const [n, item] of entriesOf(value['envs']).entries()) add(item, [field, at, 'envs', n])
      for (const [n, item] of entriesOf(value['files']).entries()) {
        // `key=path`, or a path alone.
        if (typeof item === 'string') add(item.slice(item.indexOf('=') + 1), [field, at, 'files', n])
      }
    }
  }
  const { openapi } = kustomization
  if (isRecord(openapi)) add(openapi['path'], ['openapi', 'path'])
  return found
}

function entriesOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

/** What Kustomize takes for a URL or a git repository, on the safe side. */
function isRemote(path: string): boolean {
  return /^\s*(?:[a-z][a-z0-9+.-]*:|[^/]*@|github\.com(?:[/:]|$))/i.test(path) || /[?]|:\/\//.test(path)
}
