import { cp, readFile, rm, stat } from 'node:fs/promises'
import { join, matchesGlob, posix, relative, resolve } from 'node:path'
import * as z from 'zod'
import { runTool, toolEnvironment } from '../command.ts'
import { type BuildContext, layerOf, withTemporaryFolder } from '../context.ts'
import { inLayer, type LayerEntry } from '../entry.ts'
import { ImageError } from '../errors.ts'
import { readSourceTree } from '../source-tree.ts'
import type { NodeApp } from './app.ts'

/** Never in an image: what npm installs anew, version control, secrets and settings of the developer's machine. */
const neverInImage = ['.git', '.npmrc', '.env', '.env.*', '.DS_Store']
const installDeadlineMs = 15 * 60_000

const packageSchema = z.object({ main: z.string().optional() })

interface InstallOptions {
  readonly dir: string
  readonly main: string | undefined
  readonly exclude: readonly string[]
  readonly appDir: string
}

/**
 * A project as it is: production dependencies by its lock file, without running their scripts, in a copy; then the files.
 * @throws ImageError `SourceNotFound`, `ToolMissing`, `BuildFailed`
 */
export async function installFolder(options: InstallOptions, context: BuildContext): Promise<NodeApp> {
  const dir = resolve(context.baseDir, options.dir)
  await requireLockFile(dir)
  return withTemporaryFolder(context, async (temporary) => {
    const copy = join(temporary, 'app')
    await cp(dir, copy, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (from) => !['node_modules', '.git'].includes(posix.basename(relative(dir, from))),
    })
    context.log(`node: npm ci in a copy of ${options.dir}`)
    await runTool(context.tools, {
      tool: 'npm',
      // Packages for the image's platform, not for this machine's.
      args: [
        'ci',
        '--omit=dev',
        '--ignore-scripts',
        '--no-audit',
        '--no-fund',
        '--os=linux',
        `--cpu=${context.architecture === 'amd64' ? 'x64' : 'arm64'}`,
        '--libc=glibc',
      ],
      cwd: copy,
      env: toolEnvironment(context.env, { NODE_ENV: 'production' }, /^npm_config_(?!(omit|include|production|only|ignore_scripts)$)/i),
      purpose: `install the dependencies of ${dir}`,
      deadlineMs: installDeadlineMs,
      onLine: context.log,
      ...(context.signal ? { signal: context.signal } : {}),
    })
    // npm's own notes, with the addresses that packages came from: no part of what runs.
    await rm(join(copy, 'node_modules', '.package-lock.json'), { force: true })
    const main = options.main ?? (await mainOf(copy))
    if (!(await isFile(join(copy, main))))
      throw new ImageError('SourceNotFound', `${join(dir, main)}, the main file, is not there. Say which file to start as node.main.`)
    const to = inLayer(options.appDir)
    // Excluded here and not from the copy: what is installed may come from it.
    const entries = await readSourceTree({
      root: copy,
      from: '.',
      to,
      exclude: options.exclude,
      ...(context.signal ? { signal: context.signal } : {}),
    })
    const modules = entries.filter((entry) => isModule(entry, to))
    const files = entries.filter(
      (entry) => !isModule(entry, to) && !neverInImage.some((glob) => matchesGlob(posix.basename(entry.path), glob)),
    )
    // Packed here, while the copy is there.
    const layers = modules.length > 0 ? [await layerOf(context, 'node_modules', modules)] : []
    layers.push(await layerOf(context, `application ${main}`, files))
    return { main, layers }
  })
}

const isModule = (entry: LayerEntry, to: string) => `${entry.path.slice(to.length)}/`.includes('/node_modules/')

async function requireLockFile(dir: string): Promise<void> {
  if ((await isFile(join(dir, 'package-lock.json'))) || (await isFile(join(dir, 'npm-shrinkwrap.json')))) return
  throw new ImageError(
    'SourceNotFound',
    `${dir} has no package-lock.json, so its dependencies are not pinned. Run npm install there and keep the file.`,
  )
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false
}

async function mainOf(dir: string): Promise<string> {
  const manifest = packageSchema.safeParse(JSON.parse(await readFile(join(dir, 'package.json'), 'utf8')))
  return posix.normalize(manifest.data?.main ?? 'index.js')
}
