import type { OverlaySpec } from '@muster/api'
import { OverlayError } from './errors.ts'
import { appliesTo, entriesWriter, type FieldSpec, fieldSpec, type Leaf, writeAt } from './field-specs.ts'
import { type Item, withTree } from './item.ts'
import { annotationFields, labelFields, selectorLabelFields, templateLabelFields } from './label-fields.ts'
import type { From, MapNode } from './node.ts'
import { naming } from './patches.ts'
import type { Surroundings } from './subject.ts'

/** Writes at each of some places in each object. */
export function writeFields(
  items: readonly Item[],
  specs: readonly FieldSpec[],
  from: From,
  leaf: Leaf,
  surroundings: Surroundings,
): Item[] {
  return items.map((item) => {
    const tree = naming(item, () =>
      specs
        .filter((spec) => appliesTo(spec, item.subject))
        .reduce<MapNode>((node, { path, create = false }) => writeAt(node, path, create, from, leaf) as MapNode, item.tree),
    )
    return withTree(item, tree, surroundings)
  })
}

type LabelsSpec = NonNullable<OverlaySpec['labels']>[number]

export function applyLabels(items: readonly Item[], { pairs, ...also }: LabelsSpec, from: From, surroundings: Surroundings): Item[] {
  const specs = also.includeSelectors ? selectorLabelFields : also.includeTemplates ? templateLabelFields : labelFields
  return writeFields(items, specs, from, entriesWriter(Object.entries(pairs), from, 'A field for labels'), surroundings)
}

export function applyAnnotations(
  items: readonly Item[],
  pairs: Readonly<Record<string, string>>,
  from: From,
  surroundings: Surroundings,
): Item[] {
  return writeFields(items, annotationFields, from, entriesWriter(Object.entries(pairs), from, 'A field for annotations'), surroundings)
}

const scalable = new Set(['Deployment', 'ReplicationController', 'ReplicaSet', 'StatefulSet'])
const replicasField = [fieldSpec('spec/replicas', { create: true })]

/** @throws OverlayError `MatchesNothing` */
export function applyReplicas(
  items: readonly Item[],
  { name, count }: NonNullable<OverlaySpec['replicas']>[number],
  from: From,
  surroundings: Surroundings,
): Item[] {
  const matched = new Set(items.filter(({ subject }) => subject.name === name && scalable.has(subject.kind)))
  if (matched.size === 0)
    throw new OverlayError('MatchesNothing', `The bundle has no Deployment, StatefulSet, ReplicaSet or ReplicationController ${name}.`)
  const leaf: Leaf = () => ({ type: 'scalar', from, value: count })
  return items.flatMap((item) => (matched.has(item) ? writeFields([item], replicasField, from, leaf, surroundings) : [item]))
}
