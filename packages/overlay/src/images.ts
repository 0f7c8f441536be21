import type { OverlaySpec } from '@muster/api'
import { type ImageFieldText, imageRule, rulesFor } from '@muster/bundle'
import { OverlayError } from './errors.ts'
import { fieldSpec, type Leaf, writeAt } from './field-specs.ts'
import { type Item, withTree } from './item.ts'
import { type From, isNull, type MapNode, type Node, withField, withItems } from './node.ts'
import { naming } from './patches.ts'
import type { Surroundings } from './subject.ts'

type ImageSpec = NonNullable<OverlaySpec['images']>[number]

/** Beside what is in a field called containers or initContainers, wherever that is. */
const fields = ['spec', 'spec/template/spec'].flatMap((spec) =>
  ['containers[]/image', 'initContainers[]/image', 'volumes[]/image/reference'].map((field) => fieldSpec(`${spec}/${field}`).path),
)

/**
 * Changes images by name, as Kustomize does, and beyond that where rules say that custom resources name images: those that are known, and
 * the bundle's own.
 * @throws OverlayError `MatchesNothing`
 */
export function applyImage(
  items: readonly Item[],
  spec: ImageSpec,
  rules: readonly ImageFieldText[],
  from: From,
  surroundings: Surroundings,
): Item[] {
  const own = rules.map(imageRule)
  let matched = false
  const leaf: Leaf = (present) => {
    if (present?.type !== 'scalar' || typeof present.value !== 'string' || !names(present.value, spec.name)) return present
    matched = true
    return { type: 'scalar', from, value: changed(present.value, spec) }
  }
  const result = items.map((item) => {
    if (item.subject.kind === 'CustomResourceDefinition') return item
    const tree = naming(item, () => {
      const ways = [...fields, ...rulesFor(item.subject.group, item.subject.kind, own).map(({ path }) => fieldPath(path))]
      const inContainers = containersIn(item.tree, leaf) as MapNode
      return ways.reduce<MapNode>((node, path) => withLeaf(node, path, from, leaf), inContainers)
    })
    return withTree(item, tree, surroundings)
  })
  if (!matched) throw new OverlayError('MatchesNothing', `No object of the bundle names the image ${spec.name}.`)
  return result
}

/** What has another shape than a rule thinks holds no image there. */
function withLeaf(node: MapNode, path: readonly string[], from: From, leaf: Leaf): MapNode {
  try {
    // An image that was changed already has another name now, or is set to the same again.
    return writeAt(node, path, false, from, leaf) as MapNode
  } catch (error) {
    if (error instanceof OverlayError) return node
    throw error
  }
}

/** The path of a rule as a field spec has it: lists are walked by themselves. */
function fieldPath(path: readonly string[]): string[] {
  return path.filter((key) => key !== '*')
}

function containersIn(node: Node, leaf: Leaf): Node {
  if (node.type === 'scalar') return node
  if (node.type === 'list')
    return withItems(
      node,
      node.items.map((item) => containersIn(item, leaf)),
    )
  let map = node
  for (const [key, item] of node.fields) {
    const inside = containersIn(item, leaf)
    const list = key === 'containers' || key === 'initContainers' ? withImagesOf(inside, leaf) : inside
    map = withField(map, key, list)
  }
  return map
}

function withImagesOf(list: Node, leaf: Leaf): Node {
  if (list.type !== 'list') return list
  return withItems(
    list,
    list.items.map((item) => {
      const image = item.type === 'map' ? item.fields.get('image') : undefined
      return item.type !== 'map' || image === undefined || isNull(image) ? item : withField(item, 'image', leaf(image))
    }),
  )
}

const rest = /^(?::[a-zA-Z0-9_.{}-]*)?(?:@sha256:[a-zA-Z0-9_.{}-]*)?$/

function names(image: string, name: string): boolean {
  return image.startsWith(name) && rest.test(image.slice(name.length))
}

/** A new tag or digest replaces both what was there; with a new name alone they stay. */
function changed(image: string, { name, newName = name, newTag, digest }: ImageSpec): string {
  const kept = image.slice(name.length)
  if (newTag === undefined && digest === undefined) return newName + kept
  return `${newName}${newTag === undefined ? '' : `:${newTag}`}${digest === undefined ? '' : `@${digest}`}`
}
