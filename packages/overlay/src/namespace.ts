import { OverlayError } from './errors.ts'
import { fieldSpec, type Leaf, writeAt } from './field-specs.ts'
import { type Item, withTree } from './item.ts'
import { type From, type MapNode, type Node, textAt, withField, withItems } from './node.ts'
import { describeSubject, effectiveNamespace, identity, type Subject, type Surroundings } from './subject.ts'

const namespaceOfObject = fieldSpec('metadata/namespace').path
const nameOfObject = fieldSpec('metadata/name').path
const serviceOfApi = fieldSpec('spec/service/namespace').path
const serviceOfConversion = fieldSpec('spec/conversion/webhook/clientConfig/service/namespace').path
const serviceOfWebhooks = fieldSpec('webhooks/clientConfig/service').path

/**
 * Puts all objects into a namespace, as Kustomize does: the objects, the Namespace object itself, and what refers to objects of the bundle
 * by namespace (subjects of role bindings, services of webhooks).
 * @throws OverlayError `DuplicateObject`
 */
export function applyNamespace(items: readonly Item[], namespace: string, from: From, surroundings: Surroundings): Item[] {
  const leaf: Leaf = () => ({ type: 'scalar', from, value: namespace })
  const moved = items.map((item) => withTree(item, moveObject(item, leaf, from), surroundings))
  const seen = new Set<string>()
  for (const { subject } of moved) {
    const key = identity(subject, surroundings)
    if (seen.has(key))
      throw new OverlayError('DuplicateObject', `In the namespace ${namespace} there would be two of ${describeSubject(subject)}.`)
    seen.add(key)
  }
  const accounts = referents(items, 'ServiceAccount', surroundings)
  const services = referents(items, 'Service', surroundings)
  return moved.map((item) => {
    const { group, kind } = item.subject
    if (group === 'rbac.authorization.k8s.io' && (kind === 'RoleBinding' || kind === 'ClusterRoleBinding'))
      return withTree(item, moveSubjects(item.tree, accounts, leaf), surroundings)
    if (group === 'admissionregistration.k8s.io' && /^(?:Validating|Mutating)WebhookConfiguration$/.test(kind)) {
      const refer: Leaf = (present) => present && moveReference(present, services, leaf)
      return withTree(item, writeAt(item.tree, serviceOfWebhooks, false, from, refer) as MapNode, surroundings)
    }
    return item
  })
}

function moveObject({ tree, subject }: Item, leaf: Leaf, from: From): MapNode {
  let moved = subject.clusterScoped ? tree : write(tree, namespaceOfObject, true, from, leaf)
  if (subject.kind === 'Namespace' && subject.group === '' && subject.version === 'v1') moved = write(moved, nameOfObject, true, from, leaf)
  if (subject.group === 'apiregistration.k8s.io' && subject.kind === 'APIService') moved = write(moved, serviceOfApi, true, from, leaf)
  if (subject.group === 'apiextensions.k8s.io' && subject.kind === 'CustomResourceDefinition')
    moved = write(moved, serviceOfConversion, false, from, leaf)
  return moved
}

function write(tree: MapNode, path: readonly string[], create: boolean, from: From, leaf: Leaf): MapNode {
  return writeAt(tree, path, create, from, leaf) as MapNode
}

/** Names of a kind's objects, each with the namespace that it was in before. */
type Referents = (name: string | undefined, namespace: string | undefined) => boolean

function referents(items: readonly Item[], kind: string, surroundings: Surroundings): Referents {
  const own = items.map(({ subject }) => subject).filter((subject: Subject) => subject.kind === kind && subject.group === '')
  return (name, namespace) =>
    own.some((subject) => subject.name === name && (namespace === undefined || namespace === effectiveNamespace(subject, surroundings)))
}

/** Accounts of the bundle are where the bundle is; `default` is that of the namespace, whatever it is said to be. */
function moveSubjects(binding: MapNode, accounts: Referents, leaf: Leaf): MapNode {
  const subjects = binding.fields.get('subjects')
  if (subjects?.type !== 'list') return binding
  const moved = subjects.items.map((subject) => {
    if (textAt(subject, 'name') === 'default') return withNamespace(subject, leaf)
    return textAt(subject, 'kind') === 'ServiceAccount' ? moveReference(subject, accounts, leaf) : subject
  })
  return withField(binding, 'subjects', withItems(subjects, moved))
}

function moveReference(reference: Node, own: Referents, leaf: Leaf): Node {
  return own(textAt(reference, 'name'), textAt(reference, 'namespace')) ? withNamespace(reference, leaf) : reference
}

function withNamespace(node: Node, leaf: Leaf): Node {
  return node.type === 'map' ? withField(node, 'namespace', leaf(undefined)) : node
}
