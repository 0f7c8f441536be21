import { readFile, stat } from 'node:fs/promises'
import { posix } from 'node:path'
import { isMap, isNode, isScalar, LineCounter, type Node, parseDocument } from 'yaml'
import * as z from 'zod'
import { ImageError, type SourceLocation } from './errors.ts'

/** A recipe longer than this is not one. Bytes. */
const recipeLimit = 1 << 20

const inImage = z
  .string()
  .refine(
    (path) => path.startsWith('/') && !path.includes('\0') && !path.split('/').includes('..'),
    'must be an absolute path in the image, without ".."',
  )
const inSource = z
  .string()
  .min(1)
  .refine(
    (path) => !posix.isAbsolute(path) && !path.includes('\0') && !posix.normalize(path).startsWith('..'),
    'must be a path inside the source folder, without ".."',
  )
const text = z.union([z.string(), z.number(), z.boolean()]).transform(String)
const environment = z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of a variable'), text)
const files = z.array(z.strictObject({ from: inSource, to: inImage }))

const goPackage = z
  .string()
  .regex(/^\.(\/(?!\.\.(\/|$))[^\0/-][^\0/]*)*\/?$/, 'must be the path of a package in the module, such as ./cmd/app')

const goSchema = z
  .strictObject({
    module: z
      .string()
      .regex(/^[A-Za-z0-9.\-_~/]+@v[A-Za-z0-9.\-+]+$/, 'must be path@version, with an exact version such as v1.2.3')
      .optional(),
    dir: z.string().min(1).optional(),
    packages: z
      .array(
        z.union([
          goPackage.transform((path): { path: string; to?: string | undefined } => ({ path })),
          z.strictObject({ path: goPackage, to: inImage.optional() }),
        ]),
      )
      .min(1),
    ldflags: z.string().optional(),
    tags: z.array(z.string().regex(/^[\w.]+$/, 'must be a build tag')).optional(),
    env: z
      .record(
        z.string().regex(/^(GO|CGO_)[A-Z0-9_]*$/, 'must be a GO… or CGO_… variable: the rest of the build environment is fixed'),
        text,
      )
      .optional(),
    files: files.optional(),
  })
  .refine((go) => (go.module === undefined) !== (go.dir === undefined), 'needs exactly one of module (path@version) and dir')

const nodeSchema = z
  .strictObject({
    entry: inSource.optional(),
    dir: z.string().min(1).optional(),
    main: inSource.optional(),
    flags: z.array(z.string().startsWith('--', 'must be an option of node')).optional(),
    exclude: z.array(z.string().min(1)).optional(),
    files: files.optional(),
  })
  .refine(
    (node) => (node.entry === undefined) !== (node.dir === undefined),
    'needs exactly one of entry (bundled into one file) and dir (npm ci and a copy)',
  )
  .refine(
    (node) => node.entry === undefined || (node.main === undefined && node.exclude === undefined),
    'main and exclude go with dir, not with entry',
  )

const binarySchema = z.strictObject({ path: z.string().min(1), to: inImage, files: files.optional() })

const packageName = '[a-z0-9][a-z0-9+.-]+'

const debianSchema = z.strictObject({
  suite: z.string().regex(/^[a-z][a-z0-9]*$/, 'must be the codename of a release of Debian, such as bookworm'),
  packages: z
    .array(z.string().regex(new RegExp(`^${packageName}(=[A-Za-z0-9.+:~-]+)?$`), 'must be the name of a Debian package, or name=version'))
    .min(1)
    .max(256),
  omit: z
    .array(z.string().regex(new RegExp(`^${packageName}$`), 'must be the name of a Debian package'))
    .max(256)
    .optional(),
  exclude: z.array(z.string().min(1).max(512)).max(256).optional(),
  files: files.optional(),
})

const recipeSchema = z
  .strictObject({
    name: z
      .string()
      .max(512)
      .regex(
        /^[A-Za-z0-9][A-Za-z0-9.-]*(:\d+)?(\/[a-z0-9]+([._-]+[a-z0-9]+)*)+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/,
        'must be host/path:tag, such as registry.example/app:1.0',
      )
      .optional(),
    go: goSchema.optional(),
    node: nodeSchema.optional(),
    binary: binarySchema.optional(),
    debian: debianSchema.optional(),
    entrypoint: z.array(z.string()).min(1).optional(),
    args: z.array(z.string()).optional(),
    env: environment.optional(),
    workdir: inImage.optional(),
    user: z
      .union([
        z.number().int().min(0).max(4294967294),
        z.string().regex(/^\d+(:\d+)?$/, 'must be numeric: 65532 or 65532:65532, so that Kubernetes can tell that it is not root'),
      ])
      .transform(String)
      .optional(),
    ports: z
      .array(
        z.union([
          z
            .number()
            .int()
            .min(1)
            .max(65535)
            .transform((port) => `${port}/tcp`),
          z.string().regex(/^\d{1,5}\/(tcp|udp|sctp)$/, 'must be a port, or port/udp'),
        ]),
      )
      .optional(),
    labels: z.record(z.string().min(1), text).optional(),
  })
  .refine(
    (recipe) => [recipe.go, recipe.node, recipe.binary, recipe.debian].filter((kind) => kind !== undefined).length === 1,
    'needs exactly one of go, node, binary and debian',
  )
  .refine(
    (recipe) => recipe.debian === undefined || recipe.entrypoint !== undefined,
    'needs an entrypoint: which of the programs in the packages is started',
  )

/** How an image is made from source: what `image.yaml` says, checked. */
export type ImageRecipe = z.output<typeof recipeSchema>
/** As a person writes it: a recipe in code may be given in this form to `recipeFrom`. */
export type ImageRecipeInput = z.input<typeof recipeSchema>
export type GoRecipe = NonNullable<ImageRecipe['go']>
export type NodeRecipe = NonNullable<ImageRecipe['node']>
export type BinaryRecipe = NonNullable<ImageRecipe['binary']>
export type DebianRecipe = NonNullable<ImageRecipe['debian']>

/**
 * Reads a recipe from disk.
 * @throws ImageError `RecipeNotFound`, `RecipeInvalid` (with `location`)
 */
export async function loadRecipe(file: string): Promise<ImageRecipe> {
  let text: string
  try {
    if ((await stat(file)).size > recipeLimit)
      throw new ImageError('RecipeInvalid', `${file} is longer than a recipe can be (${recipeLimit} bytes). Is it the right file?`)
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof ImageError) throw error
    throw new ImageError('RecipeNotFound', `Cannot read the recipe ${file}: ${(error as Error).message}. Give the path of an image.yaml.`, {
      cause: error,
    })
  }
  return parseRecipe(text, file)
}

/**
 * Checks the text of a recipe. `file` is only named in errors.
 * @throws ImageError `RecipeInvalid` with the place of the first mistake
 */
export function parseRecipe(text: string, file = 'image.yaml'): ImageRecipe {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const place = (offset: number): SourceLocation => {
    const { line, col } = lines.linePos(offset)
    return { file, line, column: col }
  }
  const [mistake] = document.errors
  if (mistake !== undefined) throw invalid(place(mistake.pos[0]), `this is not YAML: ${mistake.message}`, mistake)

  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 100 })
  } catch (error) {
    throw invalid(place(0), (error as Error).message, error)
  }
  const result = recipeSchema.safeParse(value)
  if (result.success) return result.data
  const issue = deepest(result.error.issues)
  const at = (issue === undefined ? undefined : offsetOf(document.contents, issue)) ?? document.contents?.range?.[0] ?? 0
  throw invalid(place(at), issue === undefined ? result.error.message : sentence(issue), result.error)
}

/**
 * Checks a recipe made in code.
 * @throws ImageError `RecipeInvalid`
 */
export function recipeFrom(input: ImageRecipeInput): ImageRecipe {
  const result = recipeSchema.safeParse(input)
  if (result.success) return result.data
  const issue = deepest(result.error.issues)
  throw new ImageError('RecipeInvalid', `The recipe cannot be built: ${issue === undefined ? result.error.message : sentence(issue)}.`, {
    cause: result.error,
  })
}

type Issue = z.core.$ZodIssue

/** Of the forms that a union offers, the mistake in the one that was meant is the one that lies deepest. */
function deepest(issues: readonly Issue[]): Issue | undefined {
  const [first] = issues
  if (first?.code !== 'invalid_union') return first
  const inner = first.errors
    .map((form) => deepest(form))
    .filter((issue) => issue !== undefined)
    .map((issue) => ({ ...issue, path: [...first.path, ...issue.path] }) as Issue)
  inner.sort((a, b) => b.path.length - a.path.length || Number(b.code !== 'invalid_type') - Number(a.code !== 'invalid_type'))
  return inner[0] ?? first
}

function sentence(issue: Issue): string {
  const path = issue.path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .slice(1)
  const where = path === '' ? 'the recipe' : path
  if (issue.code === 'unrecognized_keys') return `${where} has no field ${issue.keys.map((key) => JSON.stringify(key)).join(', ')}`
  const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message
  return `${where}: ${message}`
}

/** Where the thing that an issue is about stands in the text: the unknown key itself, else the value, else what encloses it. */
function offsetOf(contents: unknown, issue: Issue): number | undefined {
  let node: unknown = contents
  let found = isNode(node) ? node.range?.[0] : undefined
  for (const part of issue.path) {
    node = isMap(node) ? node.items.find((pair) => isScalar(pair.key) && pair.key.value === part)?.value : childAt(node, part)
    if (!isNode(node)) return found
    found = node.range?.[0] ?? found
  }
  if (issue.code === 'unrecognized_keys' && isMap(node)) {
    const key = node.items.find((pair) => isScalar(pair.key) && pair.key.value === issue.keys[0])?.key
    if (isNode(key)) return key.range?.[0] ?? found
  }
  return found
}

function childAt(node: unknown, part: PropertyKey): unknown {
  const items = (node as { items?: readonly Node[] } | undefined)?.items
  return typeof part === 'number' ? items?.[part] : undefined
}

function invalid(location: SourceLocation, what: string, cause: unknown): ImageError {
  const text = what.replace(/\.$/, '')
  return new ImageError('RecipeInvalid', `${location.file}:${location.line}:${location.column}: ${text}.`, { location, cause })
}
