import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { BuildError } from './build-error.ts'

const fileName = z.string().regex(/^[a-z0-9][a-z0-9._-]*$/)

const targetSchema = z.strictObject({
  /** File that the build makes. */
  output: fileName,
  /** Import path of the main package, "." for the component's own. */
  package: z.string().min(1),
  tags: z.array(z.string()).default([]),
  /** Names that the file answers to (a multi-call binary). */
  links: z.array(fileName).default([]),
})

const componentSchema = z.strictObject({
  /** Also the name of its folder in distro/. */
  name: fileName,
  /** The upstream module whose version in go.mod is the component's version. Without it the component is our own. */
  module: z.string().optional(),
  tags: z.array(z.string()).default([]),
  /** Linker flags; {version}, {major} and {minor} stand for the pinned version's. */
  ldflags: z.array(z.string()).default([]),
  targets: z.array(targetSchema).min(1),
})

const nodeSchema = z.strictObject({
  /** Debian suite. */
  suite: fileName,
  packages: z.array(z.string().regex(/^[a-z0-9][a-z0-9+.-]*$/)),
  /** Of the erofs file system: fixed, so that two builds give the same bytes. */
  uuid: z.uuid(),
})

const recipeSchema = z.strictObject({
  components: z.array(componentSchema).min(1),
  /** Versions to show that are not a component's own. */
  versions: z.record(fileName, z.strictObject({ component: fileName, module: z.string() })).default({}),
  node: nodeSchema,
})

export type Recipe = z.infer<typeof recipeSchema>
export type Component = z.infer<typeof componentSchema>
export type Target = z.infer<typeof targetSchema>
export type NodeRecipe = z.infer<typeof nodeSchema>

/** The version that a component of our own (without an upstream module) is shown with. */
const ownVersion = 'own'

/** @throws BuildError RecipeInvalid */
export function parseRecipe(text: string): Recipe {
  let data: unknown
  try {
    data = JSON.parse(text)
  } catch (cause) {
    throw new BuildError('RecipeInvalid', 'distro/recipe.json is not JSON: restore it from the repository.', { cause })
  }
  const parsed = recipeSchema.safeParse(data)
  if (!parsed.success) throw new BuildError('RecipeInvalid', `distro/recipe.json is not a valid recipe:\n${z.prettifyError(parsed.error)}`)
  return parsed.data
}

export async function loadRecipe(distroDir: string): Promise<Recipe> {
  return parseRecipe(await readFile(join(distroDir, 'recipe.json'), 'utf8'))
}

/**
 * The version that a go.mod requires of a module.
 *
 * @throws BuildError RecipeInvalid when it does not require it
 * @see https://go.dev/ref/mod#go-mod-file-require
 */
export function requiredVersion(goMod: string, module: string): string {
  let block = ''
  for (const raw of goMod.split('\n')) {
    const line = raw.replace(/\/\/.*$/, '').trim()
    if (line === ')') block = ''
    else if (/^[a-z]+ \($/.test(line)) block = line.slice(0, -2)
    else {
      const words = line.split(/\s+/)
      const [path, version] = block === 'require' ? words : block === '' && words[0] === 'require' ? words.slice(1) : []
      if (path === module && version !== undefined) return version
    }
  }
  throw new BuildError(
    'RecipeInvalid',
    `A go.mod in distro/ does not require ${module}, which distro/recipe.json names: correct one of them.`,
  )
}

/** A component's version, as `v1.2.3`. */
export function componentVersion(component: Component, goMod: string): string {
  return component.module === undefined ? ownVersion : requiredVersion(goMod, component.module)
}

/** Linker flags as one argument: debug tables and symbols left out, versions put in. */
export function linkerFlags(component: Component, version: string): string {
  const [major = '', minor = ''] = version.replace(/^v/, '').split('.')
  const values: Record<string, string> = { version, major, minor }
  const filled = component.ldflags.map((flag) => flag.replace(/\{(version|major|minor)\}/g, (_, name: string) => values[name] ?? ''))
  return ['-s', '-w', ...filled].join(' ')
}
