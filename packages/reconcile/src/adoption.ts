import type { KubeObject } from '@muster/kube'
import { groupKind } from './identity.ts'

/** Objects that are there already and that a release may take over. What is given must hold; a kind with or without its group. */
export interface AdoptionRule {
  readonly kind?: string | undefined
  readonly namespace?: string | undefined
  readonly name?: string | undefined
}

/** What Kubernetes puts into every namespace, and makes again when it is deleted: nobody's, so a bundle may set fields of it. */
const furniture: ReadonlySet<string> = new Set(['ServiceAccount default'])

/** Whether an object that somebody else made may be taken over. */
export function mayAdopt(object: KubeObject, rules: readonly AdoptionRule[]): boolean {
  const { name, namespace } = object.metadata
  return furniture.has(`${groupKind(object)} ${name}`) || rules.some((rule) => matches(rule, object, name, namespace))
}

function matches(rule: AdoptionRule, object: KubeObject, name: string, namespace: string | undefined): boolean {
  const byKind = rule.kind === undefined || rule.kind === object.kind || rule.kind === groupKind(object)
  const byPlace = rule.namespace === undefined || rule.namespace === namespace
  return byKind && byPlace && (rule.name === undefined || rule.name === name)
}
