import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { crc32 } from 'node:zlib'
import { Layout } from '@muster/oci'
import { describe, expect, it } from 'vitest'
import { buildImage } from './build.ts'
import { bytesContent } from './entry.ts'
import { gzip } from './gzip.ts'
import { type ImageRecipeInput, loadRecipe } from './recipe.ts'
import { writeTar } from './tar.ts'
import { Built, build, dir, name, run, write } from './testing/builds.ts'

/** A zip archive, nothing of it compressed (APPNOTE.TXT 4.3). */
function zipOf(files: Readonly<Record<string, string>>): Buffer {
  const local: Buffer[] = []
  const central: Buffer[] = []
  let offset = 0
  for (const [name, text] of Object.entries(files)) {
    const content = Buffer.from(text)
    const path = Buffer.from(name)
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0)
    common.writeUInt32LE(crc32(content), 10)
    common.writeUInt32LE(content.length, 14)
    common.writeUInt32LE(content.length, 18)
    common.writeUInt16LE(path.length, 22)
    const place = Buffer.alloc(14)
    place.writeUInt32LE(offset, 10)
    const header = Buffer.concat([Buffer.from('PK\x03\x04'), common, path, content])
    central.push(Buffer.from('PK\x01\x02\x14\x00'), common, place, path)
    local.push(header)
    offset += header.length
  }
  const directory = Buffer.concat(central)
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(local.length, 8)
  end.writeUInt16LE(local.length, 10)
  end.writeUInt32LE(directory.length, 12)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...local, directory, end])
}

const goModule = {
  'go.mod': 'module example.test/hello\n\ngo 1.21\n',
  'cmd/hello/main.go': `package main

import (
	"fmt"
	"os"
	"os/user"
)

var revision = "none"

func main() {
	me, _ := user.Current()
	page, _ := os.ReadFile("/srv/page.html")
	certificates, err := os.Stat(os.Getenv("SSL_CERT_FILE"))
	fmt.Printf("%s %s %s %v\\n", revision, me.Username, page, err == nil && certificates.Size() > 100000)
	if err := os.WriteFile("/tmp/proof", nil, 0o600); err != nil {
		fmt.Println(err)
	}
	if err := os.WriteFile("/srv/proof", nil, 0o600); err == nil {
		fmt.Println("/srv is writable")
	}
}
`,
  'web/page.html': 'page',
}

describe('a Go module', () => {
  const recipe: ImageRecipeInput = {
    go: {
      dir: '.',
      packages: ['./cmd/hello'],
      ldflags: '-X main.revision=r1',
      files: [{ from: 'web/page.html', to: '/srv/page.html' }],
    },
  }

  it('becomes an image that runs, not as root, with nothing but its binary, files and certificates', async () => {
    const built = await build(recipe, await write('go', goModule))
    expect(await run(built, await built.unpack())).toBe('r1 nonroot page true\n')
    const { config, rootfs, history, created } = await built.config()
    expect(config).toMatchObject({ User: '65532:65532', Entrypoint: ['/usr/local/bin/hello'], WorkingDir: '/' })
    expect(rootfs.diff_ids).toEqual(built.image.layers.map(({ diffId }) => diffId))
    expect(history).toHaveLength(3)
    expect(created).toBe('1970-01-01T00:00:00Z')
  })

  it('built twice, in other folders and from empty caches, has one digest', async () => {
    const first = await build(recipe, await write('go', goModule))
    const second = await build(recipe, await write('elsewhere/go', goModule))
    expect(second.image.descriptor).toEqual(first.image.descriptor)
  })

  it('changed in one file changes that layer only', async () => {
    const cache = join(dir, 'shared-cache')
    const first = await build(recipe, await write('go', goModule), cache)
    const second = await build(recipe, await write('go-changed', { ...goModule, 'web/page.html': 'other' }), cache)
    const digests = (built: Built) => built.image.layers.map(({ digest }) => digest)
    expect(digests(second).slice(0, 2)).toEqual(digests(first).slice(0, 2))
    expect(digests(second)[2]).not.toBe(digests(first)[2])
  })

  it('is packed again when the cache was damaged, and the damage is not taken', async () => {
    const cache = join(dir, 'damaged-cache')
    const baseDir = await write('go', goModule)
    const whole = await build(recipe, baseDir, cache)
    for (const file of await readdir(join(cache, 'layers'))) {
      if (!file.endsWith('.gz')) continue
      const bytes = await readFile(join(cache, 'layers', file))
      bytes[20] = (bytes[20] ?? 0) ^ 1
      await writeFile(join(cache, 'layers', file), bytes)
    }
    for (const _ of whole.image.layers)
      await expect(build(recipe, baseDir, cache)).rejects.toMatchObject({ code: 'SourceChanged', transient: true })
    expect((await build(recipe, baseDir, cache)).image.descriptor).toEqual(whole.image.descriptor)
  })

  it('that does not compile says where', async () => {
    const baseDir = await write('go-broken', { ...goModule, 'cmd/hello/main.go': 'package main\n\nfunc main() { nothing() }\n' })
    await expect(build(recipe, baseDir)).rejects.toMatchObject({
      code: 'BuildFailed',
      message: expect.stringMatching(/main\.go:3:15: undefined: nothing/),
    })
  })

  it('whose package is no program is refused', async () => {
    const baseDir = await write('go-library', { 'go.mod': goModule['go.mod'], 'lib/lib.go': 'package lib\n' })
    await expect(build({ go: { dir: '.', packages: ['./lib'] } }, baseDir)).rejects.toMatchObject({
      code: 'BuildFailed',
      message: expect.stringMatching(/not a program/),
    })
  })

  it('is built for another processor too', async () => {
    const layout = await Layout.open(join(dir, 'layout-arm'), { create: true })
    const built = await buildImage(recipe, {
      target: layout,
      cacheDir: join(dir, 'cache-arm'),
      baseDir: await write('go', goModule),
      env: process.env,
      name,
      architecture: 'arm64',
    })
    expect(await new Built(built, layout).config()).toMatchObject({ architecture: 'arm64' })
  })

  it('stops when it is no longer wanted', async () => {
    const layout = await Layout.open(join(dir, 'layout-abort'), { create: true })
    const abort = new AbortController()
    const building = buildImage(recipe, {
      target: layout,
      cacheDir: join(dir, 'cache-abort'),
      baseDir: await write('go', goModule),
      env: process.env,
      name,
      signal: abort.signal,
      onProgress: (line) => {
        if (line.startsWith('go: build')) abort.abort(new Error('no longer wanted'))
      },
    })
    await expect(building).rejects.toThrow('no longer wanted')
    expect(await layout.resolve(name)).toBeUndefined()
  })
})

describe('a Go module that was downloaded', () => {
  const library = 'package greet\n\nfunc Hello() string { return "from the published folder" }\n'
  const program = `package main

import (
	"fmt"

	"example.test/mono/greet"
)

func main() { fmt.Println(greet.Hello()) }
`
  const goMod = (required: string) => `module example.test/mono

go 1.21

require example.test/mono/greet ${required}

replace example.test/mono/greet => ./greet
`
  const recipe: ImageRecipeInput = { go: { module: 'example.test/mono@v1.0.0', packages: ['./cmd/hello'] } }

  /** Serves modules from files, as a mirror of them on a disk does. */
  async function served(root: string, modules: readonly { path: string; version: string; files: Record<string, string> }[]) {
    for (const { path, version, files } of modules) {
      const prefix = `${path}@${version}`
      const zip = zipOf(Object.fromEntries(Object.entries(files).map(([file, text]) => [`${prefix}/${file}`, text])))
      await write(`${root}/proxy/${path}/@v`, {
        [`${version}.mod`]: files['go.mod'] ?? '',
        [`${version}.info`]: JSON.stringify({ Version: version }),
      })
      await writeFile(join(dir, root, 'proxy', path, '@v', `${version}.zip`), zip)
    }
    return {
      ...process.env,
      GOPROXY: `file://${join(dir, root, 'proxy')}`,
      GOSUMDB: 'off',
      GOMODCACHE: join(dir, root, 'modules'),
    }
  }

  it('and replaces modules by folders beside it is built with the published versions that it requires', async () => {
    const env = await served('mono', [
      { path: 'example.test/mono', version: 'v1.0.0', files: { 'go.mod': goMod('v1.0.0'), 'cmd/hello/main.go': program } },
      {
        path: 'example.test/mono/greet',
        version: 'v1.0.0',
        files: { 'go.mod': 'module example.test/mono/greet\n\ngo 1.21\n', 'greet.go': library },
      },
    ])
    const built = await build(recipe, dir, undefined, env)
    expect(await run(built, await built.unpack())).toBe('from the published folder\n')
    const again = await build(recipe, dir, undefined, env)
    expect(again.image.descriptor).toEqual(built.image.descriptor)
  })

  it('and requires a version of them that nobody published says which', async () => {
    const env = await served('unpublished', [
      { path: 'example.test/mono', version: 'v1.0.0', files: { 'go.mod': goMod('v0.0.0'), 'cmd/hello/main.go': program } },
    ])
    await expect(build(recipe, dir, undefined, env)).rejects.toMatchObject({
      code: 'DownloadFailed',
      message: expect.stringMatching(/replaces by folders.*example\.test\/mono\/greet@v0\.0\.0/s),
    })
  })
})

const nodeApp = {
  'src/main.ts': `import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { rootCertificates } from 'node:tls'
import greet from './greet.cjs'

class Greeter {
  readonly words: string = greet('world')
}
console.log(new Greeter().words, Greeter.name, process.env['NODE_ENV'], userInfo().username, rootCertificates.length > 100)
console.log(readFileSync('/etc/os-release', 'utf8').includes('PRETTY_NAME'), new Date(0).toLocaleTimeString('en-GB', { timeZone: 'Asia/Tokyo' }))
`,
  'src/greet.cjs': `const path = require('node:path')\nmodule.exports = (name) => 'hello ' + name + ' from ' + path.basename(__filename)\n`,
}

describe('a Node application', () => {
  const recipe: ImageRecipeInput = { node: { entry: 'src/main.ts', flags: ['--max-semi-space-size=1'] } }
  const printed = 'hello world from main.mjs Greeter production nonroot true\ntrue 09:00:00\n'

  it('becomes an image that runs TypeScript and CommonJS as one file, not as root', async () => {
    const built = await build(recipe, await write('node', nodeApp), join(dir, 'node-cache'))
    const rootfs = await built.unpack()
    expect(await run(built, rootfs)).toBe(printed)
    expect((await built.config()).config.Entrypoint).toEqual(['/usr/local/bin/node', '--max-semi-space-size=1', '/app/main.mjs'])
    expect(built.image.layers.map(({ title }) => title.split(/[ :]/)[0])).toEqual(['base', 'Node', 'application'])
  })

  it('says which Debian packages it stands on, as scanners read it', async () => {
    const built = await build(recipe, await write('node', nodeApp), join(dir, 'node-cache'))
    const rootfs = await built.unpack()
    const packages = built.image.sources.filter((source) => source.kind === 'debian-package')
    expect(packages.map((source) => source.name)).toEqual(
      expect.arrayContaining(['base-files', 'ca-certificates', 'libc6', 'libgcc-s1', 'libstdc++6']),
    )
    for (const source of packages) {
      const status = await readFile(join(rootfs, 'var/lib/dpkg/status.d', source.name), 'utf8')
      expect(status).toContain(`\nVersion: ${source.version}\n`)
      expect(status).toContain(`\nSHA256: ${source.sha256}\n`)
    }
    const certificates = await readFile(join(rootfs, 'etc/ssl/certs/ca-certificates.crt'), 'utf8')
    expect(certificates.split('-----BEGIN CERTIFICATE-----').length).toBeGreaterThan(100)
    for (const absent of ['bin/sh', 'usr/share/man', 'usr/share/locale']) await expect(stat(join(rootfs, absent))).rejects.toThrow()
  })

  it('is built on a machine that has no package lists yet, and leaves none there', async () => {
    const lists = join(dir, 'no-lists')
    await mkdir(join(lists, 'partial'), { recursive: true })
    await write('apt', { 'apt.conf': `Dir::State::Lists "${lists}";\n` })
    const baseDir = await write('node', nodeApp)
    const usual = await build(recipe, baseDir, join(dir, 'node-cache'))
    const fresh = await build(recipe, baseDir, join(dir, 'node-cache'), { ...process.env, APT_CONFIG: join(dir, 'apt/apt.conf') })
    expect(fresh.image.sources.map((source) => source.name)).toEqual(usual.image.sources.map((source) => source.name))
    expect(await readdir(lists)).toEqual(['partial'])
  })

  it('built twice, in other folders and from empty caches, has one digest', async () => {
    const first = await build(recipe, await write('node', nodeApp), join(dir, 'node-cache'))
    const second = await build(recipe, await write('deep/er/node', nodeApp))
    expect(second.image.descriptor).toEqual(first.image.descriptor)
  })

  it('that does not bundle says where', async () => {
    const baseDir = await write('node-broken', { 'src/main.ts': `import './missing.ts'\n` })
    await expect(build(recipe, baseDir, join(dir, 'node-cache'))).rejects.toMatchObject({
      code: 'BuildFailed',
      message: expect.stringMatching(/src\/main\.ts:1:7/),
    })
  })

  it('may be a folder with pinned dependencies: they and it in a layer each, secrets in none', async () => {
    async function* archive() {
      const manifest = JSON.stringify({ name: 'dependency', version: '1.0.0', main: 'index.js' })
      yield* writeTar(
        [
          { kind: 'file', path: 'package/package.json', mode: 0o644, content: bytesContent(manifest) },
          { kind: 'file', path: 'package/index.js', mode: 0o644, content: bytesContent('module.exports = "from a dependency"\n') },
        ],
        0,
      )
    }
    const tarball = await buffer(gzip(archive()))
    const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`
    const dependencies = { dependency: 'file:vendor/dependency.tgz' }
    const baseDir = await write('folder', {
      'package.json': JSON.stringify({ name: 'app', version: '1.0.0', main: 'main.cjs', dependencies }),
      'package-lock.json': JSON.stringify({
        name: 'app',
        version: '1.0.0',
        lockfileVersion: 3,
        requires: true,
        packages: {
          '': { name: 'app', version: '1.0.0', dependencies },
          'node_modules/dependency': { version: '1.0.0', resolved: 'file:vendor/dependency.tgz', integrity },
        },
      }),
      'main.cjs': 'console.log(require("dependency"))\n',
      '.env': 'SECRET=1\n',
      '.npmrc': 'fund=false\n',
      'node_modules/stale/index.js': 'stale\n',
    })
    await mkdir(join(baseDir, 'vendor'))
    await writeFile(join(baseDir, 'vendor/dependency.tgz'), tarball)
    const folder: ImageRecipeInput = { node: { dir: '.', exclude: ['vendor'] } }
    const env = { ...process.env, npm_config_cache: join(dir, 'npm-cache') }
    const built = await build(folder, baseDir, join(dir, 'node-cache'), env)
    const rootfs = await built.unpack()
    expect(await run(built, rootfs)).toBe('from a dependency\n')
    expect(built.image.layers.map(({ title }) => title.split(' ')[0])).toEqual(['base:', 'Node', 'node_modules', 'application'])
    for (const absent of ['.env', '.npmrc', 'vendor', 'node_modules/stale', 'node_modules/.package-lock.json'])
      await expect(stat(join(rootfs, 'app', absent))).rejects.toThrow()
    const again = await build(folder, baseDir, join(dir, 'node-cache'), env)
    expect(again.image.descriptor).toEqual(built.image.descriptor)
  })
})

describe('a prebuilt binary', () => {
  it('is put on the empty base when it is static, and refused when it is not', async () => {
    const baseDir = await write('binary', goModule)
    const go = (output: string, cgo: string) =>
      execFileSync('go', ['build', '-o', output, './cmd/hello'], { cwd: baseDir, env: { ...process.env, CGO_ENABLED: cgo, GOFLAGS: '' } })
    go('static', '0')
    const built = await build({ binary: { path: 'static', to: '/bin/hello' } }, baseDir)
    expect(await run(built, await built.unpack())).toContain('none nonroot')
    await cp('/bin/true', join(baseDir, 'dynamic'))
    await expect(build({ binary: { path: 'dynamic', to: '/bin/hello' } }, baseDir)).rejects.toMatchObject({ code: 'BinaryUnfit' })
  })

  it('that is not there is named', async () => {
    await expect(build({ binary: { path: 'none', to: '/x' } }, dir)).rejects.toMatchObject({
      code: 'SourceNotFound',
      message: expect.stringMatching(/none/),
    })
  })
})
describe('the recipe of an example', () => {
  it('is one that can be read', async () => {
    const recipe = await loadRecipe(join(import.meta.dirname, '../../../examples/podinfo/image.yaml'))
    expect(recipe.go?.module).toMatch(/^github\.com\/stefanprodan\/podinfo@v/)
  })

  it('needs a name when it gives none', async () => {
    const layout = await Layout.open(join(dir, 'layout-name'), { create: true })
    const options = { target: layout, cacheDir: dir, baseDir: dir, env: {} }
    await expect(buildImage({ binary: { path: 'a', to: '/a' } }, options)).rejects.toMatchObject({
      code: 'RecipeInvalid',
      message: expect.stringMatching(/no name/),
    })
  })
})
