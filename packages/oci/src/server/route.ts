import { isDigest } from '../digest.ts'
import { isRepository, isTag } from '../reference.ts'
import { Refusal } from './refusal.ts'

/** What a path of the API names (distribution-spec, "Endpoints"). Every name in it has been checked. */
export type Route =
  | { readonly kind: 'version' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'tags'; readonly repository: string }
  | { readonly kind: 'manifest'; readonly repository: string; readonly reference: string }
  | { readonly kind: 'blob'; readonly repository: string; readonly digest: string }
  | { readonly kind: 'uploads'; readonly repository: string }
  | { readonly kind: 'upload'; readonly repository: string; readonly id: string }
  | { readonly kind: 'referrers'; readonly repository: string; readonly digest: string }

const patterns = {
  tags: /^\/v2\/(.+)\/tags\/list$/,
  uploads: /^\/v2\/(.+)\/blobs\/uploads\/?$/,
  upload: /^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/,
  manifest: /^\/v2\/(.+)\/manifests\/([^/]+)$/,
  blob: /^\/v2\/(.+)\/blobs\/([^/]+)$/,
  referrers: /^\/v2\/(.+)\/referrers\/([^/]+)$/,
} as const

/**
 * Reads the path as it came over the wire: nothing is normalised, so `..` and encoded slashes are names that do not match.
 * Undefined: no endpoint. @throws Refusal for a malformed name, reference or digest
 */
export function parseRoute(path: string): Route | undefined {
  if (path === '/v2' || path === '/v2/') return { kind: 'version' }
  if (path === '/v2/_catalog') return { kind: 'catalog' }
  for (const kind of ['tags', 'uploads', 'upload', 'manifest', 'blob', 'referrers'] as const) {
    const match = patterns[kind].exec(path)
    if (match !== null) return named(kind, match[1] ?? '', decode(match[2] ?? ''))
  }
  return undefined
}

function named(kind: keyof typeof patterns, repository: string, last: string): Route {
  if (!isRepository(repository)) throw new Refusal(400, 'NAME_INVALID', 'the repository name is malformed')
  switch (kind) {
    case 'tags':
    case 'uploads':
      return { kind, repository }
    case 'upload':
      if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(last)) throw new Refusal(404, 'BLOB_UPLOAD_UNKNOWN', 'no such upload')
      return { kind, repository, id: last }
    case 'manifest':
      if (last.includes(':') && !isDigest(last)) throw invalidDigest()
      if (!isDigest(last) && !isTag(last)) throw new Refusal(400, 'MANIFEST_INVALID', 'the tag is malformed')
      return { kind, repository, reference: last }
    case 'blob':
    case 'referrers':
      if (!isDigest(last)) throw invalidDigest()
      return { kind, repository, digest: last }
    default:
      return kind satisfies never
  }
}

export function invalidDigest(): Refusal {
  return new Refusal(400, 'DIGEST_INVALID', 'the digest is malformed; only sha256 is supported')
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // Left as it is: a stray % matches no grammar.
    return text
  }
}
