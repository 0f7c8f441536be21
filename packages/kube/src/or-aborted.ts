import { KubeError } from './error.ts'

/** Waits for something, at most until the signal is aborted: then throws `Aborted`. What was waited for goes on by itself. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined, waitingFor: string): Promise<T> {
  if (!signal) return await promise
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(new KubeError('Aborted', `Waiting for ${waitingFor} was stopped.`, { cause: signal.reason }))
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
