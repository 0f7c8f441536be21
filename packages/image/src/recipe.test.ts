import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ImageError } from './errors.ts'
import { loadRecipe, parseRecipe, recipeFrom } from './recipe.ts'

function mistake(text: string): ImageError {
  try {
    parseRecipe(text, 'app/image.yaml')
  } catch (error) {
    if (error instanceof ImageError) return error
    throw error
  }
  throw new Error('the recipe was taken')
}

describe('a recipe', () => {
  it('says what to build, with short forms spelled out', () => {
    const recipe = parseRecipe(`
name: registry.example:5000/team/app:1.0
go:
  dir: .
  packages: [./cmd/app, { path: ./cmd/tool, to: /opt/tool }]
ports: [8080, 53/udp]
user: 1000
env: { DEBUG: 1, VERBOSE: true }
`)
    expect(recipe.go?.packages).toEqual([{ path: './cmd/app' }, { path: './cmd/tool', to: '/opt/tool' }])
    expect(recipe.ports).toEqual(['8080/tcp', '53/udp'])
    expect(recipe.user).toBe('1000')
    expect(recipe.env).toEqual({ DEBUG: '1', VERBOSE: 'true' })
  })

  it('may be given in code, and again after it was checked', () => {
    const once = recipeFrom({ go: { dir: '.', packages: ['.'] }, ports: [80] })
    expect(recipeFrom(once)).toEqual(once)
  })

  it.each([
    ['a field that is not known', 'go:\n  dir: .\n  packages: [.]\n  pakages: [.]\n', 4, 3, /go has no field "pakages"/],
    ['a field that is not known, at the top', 'nmae: x\nbinary: { path: a, to: /a }\n', 1, 1, /has no field "nmae"/],
    ['a value of the wrong kind', 'binary:\n  path: [a]\n  to: /a\n', 2, 9, /binary\.path: /],
    ['a target that is not absolute', 'binary:\n  path: a\n  to: bin/a\n', 3, 7, /binary\.to: must be an absolute path/],
    ['a target that climbs', 'binary:\n  path: a\n  to: /a/../../b\n', 3, 7, /without "\.\."/],
    [
      'a source that climbs',
      'go:\n  dir: .\n  packages: [.]\n  files:\n    - from: ../secret\n      to: /x\n',
      5,
      13,
      /go\.files\[0\]\.from: must be a path inside/,
    ],
    [
      'a package that would be an option',
      'go:\n  dir: .\n  packages:\n    - ./a\n    - -toolexec=x\n',
      5,
      7,
      /go\.packages\[1\]: must be the path of a package/,
    ],
    ['a module without a version', 'go:\n  module: example.test/app\n  packages: [.]\n', 2, 11, /go\.module: must be path@version/],
    ['a user by name', 'binary: { path: a, to: /a }\nuser: root\n', 2, 7, /user: must be numeric/],
    [
      'a build variable that is none',
      'go:\n  dir: .\n  packages: [.]\n  env:\n    PATH: /evil\n',
      5,
      11,
      /must be a GO… or CGO_… variable/,
    ],
    ['a name without a tag', 'name: registry.example/app\nbinary: { path: a, to: /a }\n', 1, 7, /name: must be host\/path:tag/],
    ['two kinds', 'binary: { path: a, to: /a }\nnode: { entry: a.ts }\n', 1, 1, /exactly one of go, node, binary and debian/],
    ['no kind', 'name: registry.example/app:1\n', 1, 1, /exactly one of go, node, binary and debian/],
    ['both ways of one kind', 'node:\n  entry: a.ts\n  dir: .\n', 2, 3, /node: needs exactly one of entry/],
    ['Debian packages and no program to start', 'debian: { suite: bookworm, packages: [dash] }\n', 1, 1, /needs an entrypoint/],
    [
      'a package that would be an option',
      'debian:\n  suite: bookworm\n  packages: [-o]\n',
      3,
      14,
      /debian\.packages\[0\]: must be the name/,
    ],
    ['text that is not YAML', 'go:\n  dir: [.\n', 3, 1, /this is not YAML/],
    ['a key twice', 'user: 1\nuser: 2\n', 2, 1, /this is not YAML: Map keys must be unique/],
    ['nothing at all', '', 1, 1, /the recipe: /],
  ])('with %s is refused at its place', (_, text, line, column, message) => {
    const error = mistake(text)
    expect(error.message).toMatch(message)
    expect(error).toMatchObject({ code: 'RecipeInvalid', transient: false, location: { file: 'app/image.yaml', line, column } })
    expect(error.message.startsWith(`app/image.yaml:${line}:${column}: `)).toBe(true)
  })

  it('of any text is taken or refused with a place, never anything else', () => {
    const word = fc.constantFrom(
      'go',
      'node',
      'binary',
      'packages',
      'files',
      'env',
      ': ',
      '- ',
      '\n',
      '  ',
      '{',
      '}',
      '[',
      ']',
      '&a ',
      '*a',
      '!!x ',
      '"',
      '7',
      ',',
      '\t',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(word, { maxLength: 20 }).map((words) => words.join('')),
        ),
        (text) => {
          expect(mistake(text).location?.line).toBeGreaterThan(0)
        },
      ),
      { numRuns: 500, seed: 7 },
    )
  })

  it('that unfolds without end is refused', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefgh'.split('').map((name, index) => `${name}: &${name} [${`*${'abcdefg'[index]},`.repeat(9)}]`),
    ].join('\n')
    expect(mistake(bomb).message).toMatch(/alias/i)
  })

  it('is read from a file, and its absence is said', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'muster-recipe-'))
    try {
      await writeFile(join(dir, 'image.yaml'), 'binary: { path: a, to: /a }\n')
      expect((await loadRecipe(join(dir, 'image.yaml'))).binary).toEqual({ path: 'a', to: '/a' })
      await expect(loadRecipe(join(dir, 'none.yaml'))).rejects.toMatchObject({ code: 'RecipeNotFound' })
      await writeFile(join(dir, 'long.yaml'), '#'.repeat((1 << 20) + 1))
      await expect(loadRecipe(join(dir, 'long.yaml'))).rejects.toMatchObject({ code: 'RecipeInvalid' })
    } finally {
      await rm(dir, { recursive: true })
    }
  })
})
