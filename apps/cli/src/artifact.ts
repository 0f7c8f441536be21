import { readFile } from 'node:fs/promises'
import type { RegistryAccess } from '@muster/fleet'
import {
  Archive,
  type ContentSource,
  type ContentTarget,
  type Descriptor,
  findCertificates,
  findCredentials,
  formatLocation,
  formatReference,
  Layout,
  type Location,
  parseLocation,
  type Reference,
  Registry,
  type RegistryOptions,
} from '@muster/oci'
import type { Context } from './context.ts'
import { Failure, UsageError } from './errors.ts'
import { findRegistryAccess, registryAccess } from './registry.ts'

/** An artifact that a command line named, opened. */
export interface OpenArtifact {
  readonly store: ContentSource & ContentTarget
  /** What the name stands for now; undefined where nothing is there (yet). */
  readonly descriptor?: Descriptor
  /** For messages: where it is, with the host. */
  readonly name: string
  close(): void
}

export interface OpenOptions {
  /** It is to be written to: a layout that is not there is made. */
  readonly write?: boolean
  /** HTTP without TLS, for a registry on loopback. */
  readonly plainHttp?: boolean
  /** File with the PEM certificates to trust for the registry. */
  readonly ca?: string
  /** How the registry is used. */
  readonly registry?: Pick<RegistryOptions, 'limits' | 'uploads' | 'retry'>
}

/**
 * Opens what a command line names (`parseLocation`). A reference without a host means the instance's own registry, which also gets its
 * CA and credentials by itself when its host is written. Other registries get theirs from the docker config and `certs.d`.
 * @throws OciError, Failure
 */
export async function openArtifact(context: Context, text: string, options: OpenOptions = {}): Promise<OpenArtifact> {
  const location = await locate(context, text)
  if (location.kind === 'layout') return openLayout(location, options)
  if (location.kind === 'archive') return openArchive(context, location)
  const { reference } = location
  const registry = await openRegistry(context, reference, options)
  try {
    const store = registry.repository(reference.repository)
    const descriptor = await store.resolve(reference.digest ?? reference.tag ?? 'latest', { signal: context.signal })
    return { store, ...(descriptor && { descriptor }), name: formatReference(reference), close: () => registry.close() }
  } catch (error) {
    registry.close()
    throw error
  }
}

/** What the name stands for. @throws Failure where nothing is there */
export function descriptorOf(artifact: OpenArtifact): Descriptor {
  if (artifact.descriptor === undefined) throw new Failure(`${artifact.name} is not there. Check the name and the tag.`)
  return artifact.descriptor
}

/** @throws OciError `InvalidReference`; Failure where a reference without host needs an instance that is not there */
export async function locate(context: Context, text: string): Promise<Location> {
  const location = parseLocation(text)
  if (location.kind !== 'registry' || location.hostGiven) return location
  return parseLocation(text, { host: (await registryAccess(context)).host })
}

/** A client for the registry of a reference, with its CA and credentials. Close it. */
export async function openRegistry(context: Context, reference: Reference, options: OpenOptions = {}): Promise<Registry> {
  const { host } = reference
  const own = await ownAccess(context, host)
  const { environment, signal } = context
  return new Registry({
    ...options.registry,
    host,
    userAgent: 'muster',
    plainHttp: options.plainHttp ?? false,
    ca: options.ca === undefined ? (own?.ca ?? (await findCertificates(host, { environment }))) : await readCa(options.ca),
    credentials: own?.writer ?? (await findCredentials(host, { environment, repository: reference.repository, signal })),
  })
}

async function ownAccess(context: Context, host: string): Promise<RegistryAccess | undefined> {
  const access = await findRegistryAccess(context)
  return access?.host === host ? access : undefined
}

async function openLayout(location: Extract<Location, { kind: 'layout' }>, options: OpenOptions): Promise<OpenArtifact> {
  const store = await Layout.open(location.dir, { create: options.write ?? false })
  const which = location.digest ?? location.tag ?? (await onlyTag(store, `oci:${location.dir}`, options))
  const descriptor = which === undefined ? undefined : await store.resolve(which)
  return { store, ...(descriptor && { descriptor }), name: formatLocation(location), close: () => {} }
}

async function openArchive(context: Context, location: Extract<Location, { kind: 'archive' }>): Promise<OpenArtifact> {
  const store = await Archive.open(location.file, { signal: context.signal })
  try {
    const which = location.digest ?? location.tag ?? (await onlyTag(store, `archive:${location.file}`, {}))
    const descriptor = which === undefined ? undefined : await store.resolve(which)
    return { store, ...(descriptor && { descriptor }), name: formatLocation(location), close: () => void store.close().catch(() => {}) }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** Of a layout with one tag, nobody needs to say which. */
async function onlyTag(layout: Layout | Archive, place: string, options: OpenOptions): Promise<string | undefined> {
  const tags = await layout.tags()
  if (tags.length <= 1) return tags[0]
  if (options.write === true) return undefined
  throw new UsageError(`${place} has ${tags.length} tags: say which, as in ${place}:${tags[0]}.`)
}

async function readCa(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new Failure(`The certificates in ${file} cannot be read. Give --ca the path of a file in PEM.`, { cause })
  }
}
