import type { KubeObjectLike } from '@muster/bundle'
import { Document, isCollection, isNode, isScalar } from 'yaml'
import type { CustomizedObject } from './customize.ts'
import { isRecord } from './node.ts'
import { originText } from './origins.ts'

/** Stands for what nobody is to see. */
const hidden = '<hidden>'

/** The object as people may see it: without what is in Secrets, and without secret values wherever they went. */
export function withoutSecrets({ object, origins }: CustomizedObject): KubeObjectLike {
  const isSecret = object.kind === 'Secret' && object.apiVersion === 'v1'
  const secretKeys = origins.filter(({ secret }) => secret).map(({ keys }) => keys)
  if (!isSecret && secretKeys.length === 0) return object
  const copy = structuredClone(object)
  if (isSecret) {
    for (const field of ['data', 'stringData']) {
      const values = copy[field]
      if (isRecord(values)) copy[field] = Object.fromEntries(Object.keys(values).map((key) => [key, hidden]))
    }
  }
  for (const keys of secretKeys) {
    const holder = keys
      .slice(0, -1)
      .reduce<unknown>((value, key) => (isRecord(value) || Array.isArray(value) ? Reflect.get(value, key) : undefined), copy)
    if (isRecord(holder) || Array.isArray(holder)) Reflect.set(holder, keys.at(-1) ?? '', hidden)
  }
  return copy
}

/** Objects as YAML, secrets left out; beside each field that is not the bundle's a comment that says what made it. */
export function renderYaml(objects: readonly CustomizedObject[]): string {
  return objects.map((one) => `---\n${yamlOf(one)}`).join('')
}

function yamlOf(one: CustomizedObject): string {
  // YAML 1.1 is what Kubernetes reads: "yes" and 0644 as text need quotes.
  const document = new Document(withoutSecrets(one), { version: '1.1', schema: 'yaml-1.1', aliasDuplicateObjects: false })
  for (const { keys, origin } of one.origins) {
    const node: unknown = document.getIn(keys, true)
    if (isScalar(node) || (isCollection(node) && isNode(node))) node.comment = ` ${originText(origin)}`
  }
  return document.toString({ lineWidth: 0 })
}
