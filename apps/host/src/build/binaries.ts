import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { chmod, readFile, stat } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { get } from 'node:https'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { BuildError } from './build-error.ts'
import { type Architecture, type BinaryGroup, checksumsLimit, decideBinaries, parsePins } from './checksums.ts'
import type { BuildStep } from './go-build.ts'
import { type Environment, runTool } from './run-tool.ts'

/** Official release binaries to be used instead of building. */
export interface BinarySource {
  /** A folder, or an https address under which each binary lies by its name. */
  readonly from: string
  /** Path of a file with their digests, as sha256sum writes it. May be left out only where distro/checksums.json pins them. */
  readonly checksumsFile?: string
  /** SHA-256 that the checksums file itself must have; 64 hexadecimal digits. */
  readonly checksumsSha256?: string
  /** Certificate authority of the https address (PEM), where it is not a public one. */
  readonly ca?: string
}

const binaryLimit = 1024 * 1024 * 1024
const idleTimeoutMs = 30_000
const downloadTimeoutMs = 20 * 60_000
const redirectLimit = 5

/** Reads the pins and the user's checksums file. @throws BuildError as decideBinaries does, and BinaryMissing for the file */
export async function loadBinaryPlan(
  source: BinarySource,
  distroDir: string,
  arch: Architecture,
): Promise<Map<BinaryGroup, Map<string, string>>> {
  const pins = parsePins(await readFile(join(distroDir, 'checksums.json'), 'utf8'), arch)
  if (source.checksumsFile === undefined) return decideBinaries({ pins, fileDigest: source.checksumsSha256 })
  const found = await stat(source.checksumsFile).catch(() => undefined)
  if (found === undefined) throw new BuildError('ChecksumsMissing', `There is no checksums file at ${source.checksumsFile}.`)
  if (found.size > checksumsLimit) throw new BuildError('TooLarge', `The checksums file ${source.checksumsFile} is larger than 1 MiB.`)
  const bytes = await readFile(source.checksumsFile)
  return decideBinaries({
    pins,
    file: { text: bytes.toString('utf8'), sha256: createHash('sha256').update(bytes).digest('hex') },
    fileDigest: source.checksumsSha256?.toLowerCase(),
  })
}

/**
 * Puts binaries into `outDir`, each only under a temporary name until its digest was found right. Whatever fails, fails the
 * whole: the caller throws the folder away.
 *
 * @throws BuildError InsecureUrl, BinaryMissing, ChecksumMismatch, TooLarge, DownloadFailed, Aborted
 */
export async function takeBinaries(o: {
  source: BinarySource
  binaries: ReadonlyMap<string, string>
  outDir: string
  signal: AbortSignal
  onStep: (step: BuildStep) => void
}): Promise<void> {
  const base = sourceUrl(o.source.from)
  const total = o.binaries.size
  let done = 0
  for (const [name, expected] of o.binaries) {
    o.onStep({ step: 'downloading', file: name, done, total })
    const path = join(o.outDir, name)
    const signal = AbortSignal.any([o.signal, AbortSignal.timeout(downloadTimeoutMs)])
    try {
      const stream =
        base === undefined ? await openFile(o.source.from, name) : await download(new URL(name, base), name, o.source.ca, signal)
      const found = await writeBounded(stream, path, name, signal)
      if (found !== expected) {
        throw new BuildError(
          'ChecksumMismatch',
          `${name} from ${o.source.from} has the digest ${found}, not ${expected}: nothing of it is used.`,
        )
      }
    } catch (error) {
      if (error instanceof BuildError) throw error
      if (o.signal.aborted) throw new BuildError('Aborted', `Taking ${name} was cancelled.`, { cause: error })
      const why = signal.aborted ? 'it took longer than 20 minutes' : (error as Error).message
      throw new BuildError('DownloadFailed', `${name} could not be read from ${o.source.from}: ${why}.`, { transient: true, cause: error })
    }
    await chmod(path, 0o755)
    done++
  }
}

/** The address that names are looked up under; undefined for a folder. @throws BuildError InsecureUrl */
function sourceUrl(from: string): URL | undefined {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(from)) return undefined
  const url = URL.canParse(from) ? new URL(from) : undefined
  if (url?.protocol !== 'https:') {
    throw new BuildError('InsecureUrl', `Binaries are taken from a folder or an https address, not from ${from}.`)
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

async function openFile(dir: string, name: string): Promise<AsyncIterable<Buffer>> {
  const path = join(dir, name)
  const found = await stat(path).catch(() => undefined)
  if (!found?.isFile()) throw new BuildError('BinaryMissing', `${name} is not in ${dir}: lay all binaries of the checksums file there.`)
  return createReadStream(path)
}

async function download(url: URL, name: string, ca: string | undefined, signal: AbortSignal): Promise<IncomingMessage> {
  let at = url
  for (let redirects = 0; redirects <= redirectLimit; redirects++) {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = get(at, { signal, timeout: idleTimeoutMs, agent: false, ...(ca !== undefined && { ca }) }, resolve)
      request.on('timeout', () => request.destroy(new Error('the server was silent for 30 seconds')))
      request.on('error', reject)
    })
    const status = response.statusCode ?? 0
    const location = response.headers.location
    if (status === 200) return response
    response.destroy()
    if (status >= 300 && status < 400 && location !== undefined && URL.canParse(location, at.href)) {
      at = new URL(location, at)
      if (at.protocol !== 'https:')
        throw new BuildError('InsecureUrl', `The server of ${name} leads to an address that is not https: refused.`)
    } else if (status === 404 || status === 410) {
      throw new BuildError('BinaryMissing', `${name} is not at ${url.href} (HTTP ${status}).`)
    } else {
      throw new BuildError('DownloadFailed', `${url.href} answered HTTP ${status}.`, { transient: status >= 500 || status === 429 })
    }
  }
  throw new BuildError('DownloadFailed', `${url.href} leads from one address to the next more than ${redirectLimit} times.`)
}

async function writeBounded(content: AsyncIterable<Buffer>, path: string, name: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  let size = 0
  await pipeline(
    content,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        size += chunk.length
        if (size > binaryLimit) throw new BuildError('TooLarge', `${name} is larger than 1 GiB, which no such binary is.`)
        hash.update(chunk)
        yield chunk
      }
    },
    createWriteStream(path, { mode: 0o600 }),
    { signal },
  )
  return hash.digest('hex')
}

/**
 * Asks binaries whose digests were right for their version: a checksums file of another release is a likely mistake.
 *
 * @throws BuildError VersionMismatch
 */
export async function checkVersions(o: {
  dir: string
  /** Version by name of binary, as `v1.2.3`. */
  expected: Readonly<Record<string, string>>
  env: Environment
  signal: AbortSignal
}): Promise<void> {
  for (const [name, version] of Object.entries(o.expected)) {
    const args = name === 'kubectl' ? ['version', '--client'] : ['--version']
    const said = await runTool({ command: join(o.dir, name), args, env: o.env, signal: o.signal, timeoutMs: 60_000 })
    const words = said.split(/\s+/)
    if (!words.includes(version) && !words.includes(version.replace(/^v/, ''))) {
      throw new BuildError(
        'VersionMismatch',
        `${name} says it is "${said.split('\n')[0]}", but ${version} is pinned: give the binaries of that release.`,
      )
    }
  }
}
