import { createHash, randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Descriptor } from '@muster/oci'
import * as z from 'zod'
import { arrange, type LayerEntry } from './entry.ts'
import { gzip, gzipLevel } from './gzip.ts'
import { writeTar } from './tar.ts'

/** OCI image spec, layer.md: a gzip-compressed tar changeset. */
export const layerMediaType = 'application/vnd.oci.image.layer.v1.tar+gzip'

/** Raised when the bytes of a layer change for the same entries, so that an old cache is not taken. */
const format = 1

/** A layer that lies in the cache, ready to be pushed. */
export interface Layer {
  readonly descriptor: Descriptor
  /** sha256 of the uncompressed tar: equal for equal entries on every machine. */
  readonly diffId: string
  /** Uncompressed bytes. */
  readonly tarSize: number
  /** Said in the image's history. */
  readonly title: string
  readonly open: () => AsyncIterable<Uint8Array>
  /** Forgets it, so that it is made again: for whoever finds its bytes damaged. */
  readonly discard: () => Promise<void>
}

export interface LayerOptions {
  readonly cacheDir: string
  /** Seconds since 1970 that every entry gets (SOURCE_DATE_EPOCH). */
  readonly mtime: number
  readonly title: string
  readonly signal?: AbortSignal
}

const recordSchema = z.object({ diffId: z.string(), digest: z.string(), size: z.number(), tarSize: z.number() })

/**
 * Packs entries into a layer, or takes the one that the cache has for the same entries. Streams: no file is held whole in
 * memory. Writers of the same cache folder do not disturb each other.
 */
export async function makeLayer(entries: Iterable<LayerEntry>, options: LayerOptions): Promise<Layer> {
  const arranged = arrange(entries)
  const key = layerKey(arranged, options.mtime)
  const dir = join(options.cacheDir, 'layers')
  const file = join(dir, `${key}.tar.gz`)
  const record = join(dir, `${key}.json`)
  const cached = await readCached(file, record)
  if (cached !== undefined) return layerFrom(cached, file, record, options.title)

  await mkdir(dir, { recursive: true })
  const unique = randomUUID()
  const temporary = join(dir, `.${unique}.tmp`)
  const temporaryRecord = join(dir, `.${unique}.json.tmp`)
  try {
    const measure = await writeLayer(arranged, temporary, options)
    await writeFile(temporaryRecord, JSON.stringify(measure), { flush: true })
    // The record last: a layer without one is made again.
    await rename(temporary, file)
    await rename(temporaryRecord, record)
    return layerFrom(measure, file, record, options.title)
  } finally {
    await rm(temporary, { force: true })
    await rm(temporaryRecord, { force: true })
  }
}

type Measure = z.infer<typeof recordSchema>

async function writeLayer(entries: readonly LayerEntry[], file: string, options: LayerOptions): Promise<Measure> {
  const plain = createHash('sha256')
  const packed = createHash('sha256')
  let tarSize = 0
  let size = 0
  async function* tar() {
    for await (const chunk of writeTar(entries, options.mtime)) {
      plain.update(chunk)
      tarSize += chunk.length
      yield chunk
    }
  }
  async function* compressed() {
    for await (const chunk of gzip(tar())) {
      packed.update(chunk)
      size += chunk.length
      yield chunk
    }
  }
  const output = createWriteStream(file, { flush: true, mode: 0o644 })
  if (options.signal === undefined) await pipeline(compressed, output)
  else await pipeline(compressed, output, { signal: options.signal })
  return { diffId: `sha256:${plain.digest('hex')}`, digest: `sha256:${packed.digest('hex')}`, size, tarSize }
}

/** Names the content: everything that decides the bytes of the layer. */
function layerKey(entries: readonly LayerEntry[], mtime: number): string {
  const hash = createHash('sha256')
  hash.update(JSON.stringify([format, gzipLevel, process.versions.zlib, mtime]))
  for (const entry of entries) {
    const content = entry.kind === 'file' ? [entry.content.sha256, entry.content.size] : entry.kind === 'symlink' ? [entry.target] : []
    const mode = entry.kind === 'symlink' ? 0o777 : entry.mode
    hash.update(`\n${JSON.stringify([entry.kind, entry.path, mode, entry.uid ?? 0, entry.gid ?? 0, ...content])}`)
  }
  return hash.digest('hex')
}

async function readCached(file: string, record: string): Promise<Measure | undefined> {
  try {
    const measure = recordSchema.parse(JSON.parse(await readFile(record, 'utf8')))
    // The content is verified by whoever takes it: a target checks the digest of each blob.
    return (await stat(file)).size === measure.size ? measure : undefined
  } catch {
    return undefined
  }
}

function layerFrom(measure: Measure, file: string, record: string, title: string): Layer {
  return {
    descriptor: { mediaType: layerMediaType, digest: measure.digest, size: measure.size },
    diffId: measure.diffId,
    tarSize: measure.tarSize,
    title,
    open: () => createReadStream(file, { highWaterMark: 1 << 20 }),
    discard: () => rm(record, { force: true }),
  }
}
