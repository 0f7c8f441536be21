import type { Step } from './context.ts'
import { nextEnd } from './drift-policy.ts'

/** What is tolerated until a time is looked at again when that has come. */
export const endTolerances: Step = async ({ clock, suspect }, { runtime }) => {
  const now = clock.now().getTime()
  const { toleratedUntilMs } = runtime
  if (toleratedUntilMs !== undefined && toleratedUntilMs <= now) {
    for (const [key, { judged, ownership }] of runtime.tracked) {
      const asSigned = judged === `${ownership} `
      if (!asSigned || runtime.yielded.has(key)) suspect(key)
    }
  }
  runtime.toleratedUntilMs = nextEnd(runtime.driftPolicy, now)
  return undefined
}
