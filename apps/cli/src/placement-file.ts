import { type Placement, writtenPlacementSchema } from '@muster/api'
import type { WrittenPlacement } from '@muster/fleet'
import { type Document, isMap, isNode, isScalar, LineCounter, parseAllDocuments } from 'yaml'
import { UsageError } from './errors.ts'

/** A Placement of a file, of which the bundle is not looked up yet. */
export interface PlacementInFile {
  readonly metadata: WrittenPlacement['metadata']
  readonly bundle: Partial<Placement['spec']['bundle']>
  readonly spec: Omit<Placement['spec'], 'bundle'>
}

const maxDocuments = 1000
const maxIssues = 10

/** The Placements of a YAML or JSON file, in order. @throws UsageError with file, line and path of each mistake */
export function readPlacements(text: string, file: string): PlacementInFile[] {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false })
  if (!Array.isArray(documents)) throw new UsageError(`${file} holds no Placement.`)
  if (documents.length > maxDocuments) throw new UsageError(`${file} holds more than ${maxDocuments} documents. Split it.`)
  const found = documents.flatMap((document) => readOne(document, file, lines))
  if (found.length === 0) throw new UsageError(`${file} holds no Placement.`)
  const twice = found.find(({ metadata }, at) => found.findIndex((other) => other.metadata.name === metadata.name) !== at)
  if (twice !== undefined) throw new UsageError(`${file} holds two Placements named "${twice.metadata.name}".`)
  return found
}

function readOne(document: Document.Parsed, file: string, lines: LineCounter): PlacementInFile[] {
  const [error] = document.errors
  if (error !== undefined) throw new UsageError(`${file}:${lines.linePos(error.pos[0]).line}: this is no YAML: ${error.message}`)
  const value = plain(document, file)
  if (value === null) return []
  const { success, data, error: mistakes } = writtenPlacementSchema.safeParse(value)
  if (!success) {
    const told = mistakes.issues.flatMap(flatten).slice(0, maxIssues)
    throw new UsageError(
      told.map(({ path, message }) => `${file}:${lineOf(document, path, lines)}: ${pathText(path)}${message}`).join('\n'),
    )
  }
  const { bundle: said = {}, ...spec } = data.spec
  return [{ metadata: data.metadata as WrittenPlacement['metadata'], bundle: said as PlacementInFile['bundle'], spec }]
}

function plain(document: Document.Parsed, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 })
  } catch (cause) {
    throw new UsageError(`${file} cannot be read: its aliases stand for far more than is written.`, { cause })
  }
}

type Issue = NonNullable<ReturnType<typeof writtenPlacementSchema.safeParse>['error']>['issues'][number]

interface Mistake {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

/** One sentence per mistake: unknown fields each by their own path. */
function flatten(issue: Issue): Mistake[] {
  if (issue.code !== 'unrecognized_keys') return [{ path: issue.path, message: issue.message }]
  return issue.keys.map((key) => ({ path: [...issue.path, key], message: 'there is no such field' }))
}

function pathText(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('')
  return text === '' ? '' : `${text.replace(/^\./, '')}: `
}

/** The line on which what a path leads to is named, or the nearest thing around it that is there. */
function lineOf(document: Document.Parsed, path: readonly PropertyKey[], lines: LineCounter): number {
  for (let length = path.length; length >= 0; length--) {
    const node: unknown = length === 0 ? document.contents : namedAt(document, path.slice(0, length))
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line
  }
  return 1
}

function namedAt(document: Document.Parsed, path: readonly PropertyKey[]): unknown {
  const parent: unknown = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true)
  if (!isMap(parent)) return document.getIn(path, true)
  return parent.items.find(({ key }) => isScalar(key) && key.value === path.at(-1))?.key
}
