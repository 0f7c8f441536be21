/** `metav1.Condition`. Source: API conventions, "Typical status properties". */
export interface Condition {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly observedGeneration?: number | undefined
  /** When `status` last changed, RFC 3339 in seconds. */
  readonly lastTransitionTime: string
  readonly reason: string
  readonly message: string
}

export interface ConditionInput {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
  readonly observedGeneration?: number | undefined
}

/** Longest message that the API server takes, in characters. */
const messageLimit = 32_768

/**
 * Sets one condition among others, in place if it is there. Keeps `lastTransitionTime` where `status` did not change,
 * and gives the very same array where nothing changed at all, so that callers can skip a write.
 */
export function setCondition(conditions: readonly Condition[] | undefined, input: ConditionInput, now: Date): Condition[] {
  const present = conditions ?? []
  const old = present.find((one) => one.type === input.type)
  const message = input.message.length > messageLimit ? `${input.message.slice(0, messageLimit - 1)}…` : input.message
  const { type, status, reason, observedGeneration } = input
  const condition: Condition = {
    type,
    status,
    reason,
    message,
    lastTransitionTime: old?.status === status ? old.lastTransitionTime : seconds(now),
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
  }
  if (!old) return [...present, condition]
  if (conditions && same(old, condition)) return conditions as Condition[]
  return present.map((one) => (one === old ? condition : one))
}

export function findCondition(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((one) => one.type === type)
}

/** True where the condition is there and says `True`. */
export function isConditionTrue(conditions: readonly Condition[] | undefined, type: string): boolean {
  return findCondition(conditions, type)?.status === 'True'
}

export function removeCondition(conditions: readonly Condition[] | undefined, type: string): Condition[] {
  return conditions?.filter((one) => one.type !== type) ?? []
}

function same(one: Condition, other: Condition): boolean {
  return (
    one.status === other.status &&
    one.reason === other.reason &&
    one.message === other.message &&
    one.observedGeneration === other.observedGeneration
  )
}

function seconds(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`
}
