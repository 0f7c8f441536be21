import { dependencyCycle, releaseReasons } from '@muster/api'
import type { ChannelContent } from '@muster/trust'
import type { ReleaseServices, Step } from './context.ts'
import { ranBefore } from './release-bundle.ts'
import { contentOf } from './runtime.ts'
import { withSite } from './site-overlays.ts'

/** Whatever is waited for asks again by itself: this is for what was missed. Milliseconds. */
const lookAgainMs = 5_000
const maxTold = 3

type Dependency = NonNullable<NonNullable<ChannelContent['releases'][number]['settings']>['dependsOn']>[number]

/** Why a dependency is not there yet. */
interface Missing {
  /** `db`, or `alpha/db` in another cluster. */
  readonly name: string
  readonly message: string
  readonly cycle: boolean
}

/**
 * A version that is new here waits until the releases that it depends on are ready in the version, and with the settings, that are wanted of
 * them. What runs goes on running, and what has begun is brought to its end.
 */
export const waitForDependencies: Step = async (services, context) => {
  const { entry, content, runtime } = context
  const dependencies = entry.settings?.dependsOn ?? []
  if (dependencies.length === 0 || ranBefore(context) || runtime.rollout?.content === contentOf(entry)) return undefined
  const cycle = cycleOf(entry.name, content)
  if (cycle !== undefined)
    return refusal(`Each of these waits for the next: ${cycle}. Take one of these dependencies out of its placement.`)
  const missing = dependencies.map((dependency) => missingOf(services, content, dependency)).filter((one) => one !== undefined)
  const circular = missing.find((one) => one.cycle)
  if (circular !== undefined) return refusal(`It depends on ${circular.name}. ${circular.message}`)
  if (missing.length === 0) return undefined
  const told = missing.slice(0, maxTold).map(({ name, message }) => `${name} (${message})`)
  const more = missing.length > maxTold ? ` and ${missing.length - maxTold} more` : ''
  return {
    ready: false,
    reason: releaseReasons.dependencyNotReady,
    message: `It waits for ${told.join(', ')}${more}.`,
    waitsFor: { what: 'Dependency', names: missing.map(({ name }) => name) },
    requeueAfterMs: lookAgainMs,
  }
}

const refusal = (message: string) => ({ ready: false, reason: releaseReasons.dependencyCycle, message, requeueAfterMs: lookAgainMs })

/** A circle within the cluster's own channel. One across clusters is known to the hub, and told by it. */
function cycleOf(name: string, { cluster, releases }: ChannelContent): string | undefined {
  const cycle = dependencyCycle(name, (at) =>
    (releases.find((release) => release.name === at)?.settings?.dependsOn ?? [])
      .filter((dependency) => dependency.cluster === undefined || dependency.cluster === cluster)
      .map(({ release }) => release),
  )
  return cycle?.join(' → ')
}

function missingOf(
  { releases, remote, siteOverlays, clock }: ReleaseServices,
  content: ChannelContent,
  dependency: Dependency,
): Missing | undefined {
  const { release, cluster } = dependency
  if (cluster !== undefined && cluster !== content.cluster) {
    const { ready, cycle, message } = remote.standing(cluster, release, content.generation, clock.now())
    return ready ? undefined : { name: `${cluster}/${release}`, message, cycle }
  }
  const missing = (message: string): Missing => ({ name: release, message, cycle: false })
  const wanted = content.releases.find(({ name }) => name === release)
  if (wanted === undefined) return missing('nothing places it here')
  const here = releases.get(release)
  if (here?.readyContent === contentOf(withSite(wanted, siteOverlays.of(release)))) return undefined
  if (here?.outcome?.ready === true && here.applied?.digest === wanted.bundle.digest)
    return missing(`version ${wanted.bundle.version} is not ready with its newer settings yet`)
  if (here?.held?.wanted !== undefined)
    return missing(`its site holds it at ${here.held.version ?? here.held.digest}, and version ${wanted.bundle.version} is wanted`)
  const why = here?.outcome === undefined || here.outcome.ready ? releaseReasons.progressing : here.outcome.reason
  return missing(`version ${wanted.bundle.version} is not ready yet: ${why}`)
}
