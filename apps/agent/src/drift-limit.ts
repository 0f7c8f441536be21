/** Corrections that are made at once; from then on each waits longer. */
const atOnce = 4
const baseMs = 500
const maxMs = 60_000
/** Corrections older than this, in milliseconds, are forgotten. */
const windowMs = 120_000

/**
 * How long to wait, in milliseconds, before the next correction of an object that was corrected at these times. Two that fight over
 * a field must not keep the API server busy, and a person's single mistake must not wait.
 */
export function correctionDelay(timesMs: readonly number[], nowMs: number): number {
  const recent = timesMs.filter((time) => nowMs - time < windowMs)
  const last = recent.at(-1)
  if (last === undefined || recent.length < atOnce) return 0
  const wait = Math.min(maxMs, baseMs * 2 ** Math.min(recent.length - atOnce, 20))
  return Math.max(0, last + wait - nowMs)
}

/** When which object was corrected. */
export class CorrectionLimit {
  readonly #times = new Map<string, number[]>()

  delay(key: string, nowMs: number): number {
    return correctionDelay(this.#times.get(key) ?? [], nowMs)
  }

  corrected(key: string, nowMs: number): void {
    const times = (this.#times.get(key) ?? []).filter((time) => nowMs - time < windowMs)
    this.#times.set(key, [...times.slice(-31), nowMs])
    if (this.#times.size > 10_000) this.#forget(nowMs)
  }

  #forget(nowMs: number): void {
    for (const [key, times] of this.#times) if (nowMs - (times.at(-1) ?? 0) >= windowMs) this.#times.delete(key)
  }
}
