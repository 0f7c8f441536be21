/** Works on all of them, `jobs` at a time. The first failure stops the others; all are waited for. */
export async function eachOf<T>(
  items: Iterable<T>,
  options: { readonly jobs: number; readonly signal?: AbortSignal | undefined },
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const failed = new AbortController()
  const signal = options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal])
  const waiting = items[Symbol.iterator]()
  const worker = async (): Promise<void> => {
    for (let next = waiting.next(); next.done !== true; next = waiting.next()) {
      if (signal.aborted) return
      try {
        await work(next.value, signal)
      } catch (error) {
        failed.abort(error)
        return
      }
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, options.jobs) }, worker))
  options.signal?.throwIfAborted()
  failed.signal.throwIfAborted()
}
