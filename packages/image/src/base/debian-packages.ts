import type { BuildContext, ImageSource } from '../context.ts'
import { bytesContent, folder, type LayerEntry } from '../entry.ts'
import { certificatesPath } from './accounts.ts'
import { type DebianPackage, dpkgDeb } from './apt.ts'
import { readDebianTar } from './debian-tar.ts'

/** Bytes that one unpacked package may have. */
const unpackedLimit = 256 << 20

export interface UnpackedPackages {
  readonly entries: readonly LayerEntry[]
  readonly sources: readonly ImageSource[]
  /** Whether ca-certificates was among them: its authorities are then one file, where the variable SSL_CERT_FILE says. */
  readonly certificates: boolean
}

/** /bin, /lib and the others are links into /usr, as in every release since Debian 12. */
export const mergedFolders: readonly LayerEntry[] = ['bin', 'lib', 'lib64', 'sbin'].flatMap((name) => [
  folder(`usr/${name}`),
  { kind: 'symlink', path: name, target: `usr/${name}` },
])

/**
 * Unpacks packages without running anything of theirs, and says of each what it is where scanners look for it. Licences are kept
 * always, other files where `keep` says so.
 */
export async function unpackPackages(
  packages: readonly DebianPackage[],
  keep: (name: string, path: string) => boolean,
  context: BuildContext,
): Promise<UnpackedPackages> {
  const entries: LayerEntry[] = []
  const sources: ImageSource[] = []
  const certificates: { path: string; text: string }[] = []
  for (const debian of packages) {
    const control = (await dpkgDeb(context, ['--field', debian.file], `read ${debian.name}`, 1 << 20)).toString('utf8')
    const version = /^Version: (.+)$/m.exec(control)?.[1] ?? 'unknown'
    sources.push({ kind: 'debian-package', name: debian.name, version, sha256: debian.sha256 })
    entries.push(statusEntry(debian, control))
    const tar = await dpkgDeb(context, ['--fsys-tarfile', debian.file], `unpack ${debian.name}`, unpackedLimit)
    for (const entry of await readDebianTar(tar)) {
      if (entry.kind === 'file' && entry.path.startsWith('usr/share/ca-certificates/mozilla/') && 'bytes' in entry.content) {
        certificates.push({ path: entry.path, text: new TextDecoder().decode(entry.content.bytes).trim() })
      } else if (isLicence(entry) || (entry.kind !== 'directory' && keep(debian.name, entry.path))) entries.push(entry)
    }
  }
  certificates.sort((a, b) => (a.path < b.path ? -1 : 1))
  if (certificates.length > 0) {
    const bundle = `${certificates.map(({ text }) => text).join('\n')}\n`
    entries.push({ kind: 'file', path: certificatesPath, mode: 0o644, content: bytesContent(bundle) })
  }
  return { entries, sources, certificates: certificates.length > 0 }
}

/** A package's copyright file, or the link by which it points to another package's. */
function isLicence({ kind, path }: LayerEntry): boolean {
  return /^usr\/share\/doc\/[^/]+\/copyright$/.test(path) || (kind === 'symlink' && /^usr\/share\/doc\/[^/]+$/.test(path))
}

/** Of base-files only the release's name is taken, by which scanners find its advisories. */
export const releaseName: readonly string[] = ['usr/lib/os-release', 'etc/os-release', 'etc/debian_version']

/**
 * What is installed, in the form that scanners read from images without a package manager: a control file for each package under
 * status.d, with the checksum of the .deb that it was unpacked from.
 */
function statusEntry(debian: DebianPackage, control: string): LayerEntry {
  const content = `${control.trimEnd()}\nStatus: install ok installed\nSHA256: ${debian.sha256}\n`
  return { kind: 'file', path: `var/lib/dpkg/status.d/${debian.name}`, mode: 0o644, content: bytesContent(content) }
}
