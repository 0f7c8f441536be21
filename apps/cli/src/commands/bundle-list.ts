import { Archive, Layout, type Registry } from '@muster/oci'
import { locate, type OpenOptions, openRegistry } from '../artifact.ts'
import { type BundleTag, bundleTags, channelOf } from '../bundles.ts'
import type { Context } from '../context.ts'
import { registryAccess, writableRegistry } from '../registry.ts'
import { table } from '../table.ts'

export interface BundleListOptions extends OpenOptions {
  readonly output: 'table' | 'json'
}

interface Listed {
  readonly bundle: string
  readonly version: string
  readonly digest: string
  readonly channels: string[]
  readonly images: number
}

/** `muster bundle list [REPO]`: versions and channels of a repository or layout; without one, all bundles of the instance. */
export async function bundleList(context: Context, repository: string | undefined, options: BundleListOptions): Promise<void> {
  const bundles = repository === undefined ? await ofInstance(context) : await named(context, repository, options)
  if (options.output === 'json') {
    context.stdout.write(`${JSON.stringify(bundles, undefined, 2)}\n`)
    return
  }
  if (bundles.length === 0) {
    context.stdout.write('No bundles are there. Make one: muster publish DIR.\n')
    return
  }
  const rows = bundles.map(({ bundle, version, digest, channels, images }) => [
    bundle,
    version,
    channels.join(', ') || '-',
    String(images),
    digest.slice(0, 'sha256:'.length + 12),
  ])
  context.stdout.write(`${table(['BUNDLE', 'VERSION', 'CHANNELS', 'IMAGES', 'DIGEST'], rows)}\n`)
}

async function ofInstance(context: Context): Promise<Listed[]> {
  const registry = writableRegistry(await registryAccess(context))
  try {
    const names = (await registry.repositories({ signal: context.signal })).filter((name) => name.startsWith('bundles/'))
    const lists: Listed[] = []
    for (const name of names) lists.push(...(await ofRepository(context, registry, name)))
    return lists
  } finally {
    registry.close()
  }
}

async function named(context: Context, text: string, options: BundleListOptions): Promise<Listed[]> {
  const location = await locate(context, text)
  if (location.kind === 'layout') {
    const layout = await Layout.open(location.dir)
    return grouped(await bundleTags(layout, await layout.tags(), context.signal), (tag) => tag.name)
  }
  if (location.kind === 'archive') {
    const archive = await Archive.open(location.file, { signal: context.signal })
    try {
      return grouped(await bundleTags(archive, await archive.tags(), context.signal), (tag) => tag.name)
    } finally {
      await archive.close()
    }
  }
  const registry = await openRegistry(context, location.reference, options)
  try {
    return await ofRepository(context, registry, location.reference.repository)
  } finally {
    registry.close()
  }
}

async function ofRepository(context: Context, registry: Registry, name: string): Promise<Listed[]> {
  const repository = registry.repository(name)
  const tags = await repository.tags({ signal: context.signal })
  return grouped(await bundleTags(repository, tags, context.signal), () => name)
}

/** A line per bundle, with the channels that lead to it; the newest version first. */
function grouped(tags: readonly BundleTag[], nameOf: (tag: BundleTag) => string): Listed[] {
  const byDigest = new Map<string, Listed>()
  for (const tag of tags) {
    const { version, digest, images } = tag
    const key = `${nameOf(tag)}@${digest}`
    const listed = byDigest.get(key) ?? { bundle: nameOf(tag), version, digest, channels: [], images }
    const channel = channelOf(tag)
    if (channel !== undefined) listed.channels.push(channel)
    byDigest.set(key, listed)
  }
  const newestFirst = new Intl.Collator('en', { numeric: true })
  return [...byDigest.values()].sort((a, b) => newestFirst.compare(a.bundle, b.bundle) || newestFirst.compare(b.version, a.version))
}
