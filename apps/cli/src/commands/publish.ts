import { stat } from 'node:fs/promises'
import path from 'node:path'
import { type PublishedBundle, publishBundle } from '@muster/publish'
import type { SignatureKey } from '@muster/trust'
import { type Context, workLayout } from '../context.ts'
import { Failure, UsageError } from '../errors.ts'
import { registryAccess, writableRegistry } from '../registry.ts'
import { renderingOf } from '../rendering.ts'
import { instanceKey, openKey } from '../signing.ts'

export interface PublishOptions {
  readonly version?: string
  readonly key?: string
  readonly passphraseFile?: string
  readonly unsigned: boolean
}

/** `muster publish DIR`: from source to a signed bundle in the registry. Prints where it is and its digest. */
export async function publish(context: Context, dir: string, options: PublishOptions): Promise<void> {
  if (options.unsigned && options.key !== undefined) throw new UsageError('--unsigned and --key exclude each other.')
  await checkSource(dir)
  // Before keys are made for an instance that is not there.
  await registryAccess(context)
  const bundle = await publishFolder(context, dir, {
    version: options.version,
    signer: options.unsigned ? undefined : await signerOf(context, options),
    onProgress: (line) => context.stderr.write(`${line}\n`),
  })
  context.stdout.write(
    `${bundle.changed ? 'Published' : 'Already published:'} ${bundle.repository}:${bundle.version}@${bundle.digest}\n` +
      `Place it with: muster place ${path.basename(bundle.repository)} --version ${bundle.version} --on CLUSTER,…\n`,
  )
}

/** Publishes a folder with a `bundle.yaml` to the instance's registry. */
export async function publishFolder(
  context: Context,
  dir: string,
  options: {
    /** Instead of the one that bundle.yaml says. */
    readonly version?: string | undefined
    readonly signer: SignatureKey | undefined
    readonly onProgress: (line: string) => void
  },
): Promise<PublishedBundle> {
  const registry = writableRegistry(await registryAccess(context))
  try {
    return await publishBundle({
      sourceDir: path.resolve(dir),
      version: options.version,
      registry,
      workDir: workLayout(context),
      cacheDir: path.join(context.cache, 'images'),
      ...(options.signer ? { signer: options.signer } : {}),
      env: context.environment,
      ...renderingOf(context, options.onProgress),
      signal: context.signal,
      onProgress: options.onProgress,
    })
  } finally {
    registry.close()
  }
}

async function signerOf(context: Context, { key, passphraseFile }: PublishOptions): Promise<SignatureKey> {
  return key === undefined ? instanceKey(context) : openKey(context, key, passphraseFile)
}

/** What can be said before anything else is needed. */
async function checkSource(dir: string): Promise<void> {
  if (dir === '') throw new UsageError('Say which folder: muster publish DIR.')
  try {
    await stat(dir)
  } catch (cause) {
    throw new Failure(`${dir} is not there. Give the path of a folder with a bundle.yaml.`, { cause })
  }
}
