import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type BuildContext, type ImageSource, layerOf } from '../context.ts'
import { ImageError } from '../errors.ts'
import type { Layer } from '../layer.ts'
import { accountEntries } from './accounts.ts'
import { aptGet, type DebianPackage, dpkgDeb, packageFiles, parseOffers } from './apt.ts'
import { mergedFolders, releaseName, unpackPackages } from './debian-packages.ts'

/** What Node needs of a system, and base-files for the release's name. */
const packages = ['base-files', 'ca-certificates', 'libc6', 'libgcc-s1', 'libstdc++6'] as const

/**
 * The base of Node: Debian packages in the versions of the host's release, downloaded by apt, which verifies the archive's
 * signatures, and unpacked without running anything of theirs.
 * @throws ImageError `ToolMissing`, `DownloadFailed`, `ChecksumMismatch`
 */
export async function debianBase(context: BuildContext): Promise<{ layer: Layer; sources: readonly ImageSource[] }> {
  const files = await fetchPackages(packages, context)
  files.push(...(await licencesOf(files, context)))
  const { entries, sources, certificates } = await unpackPackages(files, isNeeded, context)
  if (!certificates)
    throw new ImageError(
      'BuildFailed',
      'The package ca-certificates brought no certificates of Mozilla. Look at what apt-get download ca-certificates gives.',
    )
  const title = `base: ${sources.map((source) => `${source.name} ${source.version}`).join(', ')}`
  return { layer: await layerOf(context, title, [...accountEntries(), ...mergedFolders, ...entries]), sources }
}

/** GCC's libraries keep their licence in a package that is named for the compiler's version, such as gcc-12-base. */
async function licencesOf(files: readonly DebianPackage[], context: BuildContext): Promise<DebianPackage[]> {
  const library = files.find(({ name }) => name === 'libgcc-s1')
  if (library === undefined) return []
  const depends = await dpkgDeb(context, ['--field', library.file, 'Depends'], 'read libgcc-s1', 1 << 20)
  const name = /\bgcc-\d+-base\b/.exec(depends.toString('utf8'))?.[0]
  return name === undefined ? [] : fetchPackages([name], context)
}

/** Left out: documentation but for licences, translations, character set converters (Node has its own), debugging aids. */
function isNeeded(name: string, path: string): boolean {
  if (name === 'base-files') return releaseName.includes(path)
  if (name === 'ca-certificates') return false
  return /^(etc|usr\/lib|usr\/lib64)\//.test(path) && !path.includes('/gconv/')
}

/**
 * The packages' files, from the cache where it has what apt would download now. The host's package lists are asked first. A fresh
 * machine has none, and old ones name files that are gone: then lists of our own are, kept apart so that nothing of the machine
 * changes.
 */
async function fetchPackages(names: readonly string[], context: BuildContext): Promise<DebianPackage[]> {
  const dir = join(context.cacheDir, 'apt-lists')
  await mkdir(join(dir, 'partial'), { recursive: true })
  const own = [`Dir::State::Lists=${dir}`]
  for (const lists of [[], own]) {
    try {
      return await fetchListed(names, lists, context)
    } catch (error) {
      if (!(error instanceof ImageError) || error.code !== 'DownloadFailed') throw error
    }
  }
  context.log('debian: apt-get update (into a folder of its own)')
  await aptGet(context, ['update'], { settings: own, purpose: 'bring the package lists' })
  return fetchListed(names, own, context)
}

async function fetchListed(names: readonly string[], settings: readonly string[], context: BuildContext): Promise<DebianPackage[]> {
  const output = await aptGet(context, ['--print-uris', 'download', ...names.map((name) => qualified(name, context))], {
    settings,
    purpose: 'find the Debian packages of the base',
  })
  const offers = parseOffers(output.toString('utf8'))
  const wanted = names.map((name) => {
    const offer = offers.find((one) => one.name === name)
    if (offer === undefined) {
      throw new ImageError('DownloadFailed', `apt-get offers no ${name} for ${context.architecture}. Run apt-get update, then build again.`)
    }
    return { name, sha256: offer.sha256, selector: qualified(name, context) }
  })
  return packageFiles(wanted, settings, context)
}

/** A name with the image's architecture, but for packages that are the same for all. */
function qualified(name: string, context: BuildContext): string {
  return name === 'ca-certificates' ? name : `${name}:${context.architecture}`
}
