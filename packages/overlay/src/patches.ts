import type { OverlaySpec } from '@muster/api'
import { readDocuments } from '@muster/bundle'
import { OverlayError } from './errors.ts'
import { type Item, withTree } from './item.ts'
import { applyJsonPatch, readJsonPatch } from './json-patch.ts'
import { typeOfKind } from './kind-table.ts'
import { type From, isRecord, type MapNode, nodeAt, textAt, treeOf, withField } from './node.ts'
import { strategicMerge } from './strategic.ts'
import { describeSubject, effectiveNamespace, identity, type Surroundings, selectBy, subjectOf, targetText } from './subject.ts'

type PatchSpec = NonNullable<OverlaySpec['patches']>[number]

/** @throws OverlayError where a patch is none, matches nothing or does not fit */
export function applyPatch(items: readonly Item[], spec: PatchSpec, from: From, surroundings: Surroundings): Item[] {
  const documents = readDocuments(spec.patch, { file: 'the patch', code: 'ManifestInvalid' }).map(({ value }) => value)
  const [first, ...more] = documents
  if (first === undefined) throw new OverlayError('Malformed', 'The patch is empty.')
  if (!Array.isArray(first)) {
    if (!documents.every(isRecord)) throw new OverlayError('Malformed', 'The patch is neither an object nor a list of operations.')
    return applyMerges(items, documents, spec.target, from, surroundings)
  }
  if (more.length > 0) throw new OverlayError('Malformed', 'A JSON patch is one document.')
  if (spec.target === undefined) throw new OverlayError('Malformed', 'A JSON patch needs a target: kind and name of what it is for.')
  const operations = readJsonPatch(first)
  // A JSON patch may change even what an object is called, as in Kustomize; an object it must stay.
  return applyTo(items, spec.target, surroundings, (item) => isObject(applyJsonPatch(item.tree, operations, from)))
}

function applyMerges(
  items: readonly Item[],
  patches: readonly Record<string, unknown>[],
  target: PatchSpec['target'],
  from: From,
  surroundings: Surroundings,
): Item[] {
  const [only, ...more] = patches
  if (target !== undefined) {
    if (only === undefined || more.length > 0)
      throw new OverlayError('Malformed', 'With a target there is one patch, not several documents.')
    return applyTo(items, target, surroundings, (item) => mergeInto(item, only, from))
  }
  return patches.reduce<Item[]>((before, patch) => applyNamed(before, patch, from, surroundings), [...items])
}

function applyTo(
  items: readonly Item[],
  target: NonNullable<PatchSpec['target']>,
  surroundings: Surroundings,
  change: (item: Item) => MapNode | undefined,
): Item[] {
  const select = selectBy(target, surroundings)
  const matched = new Set(items.filter(({ tree, subject }) => select(tree, subject)))
  if (matched.size === 0) throw new OverlayError('MatchesNothing', `No object of the bundle matches the target (${targetText(target)}).`)
  return items.flatMap((item) => {
    if (!matched.has(item)) return [item]
    const tree = naming(item, () => change(item))
    return tree === undefined ? [] : [withTree(item, tree, surroundings)]
  })
}

/** A patch that says by itself which object it is for. */
function applyNamed(items: readonly Item[], patch: Record<string, unknown>, from: From, surroundings: Surroundings): Item[] {
  const named = subjectOf(treeOf(patch, from) as MapNode, surroundings)
  if (named.kind === '' || named.version === '' || named.name === '')
    throw new OverlayError('Malformed', 'A patch without a target says its apiVersion, kind and metadata.name.')
  const at = items.findIndex(
    ({ subject }) => subject.version === named.version && identity(subject, surroundings) === identity(named, surroundings),
  )
  const item = items[at]
  if (item === undefined) {
    const namespace = effectiveNamespace(named, surroundings)
    const what = describeSubject({ ...named, namespace })
    const version = `${named.group === '' ? '' : `${named.group}/`}${named.version}`
    throw new OverlayError('MatchesNothing', `The bundle has no ${what} of ${version}.`)
  }
  const tree = naming(item, () => mergeInto(item, patch, from))
  return tree === undefined ? items.toSpliced(at, 1) : items.with(at, withTree(item, tree, surroundings))
}

function mergeInto({ tree }: Item, patch: Record<string, unknown>, from: From): MapNode | undefined {
  const type = typeOfKind(textAt(tree, 'apiVersion') ?? '', textAt(tree, 'kind') ?? '')
  const merged = strategicMerge(tree, patch, from, type)
  return merged && keepIdentity(tree, merged)
}

/** A merge changes an object, it does not make it another one: kind, name and namespace stay. */
function keepIdentity(before: MapNode, after: MapNode): MapNode {
  const metadata = after.fields.get('metadata')
  let kept = withField(withField(after, 'apiVersion', before.fields.get('apiVersion')), 'kind', before.fields.get('kind'))
  if (metadata?.type === 'map') {
    const named = withField(metadata, 'name', nodeAt(before, 'metadata', 'name'))
    kept = withField(kept, 'metadata', withField(named, 'namespace', nodeAt(before, 'metadata', 'namespace')))
  } else kept = withField(kept, 'metadata', before.fields.get('metadata'))
  return kept
}

/** Runs a change of one object, whose name then begins what is said of it. */
export function naming<T>(item: Item, change: () => T): T {
  try {
    return change()
  } catch (error) {
    if (!(error instanceof OverlayError)) throw error
    throw new OverlayError(error.code, `${describeSubject(item.subject)}: ${error.message}`, { cause: error })
  }
}

function isObject(tree: MapNode): MapNode {
  const named = textAt(tree, 'apiVersion') && textAt(tree, 'kind') && textAt(tree, 'metadata', 'name')
  if (named) return tree
  throw new OverlayError('DoesNotFit', 'The patch leaves an object without apiVersion, kind or metadata.name.')
}
