import path from 'node:path'
import { versionTag } from '@muster/bundle'
import { copy, type Descriptor, formatLocation, type Layout } from '@muster/oci'
import { prepareBundle } from '@muster/publish'
import { relocateToArchive } from '@muster/relocate'
import { locate, type OpenOptions, openArtifact } from '../artifact.ts'
import { type Context, workLayout } from '../context.ts'
import { findRegistryAccess, writableRegistry } from '../registry.ts'
import { renderingOf } from '../rendering.ts'

export interface BundleCreateOptions extends OpenOptions {
  readonly output?: string
  readonly version?: string
}

const jobs = 4

/** `muster bundle create DIR -o WHERE`: makes a bundle, unsigned, with its images. Prints where it is and its digest. */
export async function bundleCreate(
  context: Context,
  dir: string,
  { output, version: wanted, ...options }: BundleCreateOptions,
): Promise<void> {
  const onProgress = (line: string): void => void context.stderr.write(`${line}\n`)
  const workDir = workLayout(context)
  const location = output === undefined ? undefined : await locate(context, output)
  const access = await findRegistryAccess(context)
  const registry = access === undefined ? undefined : writableRegistry(access)
  try {
    const { layout, descriptor, config } = await prepareBundle({
      sourceDir: path.resolve(dir),
      version: wanted,
      workDir,
      cacheDir: path.join(context.cache, 'images'),
      registry,
      env: context.environment,
      ...renderingOf(context, onProgress),
      signal: context.signal,
      onProgress,
    })
    const version = versionTag(config.version)
    if (output === undefined || location === undefined) {
      context.stdout.write(`oci:${workDir}:${config.name}:${version}\n${descriptor.digest}\n`)
      return
    }
    const tag = location.kind === 'registry' ? (location.reference.tag ?? version) : (location.tag ?? `${config.name}:${version}`)
    if (location.kind === 'archive') {
      const source = { name: `${config.name} ${config.version}`, store: layout, descriptor, tag }
      await relocateToArchive([source], { file: location.file }, { jobs, signal: context.signal, onProgress })
    } else await copyTo(context, output, { ...options, layout, descriptor, tag })
    const where = formatLocation(
      location.kind === 'registry' ? { ...location, reference: { ...location.reference, tag } } : { ...location, tag },
    )
    context.stdout.write(`${where}\n${descriptor.digest}\n`)
  } finally {
    registry?.close()
  }
}

async function copyTo(
  context: Context,
  output: string,
  { layout, descriptor, tag, ...options }: OpenOptions & { readonly layout: Layout; readonly descriptor: Descriptor; readonly tag: string },
): Promise<void> {
  const target = await openArtifact(context, output, { ...options, write: true })
  try {
    await copy(layout, target.store, descriptor, { referrers: true, tag, signal: context.signal })
  } finally {
    target.close()
  }
}
