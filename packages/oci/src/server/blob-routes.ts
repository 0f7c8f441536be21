import { open } from 'node:fs/promises'
import { isDigest } from '../digest.ts'
import { errno } from '../disk.ts'
import { isRepository } from '../reference.ts'
import { sendFile } from './blob-sender.ts'
import { parseChunkRange, parseRange } from './range.ts'
import { Refusal } from './refusal.ts'
import { invalidDigest } from './route.ts'
import type { Store } from './store.ts'
import { type UploadSession, type Uploads, uploadRange } from './uploads.ts'
import { answer, incoming, methodNotAllowed, type Visit } from './visit.ts'

/** `/v2/<name>/blobs/<digest>` */
export async function serveBlob(store: Store, visit: Visit, repository: string, digest: string): Promise<void> {
  if (visit.method === 'DELETE') {
    if (!(await store.unlinkBlob(repository, digest))) throw blobUnknown()
    return answer(visit, 202, {})
  }
  if (visit.method !== 'GET' && visit.method !== 'HEAD') throw methodNotAllowed('GET, HEAD, DELETE')
  // Who asks whether a blob is here is about to push a manifest that names it.
  if (visit.method === 'HEAD') await store.renewBlob(repository, digest)
  if ((await store.blobSize(repository, digest)) === undefined) throw blobUnknown()
  const handle = await open(store.contentPath(digest), 'r').catch((error: unknown) => {
    throw errno(error) === 'ENOENT' ? blobUnknown() : error
  })
  try {
    const { size } = await handle.stat()
    const headers = {
      'content-type': 'application/octet-stream',
      'docker-content-digest': digest,
      etag: `"${digest}"`,
      'accept-ranges': 'bytes',
      'cache-control': 'max-age=31536000, immutable',
    }
    const range = visit.method === 'HEAD' ? undefined : parseRange(visit.request.headers.range, size)
    if (range === 'unsatisfiable')
      throw new Refusal(416, 'SIZE_INVALID', `the blob has ${size} bytes`, { 'content-range': `bytes */${size}` })
    const { start, end } = range ?? { start: 0, end: size - 1 }
    const partial = range === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${size}` }
    visit.response.writeHead(range === undefined ? 200 : 206, { ...headers, ...partial, 'content-length': end - start + 1 })
    if (visit.method === 'HEAD' || size === 0) visit.response.end()
    else await sendFile(handle, { start, end }, visit.response)
  } finally {
    await handle.close()
  }
}

/** `/v2/<name>/blobs/uploads/`: begins an upload, takes a whole blob at once, or mounts one from another repository. */
export async function serveUploads(store: Store, uploads: Uploads, visit: Visit, repository: string): Promise<void> {
  if (visit.method !== 'POST') throw methodNotAllowed('POST')
  const mount = visit.query.get('mount')
  if (mount !== null && (await mounted(store, repository, mount, visit.query.get('from')))) return created(visit, repository, mount)
  const digest = visit.query.get('digest')
  if (digest !== null && !isDigest(digest)) throw invalidDigest()
  const session = await uploads.create(repository)
  if (digest !== null) return finish(store, uploads, visit, session, digest, undefined)
  answer(visit, 202, { ...uploadLocation(session), range: '0-0', 'docker-upload-uuid': session.id })
}

/** `/v2/<name>/blobs/uploads/<id>` */
export async function serveUpload(store: Store, uploads: Uploads, visit: Visit, repository: string, id: string): Promise<void> {
  const session = uploads.get(repository, id)
  switch (visit.method) {
    case 'GET':
    case 'HEAD':
      await uploads.settle(session)
      return answer(visit, 204, { ...uploadLocation(session), ...uploadRange(session), 'docker-upload-uuid': id })
    case 'PATCH':
      await uploads.append(session, chunkStart(visit), incoming(visit))
      return answer(visit, 202, { ...uploadLocation(session), ...uploadRange(session), 'docker-upload-uuid': id })
    case 'PUT': {
      const digest = visit.query.get('digest')
      if (digest === null || !isDigest(digest)) throw invalidDigest()
      return finish(store, uploads, visit, session, digest, chunkStart(visit))
    }
    case 'DELETE':
      await uploads.remove(session)
      return answer(visit, 204, {})
    default:
      throw methodNotAllowed('GET, PATCH, PUT, DELETE')
  }
}

async function finish(
  store: Store,
  uploads: Uploads,
  visit: Visit,
  session: UploadSession,
  digest: string,
  start: number | undefined,
): Promise<void> {
  const body = incoming(visit)
  await uploads.append(session, start, body)
  await uploads.finish(session, digest, body, async (file) => {
    await store.adoptBlob(session.repository, file, digest)
  })
  created(visit, session.repository, digest)
}

/**
 * A mount is a link to content that is there already. Every user may read every repository, so where it comes from does not matter
 * beyond existing; without `from`, any repository will do (distribution-spec, "Mounting a blob from another repository").
 */
async function mounted(store: Store, repository: string, digest: string, from: string | null): Promise<boolean> {
  if (!isDigest(digest)) throw invalidDigest()
  if (from !== null && !isRepository(from)) throw new Refusal(400, 'NAME_INVALID', 'the name of the repository to mount from is malformed')
  return store.mountBlob(repository, digest, from)
}

function chunkStart(visit: Visit): number | undefined {
  const header = visit.request.headers['content-range']
  if (header === undefined) return undefined
  const range = parseChunkRange(header)
  const length = visit.request.headers['content-length']
  if (range === undefined || (length !== undefined && Number(length) !== range.end - range.start + 1)) {
    throw new Refusal(416, 'BLOB_UPLOAD_INVALID', 'Content-Range is malformed or does not agree with Content-Length')
  }
  return range.start
}

function created(visit: Visit, repository: string, digest: string): void {
  answer(visit, 201, { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest })
}

function uploadLocation(session: UploadSession): { location: string } {
  return { location: `/v2/${session.repository}/blobs/uploads/${session.id}` }
}

function blobUnknown(): Refusal {
  return new Refusal(404, 'BLOB_UNKNOWN', 'this repository has no such blob')
}
