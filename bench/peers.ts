import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { asciiRegularExpressions } from '../packages/image/src/node/ascii.ts'
import type { BenchContext } from './harness.ts'
import { run } from './program.ts'

/** Fixed, so that figures can be compared. */
export const clientNodeVersion = '2.0.1'

/** client-node, a tool of the benchmark like the peers of test/peers and never a dependency: as one file, as Muster's own programs are: that spares it memory. */
export async function clientNode(context: BenchContext): Promise<string> {
  const { cache, signal, say, scratch } = context
  const folder = path.join(cache, 'peers', `client-node-${clientNodeVersion}`)
  await mkdir(folder, { recursive: true })
  const name = '@kubernetes/client-node'
  await writeFile(path.join(folder, 'package.json'), JSON.stringify({ private: true, dependencies: { [name]: clientNodeVersion } }))
  say(`install ${name} ${clientNodeVersion}`)
  await run('npm', ['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund'], { signal })
  const file = path.join(scratch, 'client-node.mjs')
  await bundle(context, path.join(folder, 'node_modules', name, 'dist', 'index.js'), file)
  return file
}

/** Makes one ES module of an entry and all that it imports, as the images of hub and agent are made. */
export async function bundle({ checkout, signal }: BenchContext, entry: string, file: string): Promise<void> {
  const esbuild = createRequire(path.join(checkout, 'packages/image/package.json')).resolve('esbuild/bin/esbuild')
  const banner = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)"
  const options = [
    '--bundle',
    '--platform=node',
    '--target=node24',
    '--format=esm',
    '--legal-comments=none',
    '--minify-whitespace',
    '--minify-syntax',
    '--log-level=error',
  ]
  await run(esbuild, [entry, ...options, `--banner:js=${banner}`, `--outfile=${file}`], { signal })
  await writeFile(file, asciiRegularExpressions(await readFile(file, 'utf8')))
}
