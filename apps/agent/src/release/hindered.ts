import { releaseReasons } from '@muster/api'
import { KubeError } from '@muster/kube'
import type { ChannelRelease } from '@muster/trust'
import { messageOf } from '../error.ts'
import { contentOf, type Outcome, type ReleaseRuntime } from './runtime.ts'

/**
 * How a release stands that could not be worked on at all, such as while the API server is away. One that is as it is wanted and healthy was so
 * when it was last seen: that its API server says nothing is no news of it.
 */
export function hindered(runtime: ReleaseRuntime, entry: ChannelRelease | undefined, error: unknown): Outcome | undefined {
  const { applied, complete, outcome } = runtime
  if (entry !== undefined && complete && applied?.content === contentOf(entry) && outcome?.ready === true) return undefined
  const server = error instanceof KubeError ? '' : 'Something unexpected happened: '
  const [reason, doing] =
    entry === undefined ? ([releaseReasons.pruning, 'taken away'] as const) : ([releaseReasons.applyFailed, 'brought about'] as const)
  return { ready: false, reason, message: `It cannot be ${doing} now, and is tried again. ${server}${runtime.discreet(messageOf(error))}` }
}
