import { KubeError, type Ref } from '@muster/kube'

/** Why one object could not be applied or pruned. The others go on. */
export interface ObjectFailure {
  readonly ref: Ref
  /**
   * A code of `KubeError`, or: `Duplicate` (twice in one bundle), `OwnedByOtherRelease`, `NotEstablished` (a definition that is not
   * served in time), `Terminating` (being deleted; made again when it is gone), `WaveInvalid`, `Unexpected`.
   */
  readonly code: string
  readonly message: string
  /** Whether it may succeed later without a change of the bundle. */
  readonly transient: boolean
}

/** An error as the failure of an object. An abort is no failure: it is thrown on. */
export function failureOf(ref: Ref, error: unknown, signal: AbortSignal | undefined): ObjectFailure {
  if (signal?.aborted) throw signal.reason
  if (error instanceof KubeError) {
    // A kind or namespace that is not there yet may come with another release.
    const mayCome = error.code === 'UnknownKind' || error.code === 'NotFound'
    return { ref, code: error.code, message: error.message, transient: error.transient || mayCome }
  }
  return { ref, code: 'Unexpected', message: error instanceof Error ? error.message : String(error), transient: true }
}
