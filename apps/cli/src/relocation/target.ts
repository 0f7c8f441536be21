import { Layout, type Location, mirrorRepository, parseReference, type Registry } from '@muster/oci'
import type { TargetStore } from '@muster/relocate'
import { locate, type OpenOptions, openRegistry } from '../artifact.ts'
import type { Context } from '../context.ts'
import { UsageError } from '../errors.ts'
import { findRegistryAccess } from '../registry.ts'
import type { NamedSource } from './sources.ts'

export interface TargetOptions extends OpenOptions {
  /** Default: in the instance's own registry. */
  readonly mirror?: boolean
}

/** Where to: one archive for all, or a store for each. */
export type Target =
  | { readonly kind: 'archive'; readonly file: string; tagOf(source: NamedSource): string }
  | { readonly kind: 'stores'; storeOf(source: NamedSource): TargetStore; close(): void }

/** @throws OciError, UsageError; Failure */
export async function openTarget(context: Context, text: string, sources: number, options: TargetOptions): Promise<Target> {
  // A place for several: each keeps its own repository below it.
  const folder = text.endsWith('/') && !text.startsWith('oci:') && !text.startsWith('archive:')
  const location = await locate(context, folder ? `${text === '/' ? '' : text}x` : text)
  if (location.kind === 'registry') return inRegistry(context, text, location, folder, sources, options)
  const tagOf = (source: NamedSource): string => tagIn(location, source, sources)
  if (location.kind === 'archive') return { kind: 'archive', file: location.file, tagOf }
  const store = await Layout.open(location.dir, { create: true })
  return {
    kind: 'stores',
    storeOf: (source) => ({ name: `oci:${location.dir}:${tagOf(source)}`, store, tag: tagOf(source) }),
    close: () => {},
  }
}

async function inRegistry(
  context: Context,
  text: string,
  { reference }: Extract<Location, { kind: 'registry' }>,
  folder: boolean,
  sources: number,
  options: TargetOptions,
): Promise<Target> {
  if (sources > 1 && !folder) throw new UsageError(`${sources} artifacts do not fit one repository. Write ${text}/ to put each below it.`)
  const registry = await openRegistry(context, reference, options)
  const own = (await findRegistryAccess(context))?.host === reference.host
  const mirrorOf = (options.mirror ?? own) ? (name: string) => mirrorIn(registry, name) : undefined
  const storeOf = (source: NamedSource): TargetStore => {
    if (folder && source.repository === undefined)
      throw new UsageError(`${source.text} does not say which repository it was. Give one for it instead of ${text}.`)
    const repository = folder ? `${reference.repository.slice(0, -1)}${source.repository}` : reference.repository
    if (reference.digest !== undefined && reference.digest !== source.descriptor.digest)
      throw new UsageError(`${source.text} is ${source.descriptor.digest}, and not ${reference.digest}.`)
    const tag = folder ? source.tag : (reference.tag ?? (reference.digest === undefined ? source.tag : undefined))
    const name = `${reference.host}/${repository}${tag === undefined ? `@${source.descriptor.digest}` : `:${tag}`}`
    return { name, store: registry.repository(repository), ...(tag === undefined ? {} : { tag }), ...(mirrorOf && { mirrorOf }) }
  }
  return { kind: 'stores', storeOf, close: () => registry.close() }
}

/** In a layout with several things, each keeps its repository in its name. */
function tagIn(location: Exclude<Location, { kind: 'registry' }>, source: NamedSource, sources: number): string {
  if (location.digest !== undefined)
    throw new UsageError('A layout names what is put into it by a tag: write oci:DIR:TAG or archive:FILE:TAG.')
  const { repository, tag = 'latest' } = source
  if (sources === 1) return location.tag ?? tag
  if (location.tag !== undefined) throw new UsageError(`${sources} artifacts cannot all be called ${location.tag}: leave the name out.`)
  return repository === undefined ? tag : `${repository}:${tag}`
}

/** As `muster publish` places images. */
function mirrorIn(registry: Registry, name: string): ReturnType<Registry['repository']> {
  const reference = parseReference(name)
  return registry.repository(reference.host === registry.host ? reference.repository : mirrorRepository(reference))
}
