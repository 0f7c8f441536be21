import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { access, mkdir, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { run } from '../environment/command.ts'

/**
 * Programs of others that tests and benchmarks measure Muster against. Each is made once, in the cache, under its name and version;
 * nothing is installed on the machine. Go checks modules against its checksum database, apt's signed lists name a package's hash.
 */
export interface GoPeer {
  readonly name: string
  /** Path of the program's package in its module. */
  readonly program: string
  readonly version: string
  /** Its module: it is built in there, where as a dependency it would ask for modules that no proxy has. */
  readonly module?: string
  /** `module => module version`: it is built in a module that says so, as the program's own replacements count for nobody else. */
  readonly replace?: readonly string[]
}

/** Two minutes or more for a large one that was never built here: give the hook that asks for a peer this long. */
export const peerMs = 20 * 60_000

export const goPeers = {
  cosign: { name: 'cosign', program: 'github.com/sigstore/cosign/v3/cmd/cosign', version: 'v3.1.2' },
  crane: { name: 'crane', program: 'github.com/google/go-containerregistry/cmd/crane', version: 'v0.22.1' },
  distribution3: { name: 'distribution', program: 'github.com/distribution/distribution/v3/cmd/registry', version: 'v3.1.2' },
  ociConformance: {
    name: 'oci-conformance',
    program: 'github.com/opencontainers/distribution-spec/conformance',
    version: 'v0.0.0-20260831232431-97274622c111',
  },
  // The newest that the Go of Debian and of CI builds. The three take some two minutes together where nothing is cached.
  timestampServer: {
    name: 'timestamp-server',
    program: 'github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server',
    version: 'v2.1.3',
  },
  fulcio: { name: 'fulcio', program: 'github.com/sigstore/fulcio', version: 'v1.8.8' },
  kapp: { name: 'kapp', program: 'carvel.dev/kapp/cmd/kapp', version: 'v0.64.2', module: 'carvel.dev/kapp' },
  // Four minutes on a quiet machine. Its `http/fetch` v0.20.0 asks for a module that no proxy has.
  kustomizeController: {
    name: 'kustomize-controller',
    program: 'github.com/fluxcd/kustomize-controller',
    version: 'v1.7.2',
    replace: [
      'github.com/opencontainers/go-digest => github.com/opencontainers/go-digest v1.0.1-0.20220411205349-bde1400a84be',
      'github.com/fluxcd/pkg/http/fetch => github.com/fluxcd/pkg/http/fetch v0.19.0',
    ],
  },
  rekorTiles: { name: 'rekor-tiles', program: 'github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix', version: 'v2.3.0' },
} as const satisfies Record<string, GoPeer>

/** The path of a Go program, built from its module. */
export function goPeer(peer: GoPeer): Promise<string> {
  return peerProgram(`${peer.name}-${peer.version}`, path.basename(peer.program), async (folder) => {
    if (peer.module !== undefined) await buildInside(peer, peer.module, folder)
    else if (peer.replace === undefined)
      await succeed('go', ['install', `${peer.program}@${peer.version}`], { ...process.env, GOBIN: folder })
    else await buildInModule(peer, peer.replace, folder)
  })
}

/** The path of a Go program of ours that stands on a module of others: for what is a library. Built anew where its source changed. */
export async function goProgram(source: string): Promise<string> {
  const hash = createHash('sha256')
  for (const file of ['go.mod', 'go.sum', 'main.go']) hash.update(await readFile(path.join(source, file)))
  const name = path.basename(source)
  return peerProgram(`${name}-${hash.digest('hex').slice(0, 12)}`, name, async (folder) => {
    await succeed('go', ['build', '-trimpath', '-o', path.join(folder, name), '.'], process.env, source)
  })
}

/** The folder of a Go module's files, which is not to be written to. */
export async function goModule(module: string, version: string): Promise<string> {
  const { code, stdout, stderr } = await run('go', ['mod', 'download', '-json', `${module}@${version}`])
  if (code !== 0) throw new Error(`${module} ${version} cannot be fetched: ${stderr}`)
  return (JSON.parse(stdout) as { Dir: string }).Dir
}

/** Builds a program as its authors do, in its own module. */
async function buildInside({ program, version }: GoPeer, module: string, folder: string): Promise<void> {
  await succeed('go', ['build', '-mod=readonly', '-o', folder, program], process.env, await goModule(module, version))
}

/** Builds a program in a module that says what is replaced. */
async function buildInModule({ program, version }: GoPeer, replace: readonly string[], folder: string): Promise<void> {
  const work = await mkdtemp(`${folder}-module-`)
  try {
    const lines = ['module peer', `require ${program} ${version}`, ...replace.map((one) => `replace ${one}`)]
    await writeFile(path.join(work, 'go.mod'), `${lines.join('\n')}\n`)
    await succeed('go', ['build', '-mod=mod', '-o', folder, program], process.env, work)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** The path of a program of a Debian package: fetched and unpacked, not installed. */
export async function debianPeer(name: string, program: string): Promise<string> {
  const { version, sha256, options } = await debianPackage(name)
  return peerProgram(`${name}-${version.replaceAll(/[^A-Za-z0-9.+~-]/g, '_')}`, program, async (folder) => {
    await succeed('apt-get', [...options, 'download', `${name}=${version}`], process.env, folder)
    const [file] = (await readdir(folder)).filter((entry) => entry.endsWith('.deb'))
    const content = await readFile(path.join(folder, file ?? ''))
    if (createHash('sha256').update(content).digest('hex') !== sha256) throw new Error(`${file} is not the package that apt's list names`)
    await succeed('dpkg-deb', ['-x', path.join(folder, file ?? ''), folder])
  })
}

/** What the lists of apt say of a package; lists of our own when the machine's, as in many containers, are empty. */
async function debianPackage(name: string): Promise<{ version: string; sha256: string; options: string[] }> {
  const lists = path.join(await peersFolder(), 'apt-lists')
  const own = ['-o', `Dir::State::Lists=${lists}`, '-o', `Dir::Cache=${path.join(lists, 'cache')}`]
  for (const options of [[], own]) {
    if (options.length > 0) {
      await mkdir(path.join(lists, 'cache'), { recursive: true })
      await succeed('apt-get', [...options, 'update'])
    }
    const { stdout } = await run('apt-cache', [...options, 'show', '--no-all-versions', name])
    const version = /^Version: (.+)$/m.exec(stdout)?.[1]
    const sha256 = /^SHA256: ([0-9a-f]{64})$/m.exec(stdout)?.[1]
    if (version !== undefined && sha256 !== undefined) return { version, sha256, options }
  }
  throw new Error(`No apt source of this machine has the package ${name}.`)
}

/** Makes a peer's folder beside its place and moves it there whole, so that what is there is complete. One maker at a time. */
async function peerProgram(id: string, program: string, make: (folder: string) => Promise<void>): Promise<string> {
  const place = path.join(await peersFolder(), id)
  const file = path.join(place, program)
  if (await exists(file)) return file
  return exclusively(`${place}.lock`, async () => {
    if (await exists(file)) return file
    const folder = await mkdtemp(`${place}.making-`)
    try {
      await make(folder)
      await rm(place, { recursive: true, force: true })
      await rename(folder, place)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
    if (!(await exists(file))) throw new Error(`${id} was made, but has no ${program}.`)
    return file
  })
}

/** Waits for flock(2) on a file, which the kernel gives up with the process that has it. */
async function exclusively<T>(file: string, work: () => Promise<T>): Promise<T> {
  const handle = await open(file, 'a')
  try {
    const [code] = (await once(spawn('flock', ['--exclusive', '3'], { stdio: ['ignore', 'ignore', 'inherit', handle.fd] }), 'close')) as [
      number | null,
    ]
    if (code !== 0) throw new Error(`${file} could not be locked.`)
    return await work()
  } finally {
    await handle.close()
  }
}

async function peersFolder(): Promise<string> {
  const cache = process.env['MUSTER_CACHE'] ?? path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'muster')
  const folder = path.resolve(cache, 'peers')
  await mkdir(folder, { recursive: true })
  return folder
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}

async function succeed(command: string, args: readonly string[], env = process.env, cwd?: string): Promise<void> {
  const outcome = await run(command, args, { env, ...(cwd === undefined ? {} : { cwd }) })
  if (outcome.code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${outcome.code}: ${outcome.stderr}`)
}
