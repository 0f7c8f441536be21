import { mkdir, readdir, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { runTool, toolEnvironment } from '../command.ts'
import { type BuildContext, type ImageSource, layerOf, withTemporaryFolder } from '../context.ts'
import { bytesContent, fileContent, folder, type LayerEntry } from '../entry.ts'
import { ImageError } from '../errors.ts'
import type { Layer } from '../layer.ts'
import { accountEntries, certificatesPath } from './accounts.ts'
import { readDebianTar } from './debian-tar.ts'

/** What Node needs of a system, and base-files for the release's name, by which scanners find its advisories. */
const packages = ['base-files', 'ca-certificates', 'libc6', 'libgcc-s1', 'libstdc++6'] as const

const aptDeadlineMs = 5 * 60_000
/** Bytes that one unpacked package may have. */
const unpackedLimit = 256 << 20

interface DebianPackage {
  readonly name: string
  readonly file: string
  readonly sha256: string
}

/**
 * The base of Node: Debian packages in the versions of the host's release, downloaded by apt, which verifies the archive's
 * signatures, and unpacked without running anything of theirs.
 * @throws ImageError `ToolMissing`, `DownloadFailed`, `ChecksumMismatch`
 */
export async function debianBase(context: BuildContext): Promise<{ layer: Layer; sources: readonly ImageSource[] }> {
  const files = await fetchPackages(packages, context)
  files.push(...(await licencesOf(files, context)))
  const entries: LayerEntry[] = [...accountEntries(), ...mergedFolders]
  const sources: ImageSource[] = []
  const certificates: { path: string; text: string }[] = []
  for (const debian of files) {
    const control = await dpkgDeb(context, ['--field', debian.file], `read ${debian.name}`, 1 << 20)
    const version = /^Version: (.+)$/m.exec(control.toString('utf8'))?.[1] ?? 'unknown'
    sources.push({ kind: 'debian-package', name: debian.name, version, sha256: debian.sha256 })
    entries.push(...statusEntries(debian, control.toString('utf8')))
    const tar = await dpkgDeb(context, ['--fsys-tarfile', debian.file], `unpack ${debian.name}`, unpackedLimit)
    for (const entry of await readDebianTar(tar)) {
      if (entry.kind === 'file' && entry.path.startsWith('usr/share/ca-certificates/mozilla/') && 'bytes' in entry.content) {
        certificates.push({ path: entry.path, text: new TextDecoder().decode(entry.content.bytes).trim() })
      } else if (isNeeded(debian.name, entry)) entries.push(entry)
    }
  }
  if (certificates.length === 0)
    throw new ImageError(
      'BuildFailed',
      'The package ca-certificates brought no certificates of Mozilla. Look at what apt-get download ca-certificates gives.',
    )
  certificates.sort((a, b) => (a.path < b.path ? -1 : 1))
  const bundle = `${certificates.map(({ text }) => text).join('\n')}\n`
  entries.push({ kind: 'file', path: certificatesPath, mode: 0o644, content: bytesContent(bundle) })
  return { layer: await layerOf(context, `base: ${sources.map(({ name, version }) => `${name} ${version}`).join(', ')}`, entries), sources }
}

/** GCC's libraries keep their licence in a package that is named for the compiler's version, such as gcc-12-base. */
async function licencesOf(files: readonly DebianPackage[], context: BuildContext): Promise<DebianPackage[]> {
  const library = files.find(({ name }) => name === 'libgcc-s1')
  if (library === undefined) return []
  const depends = await dpkgDeb(context, ['--field', library.file, 'Depends'], 'read libgcc-s1', 1 << 20)
  const name = /\bgcc-\d+-base\b/.exec(depends.toString('utf8'))?.[0]
  return name === undefined ? [] : fetchPackages([name], context)
}

/** /bin, /lib and the others are links into /usr, as in every release since Debian 12. */
const mergedFolders: readonly LayerEntry[] = ['bin', 'lib', 'lib64', 'sbin'].flatMap((name) => [
  folder(`usr/${name}`),
  { kind: 'symlink', path: name, target: `usr/${name}` },
])

/** Left out: documentation but for licences, translations, character set converters (Node has its own), debugging aids. */
function isNeeded(name: string, entry: LayerEntry): boolean {
  if (entry.kind === 'directory') return false
  const { path } = entry
  if (/^usr\/share\/doc\/[^/]+\/copyright$/.test(path)) return true
  if (/^usr\/share\/doc\/[^/]+$/.test(path)) return entry.kind === 'symlink'
  if (name === 'base-files') return path === 'usr/lib/os-release' || path === 'etc/os-release' || path === 'etc/debian_version'
  if (name === 'ca-certificates') return false
  return /^(etc|usr\/lib|usr\/lib64)\//.test(path) && !path.includes('/gconv/')
}

/**
 * What is installed, in the form that scanners read from images without a package manager: a control file for each package under
 * status.d, with the checksum of the .deb that it was unpacked from.
 */
function statusEntries(debian: DebianPackage, control: string): LayerEntry[] {
  const content = `${control.trimEnd()}\nStatus: install ok installed\nSHA256: ${debian.sha256}\n`
  return [{ kind: 'file', path: `var/lib/dpkg/status.d/${debian.name}`, mode: 0o644, content: bytesContent(content) }]
}

function dpkgDeb(context: BuildContext, args: readonly string[], purpose: string, outputLimit: number): Promise<Buffer> {
  return runTool(context.tools, {
    tool: 'dpkg-deb',
    args,
    cwd: context.cacheDir,
    env: toolEnvironment(context.env, {}),
    purpose,
    deadlineMs: 60_000,
    outputLimit,
    ...(context.signal ? { signal: context.signal } : {}),
  })
}

/**
 * The packages' files, from the cache where it has what apt would download now. The host's package lists are asked first. A fresh
 * machine has none, and old ones name files that are gone: then lists of our own are, kept apart so that nothing of the machine
 * changes.
 */
async function fetchPackages(names: readonly string[], context: BuildContext): Promise<DebianPackage[]> {
  const dir = join(context.cacheDir, 'apt-lists')
  await mkdir(join(dir, 'partial'), { recursive: true })
  const own = ['-o', `Dir::State::Lists=${dir}`]
  for (const lists of [[], own]) {
    try {
      return await fetchListed(names, lists, context)
    } catch (error) {
      if (!(error instanceof ImageError) || error.code !== 'DownloadFailed') throw error
    }
  }
  context.log('debian: apt-get update (into a folder of its own)')
  await aptGet(context, [...own, 'update'], 'bring the package lists')
  return fetchListed(names, own, context)
}

async function fetchListed(names: readonly string[], lists: readonly string[], context: BuildContext): Promise<DebianPackage[]> {
  const cache = join(context.cacheDir, 'debian')
  await mkdir(cache, { recursive: true })
  const offered = await offers(names, lists, context)
  const wanted = names.map((name) => {
    const sha256 = offered.get(name)
    if (sha256 === undefined) {
      throw new ImageError('DownloadFailed', `apt-get offers no ${name} for ${context.architecture}. Run apt-get update, then build again.`)
    }
    return { name, sha256, file: join(cache, `${sha256}.deb`) }
  })
  const missing: DebianPackage[] = []
  for (const debian of wanted) if (!(await isWhole(debian, context.signal))) missing.push(debian)
  if (missing.length > 0) await download(missing, lists, context)
  return wanted
}

async function isWhole({ file, sha256 }: DebianPackage, signal: AbortSignal | undefined): Promise<boolean> {
  const status = await stat(file).catch(() => undefined)
  return status?.isFile() === true && (await fileContent(file, signal)).sha256 === sha256
}

/** The sha256 of the .deb that apt would download for each package, from the signed lists. */
async function offers(names: readonly string[], lists: readonly string[], context: BuildContext): Promise<Map<string, string>> {
  const output = await aptGet(
    context,
    [...lists, '--print-uris', 'download', ...qualified(names, context)],
    'find the Debian packages of the base',
  )
  const found = new Map<string, string>()
  for (const [, name = '', sha256 = ''] of output.toString('utf8').matchAll(/^'\S+' ([^_\s]+)_\S+ \d+ SHA256:([0-9a-f]{64})\s*$/gm))
    found.set(name, sha256)
  return found
}

async function download(missing: readonly DebianPackage[], lists: readonly string[], context: BuildContext): Promise<void> {
  const names = missing.map(({ name }) => name)
  context.log(`debian: download ${names.join(', ')}`)
  await withTemporaryFolder(context, async (dir) => {
    await aptGet(context, [...lists, 'download', ...qualified(names, context)], `download ${names.join(', ')}`, dir)
    for (const name of await readdir(dir)) {
      const path = join(dir, name)
      const { sha256 } = await fileContent(path, context.signal)
      const debian = missing.find((candidate) => name.startsWith(`${candidate.name}_`))
      if (debian?.sha256 !== sha256) {
        throw new ImageError(
          'ChecksumMismatch',
          `${name} came with sha256 ${sha256}; the signed package list says ${debian?.sha256}. Run apt-get update, then build again.`,
        )
      }
      await rename(path, debian.file)
    }
  })
  for (const debian of missing) {
    if (!(await isWhole(debian, context.signal)))
      throw new ImageError('DownloadFailed', `apt-get download left no file of ${debian.name}. Build again.`)
  }
}

/** Names with the image's architecture, but for packages that are the same for all. */
function qualified(names: readonly string[], context: BuildContext): string[] {
  return names.map((name) => (name === 'ca-certificates' ? name : `${name}:${context.architecture}`))
}

function aptGet(context: BuildContext, args: readonly string[], purpose: string, cwd = context.cacheDir): Promise<Buffer> {
  return runTool(context.tools, {
    tool: 'apt-get',
    // apt's own user cannot write into a folder that is ours alone; signatures are checked either way.
    args: ['-q', '-o', 'APT::Sandbox::User=root', '-o', 'Acquire::Retries=3', '-o', 'Acquire::ForceHash=SHA256', ...args],
    cwd,
    env: toolEnvironment(context.env, { DEBIAN_FRONTEND: 'noninteractive' }, /^APT_CONFIG$/),
    purpose,
    deadlineMs: aptDeadlineMs,
    failure: 'DownloadFailed',
    ...(context.signal ? { signal: context.signal } : {}),
  })
}
