import type { Condition } from '@muster/api'
import { setCondition } from '@muster/kube'
import type { Finding } from './cluster-ready.ts'

/** The conditions with `Ready` set to a finding; when it changed last is kept while its status stays. */
export function withReady(
  conditions: readonly Condition[] | undefined,
  finding: Finding,
  observedGeneration: number | undefined,
  now: Date,
): Condition[] {
  // The schema's type says "or undefined" of what is absent in JSON.
  const present = conditions as Parameters<typeof setCondition>[0]
  return [...setCondition(present, { type: 'Ready', ...finding, observedGeneration }, now)]
}
