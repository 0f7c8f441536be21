import { releaseReasons } from '@muster/api'
import type { Step } from './context.ts'

const lookAgainMs = 5_000

/** What was never applied waits until the releases that it depends on are ready in the version that the channel wants. */
export const waitForDependencies: Step = async ({ releases }, { entry, content, runtime }) => {
  if (runtime.applied !== undefined || runtime.remembered?.digest === entry.bundle.digest) return undefined
  const missing = (entry.settings?.dependsOn ?? [])
    .map((dependency) => dependency.release)
    .filter((name) => {
      const wanted = content.releases.find((release) => release.name === name)
      const dependency = releases.get(name)
      return dependency?.outcome?.ready !== true || dependency.applied?.digest !== wanted?.bundle.digest
    })
  if (missing.length === 0) return undefined
  return {
    ready: false,
    reason: releaseReasons.progressing,
    message: `It waits for ${missing.join(', ')} to be ready.`,
    requeueAfterMs: lookAgainMs,
  }
}
