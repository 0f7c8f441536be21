import type { OverlaySpec } from '@muster/api'
import type { KubeObjectLike } from '@muster/bundle'
import fc from 'fast-check'

/** Objects, and an overlay over them. */
export interface OverlayCase {
  readonly objects: readonly KubeObjectLike[]
  readonly overlay: OverlaySpec
}

const word = fc.constantFrom('a', 'b', 'c', 'd')
const value = fc.oneof(word, fc.integer({ min: 0, max: 9 }), fc.boolean())
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })

/** Without the keys that came out as nothing. */
function filled(shape: Readonly<Record<string, fc.Arbitrary<unknown>>>): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(shape).map((record) => Object.fromEntries(Object.entries(record).filter(([, item]) => item !== undefined)))
}

const texts = fc.dictionary(word, word, { maxKeys: 3 })
const byName = <T extends { name?: unknown }>(items: fc.Arbitrary<T>) =>
  fc.uniqueArray(items, { selector: (item) => item.name, maxLength: 3 })
const env = byName(filled({ name: word, value: maybe(word) }))
const ports = fc.uniqueArray(fc.record({ containerPort: fc.integer({ min: 1, max: 4 }), protocol: fc.constantFrom('TCP', 'UDP') }), {
  selector: (port) => `${port.containerPort} ${port.protocol}`,
  maxLength: 3,
})
const image = fc.tuple(word, fc.constantFrom('', ':1', ':2', '@sha256:00')).map((parts) => parts.join(''))
const container = filled({
  name: word,
  image: maybe(image),
  args: maybe(fc.array(word, { maxLength: 2 })),
  env: maybe(env),
  ports: maybe(ports),
})
const podSpec = filled({
  containers: byName(container),
  initContainers: maybe(byName(container)),
  serviceAccountName: maybe(word),
  tolerations: maybe(fc.array(filled({ key: word, operator: maybe(word) }), { maxLength: 2 })),
  nodeSelector: maybe(texts),
})
const labels = fc.dictionary(word, word, { minKeys: 1, maxKeys: 3 })

const deployment = fc.record({ labels, replicas: maybe(fc.integer({ min: 0, max: 5 })), spec: podSpec, annotated: maybe(texts) }).map(
  ({ labels: own, replicas, spec, annotated }): KubeObjectLike => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: 'web',
      labels: own,
      ...(annotated === undefined || Object.keys(annotated).length === 0 ? {} : { annotations: annotated }),
    },
    spec: {
      ...(replicas === undefined ? {} : { replicas }),
      selector: { matchLabels: own },
      template: { metadata: { labels: own }, spec },
    },
  }),
)
const thing = fc
  .record({ map: fc.dictionary(word, fc.oneof(value, texts), { maxKeys: 3 }), list: fc.array(value, { maxLength: 3 }) })
  .map((spec): KubeObjectLike => ({ apiVersion: 'example.test/v1', kind: 'Thing', metadata: { name: 'thing' }, spec }))

/** Patches of the same shapes as the objects, with directives here and there. */
// Not `replace` in an item of a list: Kustomize leaves the item as it was, which is a fault.
const directive = fc.constantFrom('delete', 'merge')
const directed = (items: fc.Arbitrary<Record<string, unknown>>) =>
  fc
    .tuple(items, fc.option(directive, { freq: 4, nil: undefined }))
    .map(([item, $patch]) => ($patch === undefined ? item : { ...item, $patch }))
const patchedContainer = directed(
  filled({
    name: word,
    image: maybe(fc.option(image, { freq: 4 })),
    args: maybe(fc.option(fc.array(word, { maxLength: 2 }))),
    env: maybe(byName(directed(filled({ name: word, value: maybe(word) })))),
    ports: maybe(ports),
  }),
)
const patchedSpec = filled({
  containers: maybe(byName(patchedContainer)),
  initContainers: maybe(byName(patchedContainer)),
  serviceAccountName: maybe(fc.option(word)),
  tolerations: maybe(fc.array(filled({ key: word }), { maxLength: 2 })),
  nodeSelector: maybe(fc.dictionary(word, fc.option(word), { maxKeys: 3 })),
})
const deploymentPatch = filled({
  replicas: maybe(fc.option(fc.integer({ min: 0, max: 5 }))),
  template: maybe(
    filled({ metadata: maybe(filled({ labels: fc.dictionary(word, fc.option(word), { maxKeys: 2 }) })), spec: maybe(patchedSpec) }),
  ),
}).map((spec) => ({ patch: JSON.stringify({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' }, spec }) }))
const thingPatch = fc
  .record({ map: fc.dictionary(word, fc.option(texts), { maxKeys: 2 }), list: fc.option(fc.array(value, { maxLength: 2 })) })
  .map((spec) => ({ spec }))

/** A patch of a thing that fits: a map is not put where a plain value is. */
function fitting(object: KubeObjectLike, patch: { spec: { map: Record<string, unknown>; list: unknown } }): string {
  const present = (object['spec'] as { map: Record<string, unknown> }).map
  const map = Object.fromEntries(
    Object.entries(patch.spec.map).filter(([key, item]) => item === null || !(key in present) || typeof present[key] === 'object'),
  )
  return JSON.stringify({ apiVersion: 'example.test/v1', kind: 'Thing', metadata: { name: 'thing' }, spec: { ...patch.spec, map } })
}

/** No label twice: Kustomize lets fields that it made share their value, and so the second entry changes what the first one wrote. */
const labelEntries = fc
  .array(filled({ pairs: labels, includeSelectors: maybe(fc.boolean()), includeTemplates: maybe(fc.boolean()) }), { maxLength: 2 })
  .map((entries) =>
    entries.map((entry, at) => ({
      ...entry,
      pairs: Object.fromEntries(Object.entries(entry['pairs'] as object).map(([key, text]) => [`${key}${at}`, text])),
    })),
  )

export const arbitraryCase: fc.Arbitrary<OverlayCase> = fc
  .record({
    web: deployment,
    thing,
    patches: fc.array(deploymentPatch, { maxLength: 2 }),
    thingPatch: maybe(thingPatch),
    namespace: maybe(fc.constantFrom('shop', 'other')),
    labels: maybe(labelEntries),
    annotations: maybe(labels),
    replicas: maybe(fc.constant([{ name: 'web', count: 3 }])),
  })
  .map(({ web, thing: one, patches, thingPatch: patch, ...transformers }) => {
    const given = Object.fromEntries(Object.entries(transformers).filter(([, item]) => item !== undefined))
    const all = [...patches, ...(patch === undefined ? [] : [{ patch: fitting(one, patch) }])]
    return { objects: [web, one], overlay: { ...given, ...(all.length === 0 ? {} : { patches: all }) } as OverlaySpec }
  })
