import type { Clock } from './clock.ts'

/** A signal that ends with its parent's or when the time is over. `release` frees the timer and the listener. */
export interface Deadline {
  readonly signal: AbortSignal
  readonly expired: boolean
  remainingMs(): number
  release(): void
}

export function startDeadline(ms: number, parent: AbortSignal | undefined, clock: Clock): Deadline {
  const controller = new AbortController()
  const started = clock.now()
  let expired = false
  const follow = () => controller.abort(parent?.reason)
  const cancel = clock.after(ms, () => {
    expired = true
    controller.abort(new DOMException(`no answer within ${ms} ms`, 'TimeoutError'))
  })
  if (parent?.aborted) follow()
  else parent?.addEventListener('abort', follow, { once: true })
  return {
    signal: controller.signal,
    get expired() {
      return expired
    },
    remainingMs: () => Math.max(0, ms - (clock.now() - started)),
    release() {
      cancel()
      parent?.removeEventListener('abort', follow)
    },
  }
}
