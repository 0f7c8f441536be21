import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { baseEnvironment } from '../base/accounts.ts'
import { emptyBase } from '../base/empty.ts'
import { type BuildContext, type BuiltContent, layerOf } from '../context.ts'
import { checkStaticBinary } from '../elf.ts'
import { fileContent, inLayer, type LayerEntry } from '../entry.ts'
import { ImageError } from '../errors.ts'
import type { BinaryRecipe } from '../recipe.ts'
import { readSourceTree } from '../source-tree.ts'

/** A static binary that was built elsewhere, on the empty base. */
export async function buildBinary(recipe: BinaryRecipe, context: BuildContext): Promise<BuiltContent> {
  const file = resolve(context.baseDir, recipe.path)
  const status = await stat(file).catch((cause: unknown) => {
    throw new ImageError('SourceNotFound', `${file}, which the recipe names as binary.path, is not there. Build it first.`, { cause })
  })
  if (!status.isFile()) throw new ImageError('SourceNotFound', `${file}, which the recipe names as binary.path, is not a file.`)
  await checkStaticBinary(file, context.architecture)
  const layers = [
    await emptyBase(context),
    await layerOf(context, `binary ${basename(recipe.to)}`, [
      { kind: 'file', path: inLayer(recipe.to), mode: 0o755, content: await fileContent(file, context.signal) },
    ]),
  ]
  const files: LayerEntry[] = []
  for (const { from, to } of recipe.files ?? []) {
    files.push(
      ...(await readSourceTree({ root: context.baseDir, from, to: inLayer(to), ...(context.signal ? { signal: context.signal } : {}) })),
    )
  }
  if (files.length > 0) layers.push(await layerOf(context, 'files', files))
  return { layers, entrypoint: [recipe.to], workdir: '/', env: baseEnvironment, labels: {}, sources: [] }
}
