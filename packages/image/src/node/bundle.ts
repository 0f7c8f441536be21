import { posix } from 'node:path'
import { type BuildFailure, context as esbuild, formatMessages } from 'esbuild'
import { type BuildContext, layerOf } from '../context.ts'
import { bytesContent, inLayer } from '../entry.ts'
import { ImageError } from '../errors.ts'
import { insidePath } from '../source-tree.ts'
import type { NodeApp } from './app.ts'
import { asciiRegularExpressions } from './ascii.ts'

/** CommonJS dependencies in an ES module: what they take for granted, under names that no source uses. */
const banner = `import { createRequire as __musterRequire } from 'node:module'
import { dirname as __musterDir } from 'node:path'
import { fileURLToPath as __musterPath } from 'node:url'
const require = __musterRequire(import.meta.url)
const __musterFilename = __musterPath(import.meta.url)
const __musterDirname = __musterDir(__musterFilename)`

/**
 * Bundles an entry and all it imports into one ES module. Names are kept, so that stack traces and class names stay true;
 * comments with the licences of dependencies are left out of the file.
 * @throws ImageError `SourceNotFound`, `BuildFailed` with the bundler's messages
 */
export async function bundleEntry(options: { entry: string; appDir: string }, context: BuildContext): Promise<NodeApp> {
  const entry = await insidePath(context.baseDir, options.entry)
  const root = await insidePath(context.baseDir, '.')
  context.log(`node: bundle ${options.entry}`)
  const main = `${posix.basename(options.entry).replace(/\.[cm]?[jt]sx?$/, '')}.mjs`
  const bundler = await esbuild({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    write: false,
    outfile: main,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    keepNames: true,
    legalComments: 'none',
    // Node keeps the source in memory: two bytes for each character where one is not ASCII, and what only people read counts too.
    charset: 'ascii',
    minifyWhitespace: true,
    minifySyntax: true,
    banner: { js: banner },
    define: { __filename: '__musterFilename', __dirname: '__musterDirname' },
    logLevel: 'silent',
  })
  const cancel = () => void bundler.cancel()
  context.signal?.addEventListener('abort', cancel, { once: true })
  try {
    const result = await bundler.rebuild()
    context.signal?.throwIfAborted()
    for (const text of await formatMessages(result.warnings, { kind: 'warning' })) context.log(text.trim())
    const [output] = result.outputFiles ?? []
    if (output === undefined) throw new ImageError('BuildFailed', `esbuild made nothing of ${entry}.`)
    const path = `${inLayer(options.appDir)}/${main}`
    return {
      main,
      layers: [
        await layerOf(context, `application ${main}`, [
          { kind: 'file', path, mode: 0o644, content: bytesContent(Buffer.from(asciiRegularExpressions(output.text))) },
        ]),
      ],
    }
  } catch (error) {
    context.signal?.throwIfAborted()
    if (error instanceof ImageError) throw error
    throw await bundleError(entry, error)
  } finally {
    context.signal?.removeEventListener('abort', cancel)
    await bundler.dispose()
  }
}

async function bundleError(entry: string, error: unknown): Promise<ImageError> {
  const failure = error as Partial<BuildFailure>
  const texts = failure.errors === undefined ? [String(error)] : await formatMessages(failure.errors.slice(0, 5), { kind: 'error' })
  const native = failure.errors?.some(({ text }) => text.includes('".node" files')) ?? false
  const hint = native ? '\nIt has a native addon, which cannot be bundled: use dir instead of entry.' : ''
  return new ImageError('BuildFailed', `${entry} cannot be bundled:\n${texts.join('\n').trim()}${hint}`, { cause: error })
}
