import { baseEnvironment } from '../base/accounts.ts'
import { debianBase } from '../base/debian.ts'
import { usrMerged } from '../base/debian-tar.ts'
import { type BuildContext, type BuiltContent, layerOf } from '../context.ts'
import { fileContent, inLayer, type LayerEntry } from '../entry.ts'
import type { Layer } from '../layer.ts'
import type { NodeRecipe } from '../recipe.ts'
import { readSourceTree } from '../source-tree.ts'
import { bundleEntry } from './bundle.ts'
import { installFolder } from './install.ts'
import { findNodeRuntime, type NodeRuntime } from './runtime.ts'

const nodePath = 'usr/local/bin/node'
/** Where the application lies, and its working directory unless the recipe says otherwise. */
const appDir = '/app'

/** A Node application: Debian base, Node, then its modules and itself. A layer each, so that a change of one moves only that one. */
export async function buildNode(recipe: NodeRecipe, context: BuildContext): Promise<BuiltContent> {
  const runtime = await findNodeRuntime(context, context.architecture)
  const app =
    recipe.entry === undefined
      ? await installFolder({ dir: recipe.dir ?? '.', main: recipe.main, exclude: recipe.exclude ?? [], appDir }, context)
      : await bundleEntry({ entry: recipe.entry, appDir }, context)
  const base = await debianBase(context)
  const layers: Layer[] = [base.layer, await runtimeLayer(runtime, context), ...app.layers]
  const files: LayerEntry[] = []
  for (const { from, to } of recipe.files ?? []) {
    const root = context.baseDir
    files.push(...(await readSourceTree({ root, from, to: usrMerged(inLayer(to)), ...(context.signal ? { signal: context.signal } : {}) })))
  }
  if (files.length > 0) layers.push(await layerOf(context, 'files', files))
  return {
    layers,
    entrypoint: [`/${nodePath}`, ...(recipe.flags ?? []), `${appDir}/${app.main}`],
    workdir: appDir,
    env: { ...baseEnvironment, NODE_ENV: 'production' },
    labels: {},
    sources: [...base.sources, { kind: 'npm-package', name: runtime.name, version: runtime.version }],
  }
}

async function runtimeLayer(runtime: NodeRuntime, context: BuildContext): Promise<Layer> {
  context.log(`node: ${runtime.name} ${runtime.version}`)
  return layerOf(context, `Node ${runtime.version}`, [
    { kind: 'file', path: nodePath, mode: 0o755, content: await fileContent(runtime.binary, context.signal) },
    { kind: 'file', path: 'usr/local/share/doc/node/LICENSE', mode: 0o644, content: await fileContent(runtime.license, context.signal) },
  ])
}
