import { chmod, copyFile, lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hostDebianSources } from '@muster/image'
import { fileDigest } from './content-key.ts'
import type { BuildStep } from './go-build.ts'
import type { NodeRecipe } from './recipe.ts'
import { type Environment, runTool } from './run-tool.ts'

/** Raise it when what this file does to the image changes: it is part of the image's content key. */
export const nodeImageFormat = 1

export const nodeImageFile = 'node.erofs'
export const nodePackagesFile = 'node-packages.tsv'

const bootstrapTimeoutMs = 30 * 60_000
const packTimeoutMs = 10 * 60_000

/** Of Debian's files those that no node needs: documentation, translations, package sources, folders that are mounted over. */
const removed = [
  ...['doc', 'man', 'locale', 'info', 'lintian', 'bug', 'common-licenses', 'pixmaps'].map((name) => `usr/share/${name}`),
  ...[
    'boot',
    'home',
    'media',
    'srv',
    'run',
    'tmp',
    'var',
    'dev',
    'etc/apt',
    'etc/hostname',
    'etc/resolv.conf',
    'etc/machine-id',
    'etc/hosts',
  ],
]

/** Folders that the node mounts something on, or that pods expect. */
const mountPoints = ['var', 'run', 'tmp', 'proc', 'sys', 'dev', 'mnt', 'root'] as const

/** Files to be put into the image: from a path on this machine to one in the image. */
export interface NodeFile {
  readonly from: string
  readonly to: string
}

/**
 * Makes the read-only root file system of an embedded node: Debian's essential packages and the recipe's, our binaries,
 * nothing setuid, packed as erofs. With the same packages in the mirror two builds give the same bytes: times, order,
 * identifiers and what depends on the machine (host name, resolver, extended attributes) are fixed or left out.
 *
 * Fills `outDir` with the image, its digest as `sha256sum` writes it, and the list of its Debian packages.
 *
 * @throws BuildError ToolMissing, ToolFailed, Timeout, Aborted
 */
export async function buildNodeImage(o: {
  recipe: NodeRecipe
  files: readonly NodeFile[]
  /** Symbolic links in the image: path → target. */
  links: Readonly<Record<string, string>>
  /** An empty folder on a file system without `nodev`, `nosuid` or `noexec`. */
  workDir: string
  outDir: string
  env: Environment
  signal: AbortSignal
  onStep: (step: BuildStep) => void
}): Promise<void> {
  const { recipe, workDir, outDir, signal } = o
  const env = { ...o.env, SOURCE_DATE_EPOCH: '0', TMPDIR: workDir, LC_ALL: 'C.UTF-8' }
  const tool = { env, signal, cwd: workDir }
  const archive = join(workDir, 'root.tar')
  const root = join(workDir, 'root')
  const step = (name: BuildStep['step'], detail?: string): void => {
    o.onStep({ step: name, file: nodeImageFile, ...(detail !== undefined && { detail }) })
  }

  step('bootstrapping', `Debian ${recipe.suite}`)
  await runTool({
    ...tool,
    command: 'unshare',
    // A mount namespace of its own: whatever happens to mmdebstrap, nothing stays mounted.
    args: [
      ...['--mount', '--propagation', 'private', 'mmdebstrap', '--mode=root', '--variant=essential', '--format=tar'],
      ...[`--include=${recipe.packages.join(',')}`, recipe.suite, archive, ...(await hostDebianSources(recipe.suite))],
    ],
    timeoutMs: bootstrapTimeoutMs,
    onLine: (line) => step('bootstrapping', line.replace(/^I: /, '')),
  })
  await mkdir(root)
  await runTool({
    ...tool,
    command: 'tar',
    args: ['--extract', '--file', archive, '--directory', root, '--numeric-owner', '--preserve-permissions', '--exclude=./dev/*'],
    timeoutMs: packTimeoutMs,
  })
  await rm(archive)

  step('packing', 'leaving out what nodes do not need')
  const dpkgStatus = await readFile(join(root, 'var/lib/dpkg/status'), 'utf8')
  for (const path of removed) await rm(join(root, path), { recursive: true, force: true })
  await dropPrivilegeBits(root)
  for (const path of mountPoints) await mkdir(join(root, path), { recursive: true })
  await chmod(join(root, 'tmp'), 0o1777)
  await chmod(join(root, 'root'), 0o700)
  await writeFiles(root, {
    // /var is mounted over in a running node; here the list of packages is for who inspects the image.
    'var/lib/dpkg/status': dpkgStatus,
    'etc/machine-id': '',
    'etc/hosts': '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n',
  })
  await symlink('/var/etc/resolv.conf', join(root, 'etc/resolv.conf'))
  for (const { from, to } of o.files) {
    const path = join(root, to)
    await mkdir(join(path, '..'), { recursive: true })
    await copyFile(from, path)
    await chmod(path, 0o755)
  }
  for (const [path, target] of Object.entries(o.links)) await symlink(target, join(root, path))

  step('packing', 'erofs')
  const image = join(outDir, nodeImageFile)
  // -T0 and -U fix times and identifier; -x-1 leaves out extended attributes, which are the building host's (SELinux labels).
  await runTool({
    ...tool,
    command: 'mkfs.erofs',
    args: ['-zlz4', '-T0', '-x-1', '-U', recipe.uuid, image, root],
    timeoutMs: packTimeoutMs,
  })
  await writeFile(`${image}.sha256`, `${await fileDigest(image, signal)}  ${nodeImageFile}\n`)
  await writeFile(join(outDir, nodePackagesFile), packageList(dpkgStatus))
}

async function writeFiles(root: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(root, path, '..'), { recursive: true })
    await writeFile(join(root, path), content, { mode: 0o644 })
  }
}

/** Takes setuid and setgid from every file: on a node everything runs as root, or as a pod with its own root. */
async function dropPrivilegeBits(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    const path = join(dir, name)
    const found = await lstat(path)
    if (found.isDirectory()) await dropPrivilegeBits(path)
    else if (found.isFile() && (found.mode & 0o6000) !== 0) await chmod(path, found.mode & 0o1777)
  }
}

/** Name, version and architecture of each installed package, a line each, from dpkg's status file. */
export function packageList(status: string): string {
  const lines = status.split(/\n\n+/).flatMap((stanza) => {
    const field = (name: string): string | undefined => new RegExp(`^${name}: (.+)$`, 'm').exec(stanza)?.[1]
    const name = field('Package')
    if (name === undefined || !field('Status')?.endsWith(' installed')) return []
    return [`${name}\t${field('Version') ?? ''}\t${field('Architecture') ?? ''}`]
  })
  return `${lines.sort().join('\n')}\n`
}
