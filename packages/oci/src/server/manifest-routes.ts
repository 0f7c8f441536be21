import { digestOf, isDigest } from '../digest.ts'
import { OciError } from '../errors.ts'
import { type Descriptor, type Manifest, maximumManifestBytes, mediaTypes, parseManifest, referrerDescriptor } from '../manifest.ts'
import { filterReferrers } from '../referrers.ts'
import { Refusal } from './refusal.ts'
import type { Store } from './store.ts'
import { answer, answerJson, linkHeader, methodNotAllowed, page, readRequest, type Visit } from './visit.ts'

/** Answers below this many bytes; a client takes 4 MiB. */
const referrersPageBytes = 2 * 1024 * 1024

/** `/v2/<name>/manifests/<reference>` */
export async function serveManifest(store: Store, visit: Visit, repository: string, reference: string): Promise<void> {
  switch (visit.method) {
    case 'GET':
    case 'HEAD':
      return get(store, visit, repository, reference)
    case 'PUT':
      return put(store, visit, repository, reference)
    case 'DELETE':
      return remove(store, visit, repository, reference)
    default:
      throw methodNotAllowed('GET, HEAD, PUT, DELETE')
  }
}

/**
 * `/v2/<name>/tags/list`, in lexical order without regard to case (distribution-spec, "Listing Tags")
 * @param known tags that are known from elsewhere, instead of those that are here
 */
export async function serveTags(store: Store, visit: Visit, repository: string, known?: readonly string[]): Promise<void> {
  if (known === undefined && !(await store.exists(repository))) throw new Refusal(404, 'NAME_UNKNOWN', 'no such repository')
  const tags = [...(known ?? (await store.tags(repository)))].sort(byTag)
  const { names, next } = page(visit.query, tags, byTag)
  answerJson(visit, linkHeader(`/v2/${repository}/tags/list`, next), { name: repository, tags: names })
}

/** `/v2/_catalog`, of the repositories that may be pulled from */
export async function serveCatalog(store: Store, visit: Visit, mayPull: (repository: string) => boolean): Promise<void> {
  const { names, next } = page(visit.query, (await store.repositories()).filter(mayPull), byCodeUnit)
  answerJson(visit, linkHeader('/v2/_catalog', next), { repositories: names })
}

/** `/v2/<name>/referrers/<digest>`: always an index, an empty one where nothing refers (distribution-spec, "Listing Referrers") */
export async function serveReferrers(store: Store, visit: Visit, repository: string, digest: string): Promise<void> {
  const artifactType = visit.query.get('artifactType') ?? undefined
  const last = visit.query.get('last') ?? ''
  const all = filterReferrers(await store.referrers(repository, digest), artifactType).filter((entry) => entry.digest > last)
  const manifests = firstPage(all)
  const end = manifests.at(-1)
  const next = end === undefined || manifests.length === all.length ? undefined : new URLSearchParams({ last: end.digest })
  if (next !== undefined && artifactType !== undefined) next.set('artifactType', artifactType)
  const headers = {
    ...linkHeader(`/v2/${repository}/referrers/${digest}`, next),
    ...(artifactType === undefined ? {} : { 'oci-filters-applied': 'artifactType' }),
    'content-type': mediaTypes.imageIndex,
  }
  answerJson(visit, headers, { schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests })
}

async function get(store: Store, visit: Visit, repository: string, reference: string): Promise<void> {
  const manifest = await store.manifest(repository, reference)
  if (manifest === undefined) throw await manifestUnknown(store, repository)
  const { digest, mediaType, bytes } = manifest
  answer(visit, 200, { 'content-type': mediaType, 'docker-content-digest': digest, etag: `"${digest}"` }, bytes)
}

async function put(store: Store, visit: Visit, repository: string, reference: string): Promise<void> {
  const bytes = await readRequest(visit, maximumManifestBytes)
  const manifest = parse(bytes, visit.request.headers['content-type'])
  const digest = digestOf(bytes)
  if (isDigest(reference) && reference !== digest) throw new Refusal(400, 'DIGEST_INVALID', `the content is ${digest}`)
  const { mediaType } = manifest
  const subject = manifest.subject?.digest
  await store.exclusively(repository, async () => {
    await findChildren(store, repository, manifest)
    const listing = referrerDescriptor({ mediaType, digest, size: bytes.length }, manifest)
    await store.putManifest(
      repository,
      { digest, mediaType, bytes },
      { tag: isDigest(reference) ? undefined : reference, subject, listing },
    )
  })
  const headers = { location: `/v2/${repository}/manifests/${digest}`, 'docker-content-digest': digest }
  answer(visit, 201, subject === undefined ? headers : { ...headers, 'oci-subject': subject })
}

async function remove(store: Store, visit: Visit, repository: string, reference: string): Promise<void> {
  await store.exclusively(repository, async () => {
    const manifest = await store.manifest(repository, reference)
    const found = isDigest(reference)
      ? manifest !== undefined &&
        (await store.removeManifest(repository, reference, parseManifest(manifest.bytes, manifest.mediaType).subject?.digest))
      : await store.removeTag(repository, reference)
    if (!found) throw await manifestUnknown(store, repository)
  })
  answer(visit, 202, {})
}

function parse(bytes: Uint8Array, contentType: string | undefined): Manifest {
  const mediaType = contentType?.split(';', 1)[0]?.trim().toLowerCase()
  try {
    return parseManifest(bytes, mediaType)
  } catch (error) {
    if (error instanceof OciError) throw new Refusal(400, 'MANIFEST_INVALID', error.message)
    throw error
  }
}

/** What a manifest points to must be here first, so that nothing in the registry points to what is missing. */
async function findChildren(store: Store, repository: string, manifest: Manifest): Promise<void> {
  for (const blob of manifest.blobs) checkSize(blob, await store.blobSize(repository, blob.digest))
  for (const child of manifest.manifests) checkSize(child, await store.manifestSize(repository, child.digest))
}

function checkSize(descriptor: Descriptor, size: number | undefined): void {
  if (size === undefined)
    throw new Refusal(400, 'MANIFEST_BLOB_UNKNOWN', `push ${descriptor.digest} (${descriptor.mediaType}) to this repository first`)
  if (size !== descriptor.size) throw new Refusal(400, 'MANIFEST_INVALID', `${descriptor.digest} has ${size} bytes, not ${descriptor.size}`)
}

async function manifestUnknown(store: Store, repository: string): Promise<Refusal> {
  if (!(await store.exists(repository))) return new Refusal(404, 'NAME_UNKNOWN', 'no such repository')
  return new Refusal(404, 'MANIFEST_UNKNOWN', 'this repository has no such manifest or tag')
}

function firstPage(entries: readonly Descriptor[]): Descriptor[] {
  let bytes = 0
  const end = entries.findIndex((entry, at) => {
    bytes += JSON.stringify(entry).length
    return at > 0 && bytes > referrersPageBytes
  })
  return end < 0 ? [...entries] : entries.slice(0, end)
}

function byTag(a: string, b: string): number {
  return byCodeUnit(a.toLowerCase(), b.toLowerCase()) || byCodeUnit(a, b)
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
