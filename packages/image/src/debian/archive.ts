import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { aptGet, type DebianPackage, packageFiles, parseOffers } from '../base/apt.ts'
import { hostDebianSources } from '../base/apt-sources.ts'
import { type BuildContext, withTemporaryFolder } from '../context.ts'
import { ImageError } from '../errors.ts'

export interface Selection {
  /** Codename of a release, such as `bookworm`. */
  readonly suite: string
  /** Names, or `name=version`. */
  readonly packages: readonly string[]
  /** Packages that are taken for installed: neither they nor what they alone need is in the image. */
  readonly omit: readonly string[]
}

/**
 * Packages of a release of Debian with all that they depend on, chosen by apt from lists that it has verified by the archive's
 * signatures. Nothing of the host counts but its mirrors and proxies: not its release, its lists or what is installed there.
 * Lists are kept, and asked for anew only where they no longer serve, so that a build repeated gives the same.
 * @throws ImageError `ToolMissing`, `DownloadFailed`, `ChecksumMismatch`
 */
export async function selectPackages(selection: Selection, context: BuildContext): Promise<DebianPackage[]> {
  const lists = join(context.cacheDir, 'apt', `${selection.suite}-${context.architecture}`)
  return withTemporaryFolder(context, async (dir) => {
    const settings = await aptRoot(dir, selection, context)
    const fetch = async () => {
      const offered = await resolve(selection, [...settings, `Dir::State::Lists=${lists}`], context)
      return packageFiles(offered, [...settings, `Dir::State::Lists=${lists}`], context)
    }
    if ((await stat(lists).catch(() => undefined)) !== undefined) {
      try {
        return await fetch()
      } catch (error) {
        if (!(error instanceof ImageError) || error.code !== 'DownloadFailed') throw error
      }
    }
    context.log(`debian: apt-get update (${selection.suite}, into a folder of its own)`)
    await update(lists, join(dir, 'lists'), settings, context)
    return fetch()
  })
}

/** Settings by which apt works in a folder of ours, as if on an empty machine of this architecture. */
async function aptRoot(dir: string, { suite, omit }: Selection, context: BuildContext): Promise<string[]> {
  await mkdir(join(dir, 'lists', 'partial'), { recursive: true })
  await mkdir(join(dir, 'archives', 'partial'), { recursive: true })
  const lines = await hostDebianSources(suite)
  if (lines.length === 0) {
    throw new ImageError(
      'SourceNotFound',
      `This host names no archive of Debian ${suite}. Add one to /etc/apt/sources.list.d, with the key that signs it (signed-by).`,
    )
  }
  await writeFile(join(dir, 'sources.list'), `${lines.join('\n')}\n`)
  await writeFile(join(dir, 'status'), omit.map(takenForInstalled).join('\n'))
  return [
    `APT::Architecture=${context.architecture}`,
    `APT::Architectures=${context.architecture}`,
    'APT::Install-Recommends=false',
    'APT::Install-Suggests=false',
    'Acquire::Languages=none',
    `Dir::Etc::SourceList=${join(dir, 'sources.list')}`,
    'Dir::Etc::SourceParts=-',
    'Dir::Etc::Preferences=-',
    'Dir::Etc::PreferencesParts=-',
    `Dir::State::Status=${join(dir, 'status')}`,
    `Dir::State::Extended_States=${join(dir, 'extended_states')}`,
    `Dir::Cache=${dir}`,
    `Dir::Cache::Archives=${join(dir, 'archives')}`,
  ]
}

/** An entry of dpkg's status with a version above any that a dependency could ask for. */
function takenForInstalled(name: string): string {
  return `Package: ${name}\nStatus: install ok installed\nVersion: 9999:0\nArchitecture: all\nMulti-Arch: foreign\nMaintainer: none\nDescription: left out\n`
}

/** Brings the lists into a folder beside, and puts it in place whole: other builds may be reading. */
async function update(lists: string, fresh: string, settings: readonly string[], context: BuildContext): Promise<void> {
  await aptGet(context, ['update', '--error-on=any'], {
    settings: [...settings, `Dir::State::Lists=${fresh}`],
    purpose: 'bring the package lists',
  })
  await mkdir(join(lists, '..'), { recursive: true })
  await rm(`${fresh}/lock`, { force: true })
  await rename(lists, `${fresh}.old`).catch(() => undefined)
  await rename(fresh, lists).catch(async (error: NodeJS.ErrnoException) => {
    // Another build was faster: its lists are as good.
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
}

async function resolve({ suite, packages, omit }: Selection, settings: readonly string[], context: BuildContext) {
  const ask = async (args: readonly string[]) => {
    const output = await aptGet(context, ['--yes', '--print-uris', ...args], {
      settings,
      purpose: `choose the packages ${packages.join(', ')} of Debian ${suite} and what they need`,
    })
    return parseOffers(output.toString('utf8'))
  }
  const offers = await ask(['install', ...packages])
  // For the release's name: the package itself, without the tools that it needs on a machine.
  if (!offers.some(({ name }) => name === 'base-files')) offers.push(...(await ask(['download', 'base-files'])))
  for (const one of packages) {
    const name = one.split('=')[0] ?? one
    if (!offers.some((offer) => offer.name === name)) {
      const why = omit.includes(name) ? 'it is among those left out' : 'apt-get gave another in its place'
      throw new ImageError(
        'SourceNotFound',
        `The package ${name} is not in what was chosen from Debian ${suite}: ${why}. Correct the recipe.`,
      )
    }
  }
  return offers
    .map(({ name, version, architecture, sha256 }) => ({ name, sha256, selector: `${name}:${architecture}=${version}` }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}
