import { lstat, readdir, readFile, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { readDocuments } from '../documents.ts'
import { BundleError } from '../errors.ts'
import { limits } from '../limits.ts'
import { isRecord } from '../object.ts'
import { unpack } from '../unpack.ts'

/** A chart in a folder that was looked through: bounded, without links. */
export interface Chart {
  readonly dir: string
  readonly name: string
  readonly version: string
  readonly appVersion?: string
  /** values.yaml as text; empty where there is none. */
  readonly valuesText: string
  /** values.schema.json, parsed. */
  readonly schema?: unknown
  /** Whether a template asks for the time: the renderings that are compared must then differ in it. */
  readonly asksForTime: boolean
}

/**
 * Opens a chart: a folder, or a packed one (`.tgz`), which is unpacked into `workDir`.
 * @param what names it in messages
 * @throws BundleError `HelmFailed`, `ArchiveUnsafe`, `TooLarge`
 */
export async function openChart(path: string, workDir: string, what: string): Promise<Chart> {
  const found = await stat(path).catch((cause: unknown) => {
    throw failed(what, 'there is no such folder or file', cause)
  })
  if (found.isDirectory()) return readChart(path, what)
  if (found.size > limits.packedBytes) throw tooLarge(what, `${limits.packedBytes} bytes`)
  return unpackChart(await readFile(path), workDir, what)
}

/** A packed chart holds one folder, which is named like the chart. */
export async function unpackChart(archive: Uint8Array, workDir: string, what: string): Promise<Chart> {
  const files = await unpack(archive, workDir, what)
  const [top, ...others] = new Set(files.map((file) => file.split('/', 1)[0] ?? ''))
  if (top === undefined || others.length > 0 || !files.includes(`${top}/Chart.yaml`)) {
    throw failed(what, 'a packed chart holds one folder with a Chart.yaml')
  }
  return readChart(join(workDir, top), what)
}

async function readChart(dir: string, what: string): Promise<Chart> {
  const asksForTime = await lookThrough(dir, what)
  const chartFile = await readText(dir, 'Chart.yaml', what)
  if (chartFile === undefined) throw failed(what, 'it has no Chart.yaml')
  const about = readDocuments(chartFile, { file: `${what}/Chart.yaml`, code: 'HelmFailed' })[0]?.value
  if (!isRecord(about)) throw failed(what, 'its Chart.yaml is not one')
  const { name, version, appVersion, type } = about
  if (typeof name !== 'string' || typeof version !== 'string') throw failed(what, 'its Chart.yaml has no name or no version')
  if (type === 'library') throw failed(what, 'it is a library chart, which renders to nothing')
  const schema = await readText(dir, 'values.schema.json', what)
  return {
    dir,
    name: name.slice(0, 253),
    version: version.slice(0, 128),
    ...(appVersion === undefined || appVersion === null ? {} : { appVersion: String(appVersion).slice(0, 128) }),
    valuesText: (await readText(dir, 'values.yaml', what)) ?? '',
    ...(schema === undefined ? {} : { schema: parseSchema(schema, what) }),
    asksForTime,
  }
}

/** Templates of all levels, within the bounds. @returns whether one of them asks for the time */
async function lookThrough(dir: string, what: string): Promise<boolean> {
  let total = 0
  let asksForTime = false
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  if (entries.length > 2 * limits.unpackedFiles) throw tooLarge(what, `${limits.unpackedFiles} files`)
  for (const entry of entries) {
    const file = join(entry.parentPath, entry.name)
    const path = relative(dir, file)
    if (entry.isDirectory()) continue
    if (!entry.isFile())
      throw new BundleError('ArchiveUnsafe', `The chart ${what} is not read: ${path} is a link or a device. Put the file itself there.`)
    const { size } = await lstat(file)
    total += size
    if (total > limits.unpackedBytes) throw tooLarge(what, `${limits.unpackedBytes} bytes`)
    // A packed subchart may ask too, and nobody looked.
    if (path.endsWith('.tgz')) asksForTime = true
    else if (!asksForTime && size <= limits.chartFileBytes && /(?:^|\/)templates\//.test(path))
      asksForTime = /\bnow\b|\bdate|\bhtmlDate|\bgen[A-Z]/.test(await readFile(file, 'latin1'))
  }
  return asksForTime
}

async function readText(dir: string, name: string, what: string): Promise<string | undefined> {
  const file = join(dir, name)
  const found = await stat(file).catch(() => undefined)
  if (found === undefined) return undefined
  if (found.size > limits.chartFileBytes) throw tooLarge(`${what}/${name}`, `${limits.chartFileBytes} bytes`)
  return readFile(file, 'utf8')
}

function parseSchema(text: string, what: string): unknown {
  const [document] = readDocuments(text, { file: `${what}/values.schema.json`, code: 'HelmFailed' })
  return document?.value
}

function failed(what: string, why: string, cause?: unknown): BundleError {
  return new BundleError('HelmFailed', `The chart ${what} cannot be used: ${why}.`, { cause })
}

function tooLarge(what: string, bound: string): BundleError {
  return new BundleError('TooLarge', `The chart ${what} has more than ${bound}.`)
}
