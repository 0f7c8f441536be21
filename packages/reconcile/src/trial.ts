/**
 * A version that is to show that it becomes healthy. Time is counted by looks, not by the difference of two clock readings: a clock that is
 * set, a machine that slept or an agent that was away count for little, and never end a trial that nobody watched.
 */
export interface Trial {
  /** Which version, with what shapes it. */
  readonly key: string
  /** ISO 8601. */
  readonly startedAt: string
  /** Milliseconds that it was watched. */
  readonly watchedMs: number
  /** Milliseconds that it has been healthy without a break. */
  readonly healthyMs: number
  readonly healthy: boolean
  /** When it was last looked at, in milliseconds since 1970. */
  readonly lookedAtMs: number
}

export interface TrialLimits {
  /** How long it may take until it is healthy, in milliseconds. */
  readonly deadlineMs: number
  /** How long it must be healthy without a break before it counts, in milliseconds. */
  readonly minHealthyMs: number
}

/** Between two looks no more than this counts, in milliseconds: looks are at most ten seconds apart. */
const longestStepMs = 15_000
/** However long a trial lasts already: after a restart it is watched for so long, in milliseconds, before it may fail. */
const watchAgainMs = 30_000

export function beginTrial(key: string, now: Date): Trial {
  return { key, startedAt: now.toISOString(), watchedMs: 0, healthyMs: 0, healthy: false, lookedAtMs: now.getTime() }
}

/** A trial that was under way when the agent ended, by when it began. */
export function resumeTrial({ key, startedAt }: Pick<Trial, 'key' | 'startedAt'>, { deadlineMs }: TrialLimits, now: Date): Trial {
  const passed = Math.max(0, now.getTime() - Date.parse(startedAt))
  const watchedMs = Math.min(passed, Math.max(0, deadlineMs - watchAgainMs))
  return { ...beginTrial(key, now), startedAt, watchedMs: Number.isNaN(watchedMs) ? 0 : watchedMs }
}

/**
 * - `on trial`: neither yet.
 * - `good`: healthy for long enough.
 * - `failed`: not healthy, and its time is over. One that is healthy at its deadline may show that it stays so.
 */
export type TrialVerdict = 'on trial' | 'good' | 'failed'

/** Looks at a trial: how it stands, and when to look again at the latest, in milliseconds. */
export function lookAtTrial(
  trial: Trial,
  healthy: boolean,
  { deadlineMs, minHealthyMs }: TrialLimits,
  now: Date,
): { readonly trial: Trial; readonly verdict: TrialVerdict; readonly againMs: number } {
  const nowMs = now.getTime()
  const step = Math.min(longestStepMs, Math.max(0, nowMs - trial.lookedAtMs))
  const watchedMs = trial.watchedMs + step
  const healthyMs = healthy && trial.healthy ? trial.healthyMs + step : 0
  const looked: Trial = { ...trial, watchedMs, healthyMs, healthy, lookedAtMs: nowMs }
  if (healthy && healthyMs >= minHealthyMs) return { trial: looked, verdict: 'good', againMs: 0 }
  if (!healthy && watchedMs >= deadlineMs) return { trial: looked, verdict: 'failed', againMs: 0 }
  const left = healthy ? minHealthyMs - healthyMs : deadlineMs - watchedMs
  return { trial: looked, verdict: 'on trial', againMs: Math.min(left, longestStepMs) }
}

/** Time in which nothing was tried, such as while a release is suspended, does not count. */
export function pauseTrial(trial: Trial, now: Date): Trial {
  return { ...trial, healthyMs: 0, healthy: false, lookedAtMs: now.getTime() }
}
