import type { KubeObject } from '@muster/kube'

export type HealthState = 'Healthy' | 'Progressing' | 'Degraded' | 'Suspended' | 'Unknown'

/** How one object is. `reason` is a CamelCase constant, `message` a sentence that says what it waits for. */
export interface Health {
  readonly state: HealthState
  readonly reason: string
  readonly message: string
}

export type Json = { readonly [key: string]: unknown }

export interface Condition {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
}

export const healthy = (message: string, reason = 'Healthy'): Health => ({ state: 'Healthy', reason, message })
export const progressing = (reason: string, message: string): Health => ({ state: 'Progressing', reason, message })
export const degraded = (reason: string, message: string): Health => ({ state: 'Degraded', reason, message })
export const suspended = (message: string): Health => ({ state: 'Suspended', reason: 'Suspended', message })
export const unknown = (reason: string, message: string): Health => ({ state: 'Unknown', reason, message })

/** An object as rules look at it: what is not of its type reads as empty. */
export interface View {
  readonly metadata: KubeObject['metadata']
  readonly spec: Json
  readonly status: Json
  readonly conditions: readonly Condition[]
}

/** How one kind is judged, once it is known that it is neither being deleted nor behind. */
export type Rule = (view: View) => Health

export function viewOf(object: KubeObject): View {
  const status = record(object['status'])
  const conditions = list(status['conditions']).map((entry) => ({
    type: text(entry['type']),
    status: text(entry['status']),
    reason: text(entry['reason']),
    message: text(entry['message']),
  }))
  return { metadata: object.metadata, spec: record(object['spec']), status, conditions }
}

export function find(conditions: readonly Condition[], type: string): Condition | undefined {
  return conditions.find((condition) => condition.type === type)
}

export function record(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {}
}

export function list(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(record) : []
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

export function count(value: unknown, otherwise = 0): number {
  return typeof value === 'number' ? value : otherwise
}
