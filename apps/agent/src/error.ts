/**
 * Why the agent could not do something of its own (what bundles, signatures and registries say is told by their packages' errors).
 *
 * - `BootstrapIncomplete`: neither an identity nor all that is needed to join is there. Install the agent again.
 * - `HubUnreachable`: no answer from the hub, or a passing failure of it.
 * - `HubRefused`: the hub said no, such as to a token that was used before. Needs a person.
 * - `HubBadResponse`: the answer is not what the API promises.
 * - `StateUnreadable`: what the agent stored in the cluster was changed by someone, so that it cannot be trusted.
 * - `StateTooLarge`: the channel does not fit into the cluster's storage.
 */
export type AgentErrorCode =
  | 'BootstrapIncomplete'
  | 'HubUnreachable'
  | 'HubRefused'
  | 'HubBadResponse'
  | 'StateUnreadable'
  | 'StateTooLarge'

export class AgentError extends Error {
  override readonly name = 'AgentError'
  readonly code: AgentErrorCode
  readonly transient: boolean
  /** The hub's own code, where the hub refused. */
  readonly refusal?: string

  constructor(code: AgentErrorCode, message: string, cause?: unknown, refusal?: string) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.transient = code === 'HubUnreachable'
    if (refusal !== undefined) this.refusal = refusal
  }
}

/** An error's code, where it has one: every package's errors do. */
export function codeOf(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string') return error.code
  return 'Unexpected'
}

/** An error's message, short enough for a report. */
export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 2000)
}
