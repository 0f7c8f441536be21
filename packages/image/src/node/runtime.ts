import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as z from 'zod'
import type { BuildContext } from '../context.ts'
import { ImageError } from '../errors.ts'
import { type Architecture, nodePackage } from '../platform.ts'

/** Node as its npm package carries it. */
export interface NodeRuntime {
  readonly name: string
  readonly version: string
  readonly binary: string
  readonly license: string
}

const packageSchema = z.object({ name: z.string(), version: z.string() })

/**
 * Finds the npm package that carries Node for an architecture: the folder the caller gave, or the one installed with Muster.
 * @throws ImageError `Unsupported` when it is not installed, `SourceNotFound` when the folder is not such a package
 */
export async function findNodeRuntime(context: Pick<BuildContext, 'nodePackageDir'>, architecture: Architecture): Promise<NodeRuntime> {
  const dir = context.nodePackageDir ?? installedDir(architecture)
  const expected = nodePackage(architecture)
  try {
    const { name, version } = packageSchema.parse(JSON.parse(await readFile(join(dir, 'package.json'), 'utf8')))
    if (name !== expected) throw new Error(`it is the package ${name}`)
    const binary = join(dir, 'bin', 'node')
    await stat(binary)
    return { name, version, binary, license: join(dir, 'LICENSE') }
  } catch (error) {
    throw new ImageError(
      'SourceNotFound',
      `${dir} is not the npm package ${expected}: ${(error as Error).message}. Run npm install in the folder of Muster.`,
      { cause: error },
    )
  }
}

function installedDir(architecture: Architecture): string {
  const name = nodePackage(architecture)
  try {
    return dirname(fileURLToPath(import.meta.resolve(`${name}/package.json`)))
  } catch (error) {
    const how = 'npm installs it only for the processor of the machine: build on such a machine, or give the folder of the package'
    throw new ImageError('Unsupported', `The npm package ${name}, which carries Node for ${architecture}, is not installed. ${how}.`, {
      cause: error,
    })
  }
}
