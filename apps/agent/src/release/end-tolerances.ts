import type { ReleaseServices, Step } from './context.ts'
import { nextEnd } from './drift-policy.ts'
import type { ReleaseRuntime } from './runtime.ts'

/** Asks for a closer look at all that is not as it was signed: it is not tolerated any more. */
export function suspectAll(runtime: ReleaseRuntime, suspect: ReleaseServices['suspect']): void {
  for (const [key, { judged, ownership, values }] of runtime.tracked) {
    const asSigned = judged === `${ownership} ${values} `
    if (!asSigned || runtime.yielded.has(key) || runtime.drifting.has(key)) suspect(key)
  }
}

/** What is tolerated until a time is looked at again when that has come. */
export const endTolerances: Step = async ({ clock, suspect }, { runtime }) => {
  const now = clock.now().getTime()
  const { toleratedUntilMs } = runtime
  if (toleratedUntilMs !== undefined && toleratedUntilMs <= now) {
    suspectAll(runtime, suspect)
  }
  runtime.toleratedUntilMs = nextEnd(runtime.driftPolicy, now)
  return undefined
}
