import type { KubeObject } from '@muster/kube'
import * as fc from 'fast-check'

/** Which release of a world has an object, in which of its forms, and in which wave. */
export interface Wish {
  readonly holder: number
  readonly form: number
  readonly wave: number
}

/** What one channel wants of a world: a wish for each object that is wanted. */
export interface Step {
  readonly wishes: ReadonlyMap<string, Wish>
  /** Which of what is there a hand changes or deletes when all is done. */
  readonly hand: { readonly at: number; readonly deletes: boolean }
}

/** A few releases that share objects, through a sequence of channels. */
export interface World {
  /** What is lost may be lost; otherwise claims stay. */
  readonly consents: boolean
  readonly steps: readonly Step[]
}

/** Names that are a world's own. */
export interface Place {
  readonly name: string
  readonly namespaces: readonly [string, string]
  /** A namespace that its bundles bring. */
  readonly extra: string
  /** Of its custom resources. */
  readonly group: string
  readonly storageClass: string
}

export function placeOf(id: string, at: number): Place {
  const name = `graph-${id}-${at}`
  return {
    name,
    namespaces: [`${name}-x`, `${name}-y`],
    extra: `${name}-extra`,
    group: `${name}.example.test`,
    storageClass: `graph-${id}`,
  }
}

export function releasesOf({ name }: Place): string[] {
  return ['a', 'b', 'c'].map((release) => `${name}-${release}`)
}

type Make = (place: Place, form: number) => KubeObject

const inFirst = ({ namespaces }: Place) => namespaces[0]
const inSecond = ({ namespaces }: Place) => namespaces[1]
const data = (form: number) => ({ [`only-${form}`]: 'yes', form: String(form) })

const configMap =
  (name: string, namespace: (place: Place) => string): Make =>
  (place, form) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: namespace(place) }, data: data(form) })

const widget =
  (name: string): Make =>
  (place, form) => ({
    apiVersion: `${place.group}/v1`,
    kind: 'Widget',
    metadata: { name, namespace: inFirst(place) },
    spec: data(form),
  })

/** Every object that there can be in a world, by a name of its own. */
const objects: Readonly<Record<string, Make>> = {
  first: configMap('first', inFirst),
  second: configMap('second', inFirst),
  elsewhere: configMap('first', inSecond),
  secret: (place, form) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'secret', namespace: inFirst(place) },
    data: { form: Buffer.from(`form ${form}`).toString('base64') },
  }),
  service: (place, form) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: inSecond(place) },
    spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 8000 + form, targetPort: 8080 }] },
  }),
  deployment: (place, form) => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: inSecond(place) },
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web', form: String(form) } },
        spec: { containers: [{ name: 'web', image: 'registry.example.test/web:1' }] },
      },
    },
  }),
  role: (place, form) => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'reader', namespace: inFirst(place) },
    rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: form === 0 ? ['get'] : ['get', 'list'] }],
  }),
  binding: (place, form) => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'reader', namespace: inFirst(place) },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
    subjects: [{ kind: 'ServiceAccount', name: `reader-${form}`, namespace: inFirst(place) }],
  }),
  claim: (place) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'data', namespace: inSecond(place) },
    spec: { accessModes: ['ReadWriteOnce'], storageClassName: place.storageClass, resources: { requests: { storage: '1Mi' } } },
  }),
  namespace: (place, form) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: place.extra, labels: { form: String(form) } } }),
  inside: configMap('inside', ({ extra }) => extra),
  definition: (place) => ({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `widgets.${place.group}` },
    spec: {
      group: place.group,
      names: { kind: 'Widget', listKind: 'WidgetList', plural: 'widgets', singular: 'widget' },
      scope: 'Namespaced',
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: { spec: { type: 'object', additionalProperties: { type: 'string' } } },
            },
          },
        },
      ],
    },
  }),
  widget: widget('one'),
  'other widget': widget('two'),
}

/** What cannot be without what. */
const needs: Readonly<Record<string, string>> = { inside: 'namespace', widget: 'definition', 'other widget': 'definition' }
/** Most worlds do without: each costs the API server more than all else. */
const dear: ReadonlySet<string> = new Set(['definition', 'widget', 'other widget', 'namespace', 'inside'])

/** An object as a world's bundles have it. */
export function objectOf(name: string, place: Place, { form, wave }: Pick<Wish, 'form' | 'wave'>): KubeObject {
  const made = objects[name]?.(place, form)
  if (made === undefined) throw new Error(`there is no object ${name}`)
  if (wave === 0) return made
  return { ...made, metadata: { ...made.metadata, annotations: { 'muster.dev/wave': String(wave) } } }
}

const wish = fc.record({ holder: fc.nat(2), form: fc.nat(2), wave: fc.constantFrom(0, 0, 0, 1, -1) })

function step(cheap: boolean): fc.Arbitrary<Step> {
  const names = Object.keys(objects).filter((name) => !cheap || !dear.has(name))
  return fc
    .record({
      wishes: fc.tuple(...names.map(() => fc.option(wish, { freq: 2, nil: undefined }))),
      hand: fc.record({ at: fc.nat(100), deletes: fc.boolean() }),
    })
    .map(({ wishes, hand }) => {
      const chosen = new Map<string, Wish>()
      for (const [at, name] of names.entries()) {
        const one = wishes[at]
        if (one !== undefined) chosen.set(name, one)
      }
      for (const [name, needed] of Object.entries(needs)) if (!chosen.has(needed)) chosen.delete(name)
      return { wishes: chosen, hand }
    })
}

/** Worlds of so many channels each; one in four has namespaces and definitions of its own. */
export function worlds(channels: number): fc.Arbitrary<World> {
  return fc.constantFrom(true, true, true, false).chain((cheap) =>
    fc.record({
      consents: fc.boolean(),
      steps: fc.array(step(cheap), { minLength: channels, maxLength: channels }),
    }),
  )
}
