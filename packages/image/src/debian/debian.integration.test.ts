import { createHash } from 'node:crypto'
import { chmod, cp, mkdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Layout } from '@muster/oci'
import { describe, expect, it } from 'vitest'
import { buildImage } from '../build.ts'
import type { ImageRecipeInput } from '../recipe.ts'
import { build, dir, name, run, write } from '../testing/builds.ts'

describe('Debian packages', () => {
  const recipe: ImageRecipeInput = {
    debian: {
      suite: 'bookworm',
      packages: ['dash'],
      omit: ['dpkg', 'debianutils'],
      files: [{ from: 'greet', to: '/usr/local/bin/greet' }],
    },
    entrypoint: ['/usr/local/bin/greet'],
  }
  const files = {
    greet: '#!/bin/sh\nread -r release < /etc/debian_version\necho "hello from $release"\n',
  }
  const executable = async (root: string) => {
    const baseDir = await write(root, files)
    await chmod(join(baseDir, 'greet'), 0o755)
    return baseDir
  }

  it('become an image with all that they need and nothing else, which runs, not as root', async () => {
    const built = await build(recipe, await executable('debian'), join(dir, 'debian-cache'))
    const rootfs = await built.unpack()
    expect(await run(built, rootfs)).toMatch(/^hello from 12\.\d+\n$/)
    const named = built.image.sources.map((source) => source.name)
    expect(named).toEqual(expect.arrayContaining(['base-files', 'dash', 'libc6']))
    expect(named).not.toContain('dpkg')
    for (const source of built.image.sources) {
      if (source.kind !== 'debian-package') throw new Error(`${source.name} is no Debian package`)
      const status = await readFile(join(rootfs, 'var/lib/dpkg/status.d', source.name), 'utf8')
      expect(status).toContain(`\nVersion: ${source.version}\n`)
      expect(status).toContain(`\nSHA256: ${source.sha256}\n`)
    }
    expect((await stat(join(rootfs, 'usr/share/doc/dash/copyright'))).size).toBeGreaterThan(100)
    for (const absent of ['usr/share/man', 'usr/share/doc/dash/changelog.Debian.gz', 'usr/bin/dpkg', 'usr/bin/id'])
      await expect(stat(join(rootfs, absent))).rejects.toThrow()
  })

  it('chosen twice from the same lists, in other folders and with no package at hand, have one digest', async () => {
    const again = join(dir, 'debian-again')
    await mkdir(again)
    await cp(join(dir, 'debian-cache/apt'), join(again, 'apt'), { recursive: true })
    const first = await build(recipe, await executable('debian'), join(dir, 'debian-cache'))
    const second = await build(recipe, await executable('deep/er/debian'), again)
    expect(second.image.descriptor).toEqual(first.image.descriptor)
  })

  it('that the release does not have are named', async () => {
    const wanted: ImageRecipeInput = { debian: { suite: 'bookworm', packages: ['no-such-package'] }, entrypoint: ['/x'] }
    await expect(build(wanted, dir, join(dir, 'debian-cache'))).rejects.toMatchObject({
      code: 'DownloadFailed',
      message: expect.stringContaining('no-such-package'),
    })
  })

  it('of an archive that nobody signed are not taken', async () => {
    const archive = join(dir, 'unsigned')
    const packages = 'Package: dash\nVersion: 9\nArchitecture: all\nFilename: dash.deb\nSize: 1\nSHA256: 00\n'
    const sum = createHash('sha256').update(packages).digest('hex')
    const release = `Suite: bookworm\nCodename: bookworm\nComponents: main\nArchitectures: amd64 arm64\nSHA256:\n ${sum} ${packages.length} main/binary-amd64/Packages\n`
    await write('unsigned', {
      'dists/bookworm/Release': release,
      'dists/bookworm/main/binary-amd64/Packages': packages,
      'sources.list': `deb file:${archive} bookworm main\n`,
      'apt-get': `#!/bin/sh\nexec apt-get "$@" -o Dir::Etc::SourceList=${archive}/sources.list\n`,
    })
    await chmod(join(archive, 'apt-get'), 0o755)
    const layout = await Layout.open(join(dir, 'layout-unsigned'), { create: true })
    const building = buildImage(recipe, {
      target: layout,
      cacheDir: join(dir, 'cache-unsigned'),
      baseDir: dir,
      env: process.env,
      name,
      architecture: 'amd64',
      tools: { 'apt-get': join(archive, 'apt-get') },
    })
    await expect(building).rejects.toMatchObject({ code: 'DownloadFailed', message: expect.stringMatching(/is not signed/) })
  })
})
