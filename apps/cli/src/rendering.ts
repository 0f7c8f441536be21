import { access, constants } from 'node:fs/promises'
import path from 'node:path'
import { helmProgram, helmVersion, helmWith, kustomizeWith, type RenderHelm, type RenderKustomize } from '@muster/bundle'
import type { Reference, Registry } from '@muster/oci'
import { openRegistry } from './artifact.ts'
import type { Context } from './context.ts'
import { Failure } from './errors.ts'
import { kubectlPath } from './host.ts'

/** What renders a bundle's components; each program is found or built when the first component asks for it. */
export interface Rendering {
  readonly kustomize: RenderKustomize
  readonly renderHelm: RenderHelm
  readonly openRegistry: (reference: Reference) => Promise<Registry>
}

export function renderingOf(context: Context, onProgress: (line: string) => void): Rendering {
  return {
    kustomize: async (dir, signal) => kustomizeWith(await kustomizeCommand(context))(dir, signal),
    renderHelm: helmWith(() =>
      helmProgram({
        cacheDir: path.join(context.cache, 'tools'),
        env: context.environment,
        signal: context.signal,
        onBuild: () => onProgress(`build Helm ${helmVersion}, which renders charts (once, some minutes)`),
      }),
    ),
    openRegistry: (reference) => openRegistry(context, reference),
  }
}

/** The kubectl of the instance, else one on PATH: a bundle may be made where nothing runs. */
async function kustomizeCommand(context: Context): Promise<readonly string[]> {
  try {
    return [await kubectlPath(context), 'kustomize']
  } catch (error) {
    if (!(error instanceof Failure)) throw error
  }
  const found = (await onPath(context, 'kubectl')) ?? (await onPath(context, 'kustomize'))
  if (found === undefined)
    throw new Failure(
      'A kustomization is rendered by kubectl or kustomize, and neither is on PATH. Install one, or run "muster up", which builds it.',
    )
  return [found, path.basename(found) === 'kubectl' ? 'kustomize' : 'build']
}

async function onPath(context: Context, program: string): Promise<string | undefined> {
  for (const dir of (context.environment['PATH'] ?? '').split(path.delimiter)) {
    const file = path.join(dir, program)
    const usable =
      path.isAbsolute(dir) &&
      (await access(file, constants.X_OK).then(
        () => true,
        () => false,
      ))
    if (usable) return file
  }
  return undefined
}
