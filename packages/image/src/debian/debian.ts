import { matchesGlob } from 'node:path'
import { accountEntries, baseEnvironment } from '../base/accounts.ts'
import { mergedFolders, releaseName, unpackPackages } from '../base/debian-packages.ts'
import { usrMerged } from '../base/debian-tar.ts'
import { type BuildContext, type BuiltContent, layerOf } from '../context.ts'
import { inLayer, type LayerEntry } from '../entry.ts'
import type { DebianRecipe } from '../recipe.ts'
import { readSourceTree } from '../source-tree.ts'
import { selectPackages } from './archive.ts'

/** What no program reads while it runs. Licences are kept. */
const documentation = /^usr\/share\/(bash-completion|bug|doc|doc-base|info|lintian|locale|man|menu|pixmaps)\//

/**
 * A program as Debian packages it, with all that it depends on, and files of the recipe's folder. Nothing of the packages is run:
 * what their installation scripts would do is the recipe's to bring as files.
 */
export async function buildDebian(recipe: DebianRecipe, context: BuildContext): Promise<BuiltContent> {
  const named = recipe.packages.map((one) => one.split('=')[0] ?? one)
  const selected = await selectPackages({ suite: recipe.suite, packages: recipe.packages, omit: recipe.omit ?? [] }, context)
  const exclude = recipe.exclude ?? []
  const keep = (name: string, path: string): boolean => {
    if (name === 'base-files' && !named.includes(name)) return releaseName.includes(path)
    return !documentation.test(path) && !exclude.some((glob) => matchesGlob(path, glob))
  }
  const { entries, sources, certificates } = await unpackPackages(selected, keep, context)
  const title = `Debian ${recipe.suite}: ${named.join(', ')}`
  const layers = [await layerOf(context, title, [...accountEntries(), ...mergedFolders, ...entries])]
  const files: LayerEntry[] = []
  for (const { from, to } of recipe.files ?? []) {
    const root = context.baseDir
    files.push(...(await readSourceTree({ root, from, to: usrMerged(inLayer(to)), ...(context.signal ? { signal: context.signal } : {}) })))
  }
  if (files.length > 0) layers.push(await layerOf(context, 'files', files))
  const { PATH = '' } = baseEnvironment
  return { layers, entrypoint: [], workdir: '/', env: certificates ? baseEnvironment : { PATH }, labels: {}, sources }
}
