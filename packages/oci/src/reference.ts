import { isDigest } from './digest.ts'
import { OciError } from './errors.ts'

/** An image name taken apart. A tag beside a digest is only a note: the digest decides. */
export interface Reference {
  /** `host` or `host:port` */
  readonly host: string
  readonly repository: string
  readonly tag?: string
  readonly digest?: string
}

const maximumReference = 1024
const maximumRepository = 255
// distribution-spec, "Pulling manifests": <name>
const repositoryPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const hostPattern =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*|\[[0-9a-fA-F:.]{2,45}\])(?::([0-9]{1,5}))?$/

/** Whether `text` is a repository name (distribution-spec `<name>`; at most 255 characters). */
export function isRepository(text: string): boolean {
  return text.length <= maximumRepository && repositoryPattern.test(text)
}

/** Whether `text` is a tag (distribution-spec `<reference>` as a tag; at most 128 characters). */
export function isTag(text: string): boolean {
  return tagPattern.test(text)
}

/** Whether `text` is `host` or `host:port`. */
export function isHost(text: string): boolean {
  if (text.length > 261) return false
  const match = hostPattern.exec(text)
  return match !== null && (match[1] === undefined || Number(match[1]) <= 65535)
}

/**
 * Takes an image name apart. A name without a host means Docker Hub, as container engines read it: `nginx` is
 * `docker.io/library/nginx`. No tag is invented.
 *
 * @example parseReference('registry.example:5000/team/app:1.0') → { host: 'registry.example:5000', repository: 'team/app', tag: '1.0' }
 * @throws OciError `InvalidReference`
 */
export function parseReference(text: string): Reference {
  if (text.length > maximumReference) throw invalid(text, `it is longer than ${maximumReference} characters`)
  const at = text.indexOf('@')
  const digest = at < 0 ? undefined : text.slice(at + 1)
  if (digest !== undefined && !isDigest(digest)) throw invalid(text, 'what follows @ is not a sha256 digest')
  const named = at < 0 ? text : text.slice(0, at)
  const colon = named.lastIndexOf(':')
  const tagged = colon > named.lastIndexOf('/')
  const tag = tagged ? named.slice(colon + 1) : undefined
  if (tag !== undefined && !isTag(tag)) throw invalid(text, `"${tag.slice(0, 140)}" is not a tag`)
  const path = tagged ? named.slice(0, colon) : named
  const { host, repository } = splitHost(path)
  if (!isHost(host)) throw invalid(text, `"${host}" is not a host name`)
  if (!isRepository(repository)) throw invalid(text, `"${repository}" is not a repository name (lower-case letters, digits, . _ - and /)`)
  return { host, repository, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) }
}

/** `host/repository[:tag][@digest]`, the inverse of {@link parseReference}. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`
  return `${reference.host}/${reference.repository}${tag}${digest}`
}

/**
 * Where an image of another host is kept in a registry that mirrors it: `mirror/<host>/<repository>`. A repository name has no
 * colon, so `host:5000` is written `host__5000`, which no host name can be.
 * @throws OciError `InvalidReference` for a host that cannot be written so (IPv6) or a name that grows too long
 */
export function mirrorRepository(reference: Pick<Reference, 'host' | 'repository'>): string {
  const name = `mirror/${reference.host.toLowerCase().replace(':', '__')}/${reference.repository}`
  if (!isHost(reference.host) || !isRepository(name)) {
    throw new OciError(
      'InvalidReference',
      `${reference.host}/${reference.repository} cannot be mirrored: "${name}" is not a repository name.`,
    )
  }
  return name
}

function splitHost(path: string): { host: string; repository: string } {
  const slash = path.indexOf('/')
  const first = slash < 0 ? '' : path.slice(0, slash)
  const isHostPart = first === 'localhost' || /[.:[]/.test(first) || first !== first.toLowerCase()
  if (!isHostPart) return { host: 'docker.io', repository: path.includes('/') ? path : `library/${path}` }
  const repository = path.slice(slash + 1)
  if (first !== 'docker.io' && first !== 'index.docker.io') return { host: first, repository }
  return { host: 'docker.io', repository: repository.includes('/') ? repository : `library/${repository}` }
}

function invalid(text: string, why: string): OciError {
  return new OciError(
    'InvalidReference',
    `"${text.slice(0, 200)}" is not an image name: ${why}. Write it as host/repository:tag or host/repository@sha256:….`,
  )
}
