import { mkdir, readdir, readFile, symlink } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { type BinarySource, checkVersions, loadBinaryPlan, takeBinaries } from './binaries.ts'
import { BuildError } from './build-error.ts'
import type { Architecture, BinaryGroup } from './checksums.ts'
import { contentKey } from './content-key.ts'
import { lockFile } from './file-lock.ts'
import { type BuildStep, buildComponent, goEnvironment, goVersion } from './go-build.ts'
import { buildNodeImage, nodeImageFile, nodeImageFormat, nodePackagesFile } from './node-image.ts'
import { type Component, componentVersion, loadRecipe, type Recipe, requiredVersion } from './recipe.ts'
import { type Environment, withSystemPath } from './run-tool.ts'
import { BuildStore, type StoredEntry } from './store.ts'

/** Where the preparation is. Fields of the current step are as in {@link BuildStep}. */
export interface DistributionProgress extends BuildStep {
  /** What is being prepared: a component's name, or `node image`. */
  readonly part: string
  /** This part's place among those that have to be prepared now, from 1. */
  readonly partNumber: number
  readonly parts: number
  /** Since the preparation began. */
  readonly elapsedMs: number
}

export interface Distribution {
  /** Folder with every binary by its name: etcd, kube-apiserver, …, kubectl, containerd, ctr, coredns, pause. */
  readonly dir: string
  readonly nodeImage: {
    readonly path: string
    /** Of the file's bytes, as `sha256:…`. */
    readonly digest: string
    /** Table of its Debian packages: name, version, architecture. */
    readonly packages: string
  }
  readonly coredns: string
  readonly pause: string
  /** By component: kubernetes, etcd, containerd, cni, coredns, … as `v1.2.3`. */
  readonly versions: Readonly<Record<string, string>>
}

export interface PrepareOptions {
  /** Folder for results; it may be shared by several instances and by several calls at once. */
  readonly cacheDir: string
  /** The repository: its `distro` folder is the recipe. */
  readonly repoDir: string
  readonly env: Environment
  readonly binaries?: BinarySource
  readonly signal: AbortSignal
  readonly onProgress: (progress: DistributionProgress) => void
  /** Milliseconds from any fixed point; the process's own monotonic clock unless given. */
  readonly clock?: () => number
}

/** What a part of the distribution is made of, before it is known whether it is there already. */
interface Part {
  readonly name: string
  readonly key: string
  make(outDir: string, onStep: (step: BuildStep) => void): Promise<void>
}

/**
 * Makes everything that the embedded environment runs, or finds it in the cache: static binaries from the pinned upstream
 * modules (or official ones, checked by digest) and the read-only node image. A result is named after all that went into it,
 * so nothing is built twice, not even by two calls at once, and nothing stale is used.
 *
 * @throws BuildError each code; nothing half done stays
 */
export async function prepareDistribution(o: PrepareOptions): Promise<Distribution> {
  const clock = o.clock ?? (() => performance.now())
  const start = clock()
  const { signal } = o
  const distroDir = join(o.repoDir, 'distro')
  const arch = architecture(process.arch)
  const recipe = await loadRecipe(distroDir)
  const hostEnv = withSystemPath(o.env)
  const env = goEnvironment(hostEnv, { arch, cacheDir: o.cacheDir })
  const official = o.binaries && (await loadBinaryPlan(o.binaries, distroDir, arch))
  const store = new BuildStore(join(o.cacheDir, 'distro'))
  await mkdir(store.root, { recursive: true, mode: 0o755 })

  const versions: Record<string, string> = {}
  const parts: Part[] = []
  for (const component of recipe.components) {
    const dir = join(distroDir, component.name)
    const sources = await readSources(dir)
    const version = componentVersion(component, sources['go.mod'] ?? '')
    versions[component.name] = version
    const taken = official?.get(component.name as BinaryGroup)
    if (o.binaries !== undefined && taken !== undefined) {
      const expected = releaseVersions(component, version, sources['go.mod'] ?? '', recipe)
      parts.push(officialPart({ source: o.binaries, component, binaries: taken, expected, env, signal }))
    } else parts.push(await builtPart({ component, dir, sources, version, arch, env, signal, clock }))
  }
  for (const [name, from] of Object.entries(recipe.versions)) {
    versions[name] = requiredVersion(await readFile(join(distroDir, from.component, 'go.mod'), 'utf8'), from.module)
  }

  const entries = new Map<string, StoredEntry>()
  const missing: Part[] = []
  for (const part of parts) {
    const found = await store.find(part.name, part.key, signal)
    if (found === undefined) missing.push(part)
    else entries.set(part.name, found)
  }
  const nodeKey = (): string => nodeImageKey(recipe, arch, entries)
  const nodeFound = missing.length === 0 ? await store.find('node', nodeKey(), signal) : undefined
  if (missing.length === 0 && nodeFound !== undefined) return await assemble(store, recipe, entries, nodeFound, versions, signal)

  const partCount = missing.length + 1
  const report = (part: string, partNumber: number) => (step: BuildStep) => {
    o.onProgress({ part, partNumber, parts: partCount, elapsedMs: Math.round(clock() - start), ...step })
  }
  const lock = await lockFile(join(store.root, 'lock'), {
    env: hostEnv,
    signal,
    onWait: () => report('lock', 0)({ step: 'waiting', file: '', detail: 'another muster is preparing the distribution' }),
  })
  try {
    await store.clean()
    for (const [index, part] of missing.entries()) {
      // Whoever held the lock before may have made it.
      const entry =
        (await store.find(part.name, part.key, signal)) ??
        (await store.make(part.name, part.key, signal, (outDir) => part.make(outDir, report(part.name, index + 1))))
      entries.set(part.name, entry)
    }
    const key = nodeKey()
    const node =
      (await store.find('node', key, signal)) ??
      (await store.make('node', key, signal, (outDir) =>
        store.scratch((workDir) =>
          buildNodeImage({
            recipe: recipe.node,
            ...nodeContent(recipe, entries),
            ...{ workDir, outDir, env: hostEnv, signal },
            onStep: report('node image', partCount),
          }),
        ),
      ))
    return await assemble(store, recipe, entries, node, versions, signal)
  } finally {
    await lock.release()
  }
}

/** @throws BuildError Unsupported */
function architecture(name: string): Architecture {
  if (name === 'x64') return 'amd64'
  if (name === 'arm64') return 'arm64'
  throw new BuildError('Unsupported', `The embedded environment runs on x64 and arm64, not on ${name}: use a cluster of your own.`)
}

/** What a component is built from: its go.mod, go.sum and Go files. */
async function readSources(dir: string): Promise<Record<string, string>> {
  const sources: Record<string, string> = {}
  const names = await readdir(dir).catch((cause) => {
    throw new BuildError('RecipeInvalid', `distro/recipe.json names a component that has no folder ${dir}.`, { cause })
  })
  for (const name of names.filter((each) => /^go\.(mod|sum)$|\.(go|s)$/.test(each) && !each.endsWith('_test.go'))) {
    sources[name] = await readFile(join(dir, name), 'utf8')
  }
  return sources
}

async function builtPart(o: {
  component: Component
  dir: string
  sources: Readonly<Record<string, string>>
  version: string
  arch: Architecture
  env: Environment
  signal: AbortSignal
  clock: () => number
}): Promise<Part> {
  const { component, arch } = o
  const compiler = await goVersion(o.dir, o.env, o.signal)
  const key = contentKey({ ...o.sources, ' component': JSON.stringify(component), ' go': compiler, ' arch': arch })
  return {
    name: component.name,
    key,
    make: (outDir, onStep) => buildComponent({ ...o, outDir, onStep }),
  }
}

function officialPart(o: {
  source: BinarySource
  component: Component
  binaries: ReadonlyMap<string, string>
  expected: Readonly<Record<string, string>>
  env: Environment
  signal: AbortSignal
}): Part {
  const { source, component, binaries, expected, env, signal } = o
  return {
    name: component.name,
    key: contentKey({ ' official': component.name, ' expected': JSON.stringify(expected), ...Object.fromEntries(binaries) }),
    make: async (outDir, onStep) => {
      await takeBinaries({ source, binaries, outDir, signal, onStep })
      onStep({ step: 'checking', file: component.name, detail: 'versions' })
      await checkVersions({ dir: outDir, expected, env, signal })
    },
  }
}

/** Which binaries of an official set must say which version. CNI plugins are left to their digest: they have no such flag. */
function releaseVersions(component: Component, version: string, goMod: string, recipe: Recipe): Record<string, string> {
  if (component.name === 'cni' || component.name === 'coredns') return {}
  const expected: Record<string, string> = {}
  for (const target of component.targets) {
    for (const name of target.links.length > 0 ? target.links : [target.output]) {
      const own = recipe.versions[name]
      // The shim tells its version only as `-v`, and comes in the archive of containerd.
      if (!name.startsWith('containerd-shim')) expected[name] = own === undefined ? version : requiredVersion(goMod, own.module)
    }
  }
  return expected
}

const inNode = ['kube', 'kubelet', 'kube-proxy', 'containerd', 'containerd-shim-runc-v2', 'ctr']

/** Where a component's files are: by name, with the names that they also answer to. */
function binariesOf(component: Component, entry: StoredEntry): Map<string, { path: string; linkTo?: string }> {
  const found = new Map<string, { path: string; linkTo?: string }>()
  for (const file of Object.keys(entry.digests)) found.set(file, { path: join(entry.dir, file) })
  for (const { output, links } of component.targets) {
    if (!found.has(output)) continue
    for (const link of links) found.set(link, { path: join(entry.dir, output), linkTo: output })
  }
  return found
}

function nodeContent(recipe: Recipe, entries: ReadonlyMap<string, StoredEntry>) {
  const files: { from: string; to: string }[] = []
  const links: Record<string, string> = {}
  for (const component of recipe.components) {
    const entry = entries.get(component.name)
    if (entry === undefined) continue
    for (const [name, { path, linkTo }] of binariesOf(component, entry)) {
      if (component.name === 'cni') files.push({ from: path, to: `opt/cni/bin/${name}` })
      else if (!inNode.includes(name)) continue
      else if (linkTo === undefined) files.push({ from: path, to: `opt/muster/bin/${name}` })
      else links[`opt/muster/bin/${name}`] = linkTo
    }
  }
  return { files, links }
}

function nodeImageKey(recipe: Recipe, arch: Architecture, entries: ReadonlyMap<string, StoredEntry>): string {
  const content = ['kubernetes', 'containerd', 'cni'].map((name) => [name, entries.get(name)?.digests])
  return contentKey({ format: String(nodeImageFormat), node: JSON.stringify(recipe.node), arch, content: JSON.stringify(content) })
}

/** One folder with all names, as links: where the daemon looks. */
async function assemble(
  store: BuildStore,
  recipe: Recipe,
  entries: ReadonlyMap<string, StoredEntry>,
  node: StoredEntry,
  versions: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Distribution> {
  const links: Record<string, string> = {}
  for (const component of recipe.components) {
    const entry = entries.get(component.name)
    // The network plugins are for nodes alone, and `bridge` would hide the host's command of that name.
    if (entry === undefined || component.name === 'cni') continue
    for (const [name, { path }] of binariesOf(component, entry)) links[name] = relative(store.root, path)
  }
  const key = contentKey(links)
  const set =
    (await store.find('bin', key, signal)) ??
    (await store.make('bin', key, signal, async (outDir) => {
      for (const [name, target] of Object.entries(links)) await symlink(join('..', target), join(outDir, name))
    }))
  return {
    dir: set.dir,
    nodeImage: {
      path: join(node.dir, nodeImageFile),
      digest: `sha256:${node.digests[nodeImageFile]}`,
      packages: join(node.dir, nodePackagesFile),
    },
    coredns: join(set.dir, 'coredns'),
    pause: join(set.dir, 'pause'),
    versions,
  }
}
