import { mkdir, readdir, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { runTool, toolEnvironment } from '../command.ts'
import { type BuildContext, withTemporaryFolder } from '../context.ts'
import { fileContent } from '../entry.ts'
import { ImageError } from '../errors.ts'

const aptDeadlineMs = 5 * 60_000

/** A package that the signed lists offer. */
export interface OfferedPackage {
  readonly name: string
  readonly sha256: string
  /** As apt takes it for `download`: with version and architecture where they count. */
  readonly selector: string
}

/** A package's file, whole and with the checksum of the signed lists. */
export interface DebianPackage {
  readonly name: string
  readonly file: string
  readonly sha256: string
}

/**
 * Runs apt-get. What it reads and writes is said by `settings`; it sees the host's proxies and certificates.
 * @throws ImageError `ToolMissing`, `BuildTimeout`, `DownloadFailed`
 */
export function aptGet(
  context: BuildContext,
  args: readonly string[],
  o: { readonly purpose: string; readonly cwd?: string; readonly settings?: readonly string[] },
): Promise<Buffer> {
  return runTool(context.tools, {
    tool: 'apt-get',
    // apt's own user cannot write into a folder that is ours alone; signatures are checked either way.
    args: [
      ...['-q', '-o', 'APT::Sandbox::User=root', '-o', 'Acquire::Retries=3', '-o', 'Acquire::ForceHash=SHA256'],
      ...(o.settings ?? []).flatMap((setting) => ['-o', setting]),
      ...args,
    ],
    cwd: o.cwd ?? context.cacheDir,
    env: toolEnvironment(context.env, { DEBIAN_FRONTEND: 'noninteractive' }, /^APT_CONFIG$/),
    purpose: o.purpose,
    deadlineMs: aptDeadlineMs,
    outputLimit: 4 << 20,
    failure: 'DownloadFailed',
    ...(context.signal ? { signal: context.signal } : {}),
  })
}

/** What apt-get prints with `--print-uris`: a line for each file that it would download. */
export function parseOffers(output: string): { name: string; version: string; architecture: string; sha256: string }[] {
  return [...output.matchAll(/^'\S+' ([^_\s]+)_([^_\s]+)_([^_\s]+)\.deb \d+ SHA256:([0-9a-f]{64})\s*$/gm)].map(
    ([, name = '', version = '', architecture = '', sha256 = '']) => ({ name, version: decodeURIComponent(version), architecture, sha256 }),
  )
}

/**
 * The files of packages, from the cache where they are whole there.
 * @throws ImageError `DownloadFailed`, `ChecksumMismatch`
 */
export async function packageFiles(
  offered: readonly OfferedPackage[],
  settings: readonly string[],
  context: BuildContext,
): Promise<DebianPackage[]> {
  const cache = join(context.cacheDir, 'debian')
  await mkdir(cache, { recursive: true })
  const wanted = offered.map((one) => ({ ...one, file: join(cache, `${one.sha256}.deb`) }))
  const missing: typeof wanted = []
  for (const debian of wanted) if (!(await isWhole(debian, context.signal))) missing.push(debian)
  if (missing.length > 0) await download(missing, settings, context)
  return wanted.map(({ name, file, sha256 }) => ({ name, file, sha256 }))
}

async function isWhole({ file, sha256 }: DebianPackage, signal: AbortSignal | undefined): Promise<boolean> {
  const status = await stat(file).catch(() => undefined)
  return status?.isFile() === true && (await fileContent(file, signal)).sha256 === sha256
}

async function download(
  missing: readonly (OfferedPackage & DebianPackage)[],
  settings: readonly string[],
  context: BuildContext,
): Promise<void> {
  const names = missing.map(({ name }) => name)
  context.log(`debian: download ${names.length > 8 ? `${names.length} packages` : names.join(', ')}`)
  await withTemporaryFolder(context, async (dir) => {
    const selectors = missing.map(({ selector }) => selector)
    await aptGet(context, ['download', ...selectors], { settings, purpose: `download ${names.join(', ')}`, cwd: dir })
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

/** Runs dpkg-deb on a package's file. */
export function dpkgDeb(context: BuildContext, args: readonly string[], purpose: string, outputLimit: number): Promise<Buffer> {
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
