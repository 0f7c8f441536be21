import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ContentSource, type Descriptor, OciError } from '@muster/oci'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ContentCache } from './content-cache.ts'

const bytes = Buffer.from('content')
const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
const descriptor: Descriptor = { mediaType: 'application/octet-stream', digest, size: bytes.length }
const away = new OciError('Unreachable', 'away')

let dir: string
let asked: number
let down: boolean

const remote: ContentSource = {
  resolve: async () => descriptor,
  manifest: async () => answer({ descriptor, bytes }),
  blob: async function* () {
    yield answer(bytes)
  },
  referrers: async () => answer([descriptor]),
}

function answer<T>(value: T): T {
  asked += 1
  if (down) throw away
  return value
}

async function read(source: ContentSource): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of source.blob(descriptor)) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-cache-'))
  asked = 0
  down = false
})

afterEach(async () => {
  await rm(dir, { recursive: true, force: true })
})

describe('content that was pulled once', () => {
  it('is there without the registry: blobs, manifests and the list of signatures', async () => {
    const source = new ContentCache(dir).over(remote)
    await read(source)
    await source.manifest(digest)
    await source.referrers(digest, { artifactType: 'x' })
    down = true
    const again = new ContentCache(dir).over(remote)
    expect(await read(again)).toBe('content')
    expect(Buffer.from((await again.manifest(digest)).bytes).toString('utf8')).toBe('content')
    expect(await again.referrers(digest, { artifactType: 'x' })).toEqual([descriptor])
    await expect(again.referrers(digest, { artifactType: 'another' })).rejects.toBe(away)
  })

  it('is fetched again when someone changed it on disk', async () => {
    const source = new ContentCache(dir).over(remote)
    await read(source)
    await source.manifest(digest)
    for (const folder of ['blobs', 'manifests']) {
      for (const name of await readdir(join(dir, folder))) await writeFile(join(dir, folder, name), 'CONTENT')
    }
    asked = 0
    expect(await read(source)).toBe('content')
    expect(Buffer.from((await source.manifest(digest)).bytes).toString('utf8')).toBe('content')
    expect(asked).toBe(2)
  })

  it('is asked of the registry each time where the disk takes nothing', async () => {
    await writeFile(join(dir, 'file'), '')
    const source = new ContentCache(join(dir, 'file')).over(remote)
    expect(await read(source)).toBe('content')
    expect(await read(source)).toBe('content')
    expect(asked).toBe(2)
  })

  it('is deleted when the cache is larger than it may be', async () => {
    const cache = new ContentCache(dir, { maxBytes: 0 })
    await read(cache.over(remote))
    await cache.trim()
    expect(await readdir(join(dir, 'blobs'))).toEqual([])
  })
})
