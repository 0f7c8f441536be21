import { createHash } from 'node:crypto'
import { mkdir, open, rename, stat } from 'node:fs/promises'
import { basename, join, posix, resolve } from 'node:path'
import * as z from 'zod'
import { baseEnvironment } from '../base/accounts.ts'
import { emptyBase } from '../base/empty.ts'
import { runTool, toolEnvironment } from '../command.ts'
import { type BuildContext, type BuiltContent, type ImageSource, layerOf, withTemporaryFolder } from '../context.ts'
import { checkStaticBinary } from '../elf.ts'
import { fileContent, inLayer, type LayerEntry } from '../entry.ts'
import { ImageError } from '../errors.ts'
import type { GoRecipe } from '../recipe.ts'
import { readSourceTree } from '../source-tree.ts'
import { withoutReplacedFolders } from './replaced.ts'

/** Variables of the Go command that say where modules come from and where it keeps them: the person's own setting counts. */
const settings = [
  'GOPROXY',
  'GOSUMDB',
  'GONOSUMDB',
  'GOPRIVATE',
  'GONOPROXY',
  'GOINSECURE',
  'GOMODCACHE',
  'GOCACHE',
  'GOTOOLCHAIN',
  'GOVCS',
  'GOAUTH',
] as const
const downloadDeadlineMs = 10 * 60_000
const buildDeadlineMs = 30 * 60_000

const settingsSchema = z.record(z.string(), z.string())
const downloadSchema = z.object({ Path: z.string(), Version: z.string(), Dir: z.string(), Sum: z.string() })
const moduleSchema = z.object({ Module: z.object({ Path: z.string() }) })

interface GoSource {
  readonly dir: string
  readonly module: { readonly path: string; readonly version: string; readonly sum: string } | undefined
}

/** Static binaries of a Go module on the empty base: base, binaries, files, a layer each. */
export async function buildGo(recipe: GoRecipe, context: BuildContext): Promise<BuiltContent> {
  const environment = await goEnvironment(recipe, context)
  const source =
    recipe.module === undefined
      ? { dir: resolve(context.baseDir, recipe.dir ?? '.'), module: undefined }
      : await download(recipe.module, environment, context)
  const modulePath = source.module?.path ?? (await readModulePath(source.dir, environment, context))
  const programs = recipe.packages.map((program) => ({
    path: program.path,
    to: program.to ?? `/usr/local/bin/${commandName(program.path, modulePath)}`,
  }))
  const twice = programs.find((program, index) => programs.findIndex(({ to }) => to === program.to) !== index)
  if (twice !== undefined)
    throw new ImageError('RecipeInvalid', `go.packages puts two programs at ${twice.to}. Give one of them another path with "to".`)

  const binaries = (files: readonly string[]) =>
    Promise.all(
      programs.map(async ({ to }, index): Promise<LayerEntry> => {
        const file = files[index] ?? ''
        await checkStaticBinary(file, context.architecture)
        return { kind: 'file', path: inLayer(to), mode: 0o755, content: await fileContent(file, context.signal) }
      }),
    )
  const packBinaries = async (files: readonly string[]) => layerOf(context, `binaries of ${modulePath}`, await binaries(files))
  const paths = programs.map(({ path }) => path)
  const binariesLayer =
    source.module === undefined
      ? await withTemporaryFolder(context, async (dir) => packBinaries(await compile(paths, recipe, source, dir, environment, context)))
      : await packBinaries(await compileOnce(paths, recipe, source, environment, context))
  const layers = [await emptyBase(context), binariesLayer]
  const files: LayerEntry[] = []
  for (const { from, to } of recipe.files ?? []) {
    files.push(
      ...(await readSourceTree({ root: source.dir, from, to: inLayer(to), ...(context.signal ? { signal: context.signal } : {}) })),
    )
  }
  if (files.length > 0) layers.push(await layerOf(context, `files of ${modulePath}`, files))
  const sources: ImageSource[] =
    source.module === undefined
      ? []
      : [{ kind: 'go-module', name: source.module.path, version: source.module.version, sum: source.module.sum }]
  return {
    layers,
    entrypoint: [programs[0]?.to ?? ''],
    workdir: '/',
    env: baseEnvironment,
    labels: source.module === undefined ? {} : { 'org.opencontainers.image.version': source.module.version },
    sources,
  }
}

/**
 * The environment that decides what is built: static, for one platform, the lock file untouched. Of the person's settings only
 * those that say where things are; `go env -w` is asked for them and otherwise switched off.
 */
async function goEnvironment(recipe: GoRecipe, context: BuildContext): Promise<Record<string, string>> {
  const passed = new RegExp(`^(${settings.join('|')}|GOENV|GIT_.*|SSH_AUTH_SOCK)$`)
  const outside = toolEnvironment(context.env, { GOWORK: 'off' }, passed)
  await mkdir(context.cacheDir, { recursive: true })
  const answer = await runTool(context.tools, {
    tool: 'go',
    args: ['env', '-json', ...settings],
    cwd: context.cacheDir,
    env: outside,
    purpose: 'tell its settings',
    deadlineMs: 60_000,
    ...(context.signal ? { signal: context.signal } : {}),
  })
  const known = settingsSchema.parse(JSON.parse(answer.toString('utf8')))
  const set = Object.fromEntries(Object.entries(known).filter(([, value]) => value !== ''))
  return {
    ...outside,
    ...set,
    GOENV: 'off',
    GOFLAGS: '-mod=readonly',
    GOOS: 'linux',
    GOARCH: context.architecture,
    CGO_ENABLED: '0',
    ...recipe.env,
  }
}

async function download(spec: string, environment: Record<string, string>, context: BuildContext): Promise<GoSource> {
  context.log(`go: module ${spec}`)
  const answer = await withTemporaryFolder(context, (dir) =>
    runTool(context.tools, {
      tool: 'go',
      args: ['mod', 'download', '-json', spec],
      cwd: dir,
      env: { ...environment, GOFLAGS: '' },
      purpose: `download the module ${spec}`,
      deadlineMs: downloadDeadlineMs,
      failure: 'DownloadFailed',
      onLine: context.log,
      ...(context.signal ? { signal: context.signal } : {}),
    }),
  )
  const module = downloadSchema.parse(JSON.parse(answer.toString('utf8')))
  return { dir: module.Dir, module: { path: module.Path, version: module.Version, sum: module.Sum } }
}

async function readModulePath(dir: string, environment: Record<string, string>, context: BuildContext): Promise<string> {
  const found = await stat(join(dir, 'go.mod')).catch((cause: unknown) => {
    throw new ImageError('SourceNotFound', `${dir} has no go.mod. Give the folder of a Go module as go.dir.`, { cause })
  })
  if (!found.isFile()) throw new ImageError('SourceNotFound', `${join(dir, 'go.mod')} is not a file.`)
  const answer = await runTool(context.tools, {
    tool: 'go',
    args: ['mod', 'edit', '-json'],
    cwd: dir,
    env: { ...environment, GOFLAGS: '' },
    purpose: `read ${join(dir, 'go.mod')}`,
    deadlineMs: 60_000,
    ...(context.signal ? { signal: context.signal } : {}),
  })
  return moduleSchema.parse(JSON.parse(answer.toString('utf8'))).Module.Path
}

/** What the Go command itself would name the program: the last element that is not a major version. */
function commandName(path: string, modulePath: string): string {
  const full = posix.join(modulePath, path)
  const name = posix.basename(full)
  return /^v\d+$/.test(name) && full.includes('/') ? posix.basename(posix.dirname(full)) : name
}

/** A module in the module cache never changes, so neither do its binaries: they are built once per settings. */
async function compileOnce(
  paths: readonly string[],
  recipe: GoRecipe,
  source: GoSource,
  environment: Record<string, string>,
  context: BuildContext,
): Promise<string[]> {
  const version = await runTool(context.tools, {
    tool: 'go',
    args: ['env', 'GOVERSION'],
    cwd: source.dir,
    env: environment,
    purpose: 'tell its version',
    deadlineMs: downloadDeadlineMs,
    failure: 'DownloadFailed',
    ...(context.signal ? { signal: context.signal } : {}),
  })
  const decides = [1, source.module, paths, recipe.ldflags, recipe.tags, recipe.env, version.toString('utf8').trim(), context.architecture]
  const key = createHash('sha256').update(JSON.stringify(decides)).digest('hex')
  const built = join(context.cacheDir, 'go', key)
  const names = paths.map((_, index) => join(built, binaryName(index)))
  const present = await Promise.all(names.map((name) => stat(name).catch(() => undefined)))
  if (present.every((status) => status?.isFile())) return names
  await withTemporaryFolder(context, async (dir) => {
    const output = join(dir, 'out')
    await mkdir(output)
    const modfile = await withoutReplacedFolders(source.dir, dir, environment, context)
    await compile(paths, recipe, { dir: source.dir, modfile }, output, environment, context)
    await mkdir(join(context.cacheDir, 'go'), { recursive: true })
    await rename(output, built).catch((error: NodeJS.ErrnoException) => {
      // Another build of the same was first.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  })
  return names
}

const binaryName = (index: number) => `program-${index}`

/** Compiles out of the source folder, which may be read-only and stays as it is. */
async function compile(
  paths: readonly string[],
  recipe: GoRecipe,
  { dir: sourceDir, modfile }: { readonly dir: string; readonly modfile?: string | undefined },
  outputDir: string,
  environment: Record<string, string>,
  context: BuildContext,
): Promise<string[]> {
  const files: string[] = []
  const ldflags = ['-s', '-w', recipe.ldflags ?? ''].join(' ').trim()
  for (const [index, path] of paths.entries()) {
    context.log(`go: build ${path} for linux/${context.architecture} in ${basename(sourceDir)}`)
    const file = join(outputDir, binaryName(index))
    const tags = recipe.tags === undefined ? [] : ['-tags', recipe.tags.join(',')]
    const instead = modfile === undefined ? [] : [`-modfile=${modfile}`]
    await runTool(context.tools, {
      tool: 'go',
      args: ['build', '-v', '-trimpath', '-buildvcs=false', '-ldflags', ldflags, ...tags, ...instead, '-o', file, path],
      cwd: sourceDir,
      env: environment,
      purpose: `build ${path} in ${sourceDir}`,
      deadlineMs: buildDeadlineMs,
      onLine: context.log,
      ...(context.signal ? { signal: context.signal } : {}),
    })
    if (!(await isProgram(file))) {
      throw new ImageError('BuildFailed', `${path} in ${sourceDir} is not a program. Name a package main in go.packages.`)
    }
    files.push(file)
  }
  return files
}

/** go build makes an archive of a package that is not main. */
async function isProgram(file: string): Promise<boolean> {
  const handle = await open(file, 'r').catch(() => undefined)
  if (handle === undefined) return false
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(8), 0, 8, 0)
    return bytesRead === 8 && buffer.toString('latin1') !== '!<arch>\n'
  } finally {
    await handle.close()
  }
}
