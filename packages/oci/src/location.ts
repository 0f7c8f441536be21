import { isDigest } from './digest.ts'
import { OciError } from './errors.ts'
import { formatReference, parseReference, type Reference } from './reference.ts'

/** Where an artifact is: in a registry, in an OCI image layout in a folder, or in an archive (a tar of such a layout). */
export type Location =
  | {
      readonly kind: 'registry'
      readonly reference: Reference
      /** Whether the text named the host; without one, `reference.host` is the default host. */
      readonly hostGiven: boolean
    }
  | { readonly kind: 'layout'; readonly dir: string; readonly tag?: string; readonly digest?: string }
  | { readonly kind: 'archive'; readonly file: string; readonly tag?: string; readonly digest?: string }

const maximumLocation = 4096
/** What follows the name is a tag or digest; a number and a slash would make it a host with a port. */
const archiveName = /^[^:@]+\.tar(?:\.zst)?(?:[:@](?![0-9]+\/).+)?$/

/**
 * Reads where an artifact is:
 * - `host/repository[:tag][@digest]`, or `repository[:tag][@digest]` in `options.host` (default `docker.io`)
 * - `oci:DIR[:TAG|@DIGEST]`: an OCI image layout in a folder; the folder's name has no colon, the tag may
 * - `archive:FILE[:TAG|@DIGEST]`, or the same without `archive:` for a file in `.tar` or `.tar.zst`
 *
 * @example parseLocation('oci:./out:1.0') → { kind: 'layout', dir: './out', tag: '1.0' }
 * @throws OciError `InvalidReference`
 */
export function parseLocation(text: string, options: { host?: string } = {}): Location {
  if (text.length > maximumLocation || /\p{Cc}/u.test(text))
    throw invalid(text, 'it is longer than 4096 characters or has control characters')
  if (text.startsWith('oci:')) {
    const { path, ...which } = splitPath(text, 'oci:'.length)
    return { kind: 'layout', dir: path, ...which }
  }
  if (text.startsWith('archive:')) {
    const { path, ...which } = splitPath(text, 'archive:'.length)
    return { kind: 'archive', file: path, ...which }
  }
  if (archiveName.test(text)) {
    const { path, ...which } = splitPath(text, 0)
    return { kind: 'archive', file: path, ...which }
  }
  if (/^[./~]/.test(text))
    throw invalid(text, 'it looks like a path. Write oci:DIR for a layout in a folder, and archive:FILE or a name in .tar or .tar.zst')
  const hostGiven = namesHost(text)
  const reference = parseReference(hostGiven || options.host === undefined ? text : `${options.host}/${text}`)
  return { kind: 'registry', reference, hostGiven }
}

/** The text that {@link parseLocation} reads back. */
export function formatLocation(location: Location): string {
  if (location.kind === 'registry') return formatReference(location.reference)
  const which = location.digest === undefined ? (location.tag === undefined ? '' : `:${location.tag}`) : `@${location.digest}`
  return location.kind === 'layout' ? `oci:${location.dir}${which}` : `archive:${location.file}${which}`
}

/** As container engines tell a host from a repository's first folder: it has a dot or a port, or it is localhost. */
function namesHost(text: string): boolean {
  const first = text.includes('/') ? (text.split('/', 1)[0] ?? '') : ''
  return first === 'localhost' || /[.:[]/.test(first) || first !== first.toLowerCase()
}

function splitPath(text: string, from: number): { path: string; tag?: string; digest?: string } {
  const rest = text.slice(from)
  const at = rest.lastIndexOf('@')
  const digest = at < 0 ? '' : rest.slice(at + 1)
  if (isDigest(digest)) return { path: demandPath(text, rest.slice(0, at)), digest }
  if (digest.startsWith('sha256:')) throw invalid(text, 'what follows @ is not a sha256 digest')
  const colon = rest.indexOf(':')
  if (colon < 0) return { path: demandPath(text, rest) }
  const tag = rest.slice(colon + 1)
  if (tag === '' || tag.length > 512) throw invalid(text, 'its tag is empty or longer than 512 characters')
  return { path: demandPath(text, rest.slice(0, colon)), tag }
}

function demandPath(text: string, path: string): string {
  if (path === '') throw invalid(text, 'it names no path')
  return path
}

function invalid(text: string, why: string): OciError {
  return new OciError(
    'InvalidReference',
    `"${text.slice(0, 200).replace(/\p{Cc}/gu, '?')}" does not say where an artifact is: ${why}. Write host/repository:tag, oci:DIR:TAG or archive:FILE.`,
  )
}
