import type { OverlayTarget } from '@muster/api'
import { compilePattern } from '@muster/trust'
import { OverlayError } from './errors.ts'
import { isClusterScoped } from './kind-table.ts'
import { labelSelector } from './labels.ts'
import { type MapNode, type Node, nodeAt, textAt } from './node.ts'

/** What an object is selected by. */
export interface Subject {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly name: string
  readonly namespace: string | undefined
  readonly clusterScoped: boolean
}

/** What is known beside the object itself. */
export interface Surroundings {
  /** Where objects go that name no namespace. */
  readonly namespace: string
  /** Kinds that the bundle's own definitions make cluster-scoped: `Database.example.test`. */
  readonly clusterScoped: ReadonlySet<string>
}

export function subjectOf(object: MapNode, { clusterScoped }: Surroundings): Subject {
  const [group, version] = groupVersion(textAt(object, 'apiVersion') ?? '')
  const kind = textAt(object, 'kind') ?? ''
  return {
    group,
    version,
    kind,
    name: textAt(object, 'metadata', 'name') ?? '',
    namespace: textAt(object, 'metadata', 'namespace') || undefined,
    clusterScoped: isClusterScoped(group, kind, clusterScoped),
  }
}

export function groupVersion(apiVersion: string): [group: string, version: string] {
  const slash = apiVersion.indexOf('/')
  return slash < 0 ? ['', apiVersion] : [apiVersion.slice(0, slash), apiVersion.slice(slash + 1)]
}

/** `Deployment shop/web` */
export function describeSubject({ kind, namespace, name }: Pick<Subject, 'kind' | 'namespace' | 'name'>): string {
  return `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`
}

/** The namespace that an object is in, in the end; nothing for what belongs to none. */
export function effectiveNamespace({ namespace, clusterScoped }: Subject, surroundings: Surroundings): string | undefined {
  return clusterScoped ? undefined : (namespace ?? surroundings.namespace)
}

/** Whether two would be one to an API server. */
export function identity(subject: Subject, surroundings: Surroundings): string {
  return [subject.group, subject.kind, effectiveNamespace(subject, surroundings) ?? '', subject.name].join('\u0000')
}

export type Select = (object: MapNode, subject: Subject) => boolean

/** What a target selects: regular expressions over the whole text, and label selectors. @throws OverlayError `Malformed` */
export function selectBy(target: OverlayTarget, surroundings: Surroundings): Select {
  const group = pattern(target.group)
  const version = pattern(target.version)
  const kind = pattern(target.kind)
  const name = pattern(target.name)
  const namespace = pattern(target.namespace)
  const labels = target.labelSelector === undefined ? undefined : labelSelector(target.labelSelector)
  const annotations = target.annotationSelector === undefined ? undefined : labelSelector(target.annotationSelector)
  return (object, subject) =>
    group(subject.group) &&
    version(subject.version) &&
    kind(subject.kind) &&
    name(subject.name) &&
    namespace(effectiveNamespace(subject, surroundings) ?? noNamespace) &&
    (labels === undefined || labels(textsOf(nodeAt(object, 'metadata', 'labels')))) &&
    (annotations === undefined || annotations(textsOf(nodeAt(object, 'metadata', 'annotations'))))
}

/** As Kustomize calls it in such a target. */
const noNamespace = '_non_namespaceable_'

function pattern(text: string | undefined): (value: string) => boolean {
  if (text === undefined) return () => true
  // Most are plain words.
  if (/^[A-Za-z0-9-]+$/.test(text)) return (value) => value === text
  try {
    const compiled = compilePattern(text)
    return (value) => compiled.matches(value)
  } catch (cause) {
    throw new OverlayError('Malformed', cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

function textsOf(node: Node | undefined): ReadonlyMap<string, string> {
  if (node?.type !== 'map') return new Map()
  return new Map([...node.fields].flatMap(([key, item]) => (item.type === 'scalar' ? [[key, String(item.value)] as const] : [])))
}

/** A target as a sentence has it: `kind: Deployment, name: web`. */
export function targetText(target: OverlayTarget): string {
  return Object.entries(target)
    .map(([key, value]) => `${key}: ${value}`)
    .join(', ')
}
