import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { BuildError } from './build-error.ts'
import { parsePins } from './checksums.ts'
import { componentVersion, linkerFlags, loadRecipe, parseRecipe, requiredVersion } from './recipe.ts'

const distro = join(import.meta.dirname, '../../../../distro')

describe('the recipe in this repository', () => {
  it('is valid, and every component has the version that its go.mod pins', async () => {
    const recipe = await loadRecipe(distro)
    for (const component of recipe.components) {
      const goMod = await readFile(join(distro, component.name, 'go.mod'), 'utf8')
      expect(componentVersion(component, goMod)).toMatch(component.module === undefined ? /^own$/ : /^v\d+\.\d+\.\d+$/)
    }
  })

  it('ships no checksum that was not verified', async () => {
    const text = await readFile(join(distro, 'checksums.json'), 'utf8')
    for (const arch of ['amd64', 'arm64'] as const) expect(parsePins(text, arch)).toEqual({ checksumsFile: null, binaries: {} })
  })
})

describe('a recipe', () => {
  it('is refused with an unknown word, a path for a file name or no JSON', () => {
    const component = { name: 'a', targets: [{ output: 'a', package: '.' }] }
    const node = { suite: 'bookworm', packages: ['runc'], uuid: '6d757374-6572-4e6f-8465-000000000001' }
    expect(parseRecipe(JSON.stringify({ components: [component], node })).versions).toEqual({})
    for (const bad of [
      { components: [component], node, extra: 1 },
      { components: [{ ...component, targets: [{ output: '../a', package: '.' }] }], node },
      { components: [component], node: { ...node, packages: ['--evil'] } },
    ]) {
      expect(() => parseRecipe(JSON.stringify(bad))).toThrow(BuildError)
    }
    expect(() => parseRecipe('{')).toThrow(BuildError)
  })

  it('takes versions from go.mod, from blocks and from single lines, never from a replacement or an exclusion', () => {
    const goMod = `module m

exclude (
	example.test/a v0.9.0
)
replace example.test/a => example.test/a v9.0.0

require example.test/a v1.2.3 // why
require (
	example.test/b v4.5.6 // indirect
)
`
    expect(requiredVersion(goMod, 'example.test/a')).toBe('v1.2.3')
    expect(requiredVersion(goMod, 'example.test/b')).toBe('v4.5.6')
    expect(() => requiredVersion(goMod, 'example.test/c')).toThrow(BuildError)
  })

  it('puts the version into the linker flags', () => {
    const component = { name: 'a', tags: [], targets: [], ldflags: ['-X a.full={version}', '-X a.short={major}.{minor}'] }
    expect(linkerFlags(component, 'v1.37.2')).toBe('-s -w -X a.full=v1.37.2 -X a.short=1.37')
  })
})
