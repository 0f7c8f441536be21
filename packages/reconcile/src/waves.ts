import type { KubeObject } from '@muster/kube'
import { groupKind, refOf } from './identity.ts'
import { compareForApply, type Ordered, type Phase } from './order.ts'

/** Annotation of an object: a whole number; lower ones are applied, and healthy, before it. None means 0. */
export const waveAnnotation = 'muster.dev/wave'
/** What Argo CD calls the same thing. Ours counts where both are given. */
const argoAnnotation = 'argocd.argoproj.io/sync-wave'

const maxWave = 1_000_000

/** The wave of an object. Undefined where its annotation is no whole number between -1,000,000 and 1,000,000. */
export function waveOf({ metadata }: Pick<KubeObject, 'metadata'>): number | undefined {
  const text = metadata.annotations?.[waveAnnotation] ?? metadata.annotations?.[argoAnnotation]
  if (text === undefined) return 0
  const wave = /^[+-]?\d{1,7}$/.test(text) ? Number(text) : Number.NaN
  return Math.abs(wave) <= maxWave ? wave : undefined
}

/** What of a planned object decides when it is applied. */
export interface Staged {
  readonly object: KubeObject
  readonly phase: Phase
  readonly wave: number
}

/** Objects that are applied together, once all that come before and belong to a lower wave are healthy. */
export interface Stage<T extends Staged> {
  /** The wave that it waits for its turn with. */
  readonly wave: number
  readonly objects: readonly T[]
  /** What must be healthy first. */
  readonly after: readonly T[]
  /** What must be healthy first are definitions: before they are served, objects of their kinds are refused, and programs do not find them. */
  readonly defined?: true
}

/**
 * Cuts a plan where something must be waited for: a lower wave, or definitions of its own kinds or for its programs. One stage where there is neither. What waits for nothing more than the stage before
 * it does belongs to that stage: webhooks of wave 0 go with the last wave of what they follow.
 */
export function stagesOf<T extends Staged>(planned: readonly T[]): Stage<T>[] {
  const ordered = [...planned].sort((a, b) => compareForApply(ordering(a), ordering(b)))
  const definitions = definitionsInUse(ordered)
  const stages: { wave: number; lowest: number; objects: T[]; after: readonly T[]; defined?: true }[] = []
  for (const [at, item] of ordered.entries()) {
    const stage = stages.at(-1)
    const first = definitions.length > 0 && item.phase !== 'definitions' && ordered[at - 1]?.phase === 'definitions'
    if (first) {
      const lower = ordered.slice(0, at).filter((earlier) => earlier.wave < item.wave && !definitions.includes(earlier))
      stages.push({ wave: item.wave, lowest: item.wave, objects: [item], after: [...definitions, ...lower], defined: true })
      continue
    }
    if (stage !== undefined && item.wave <= stage.lowest) {
      stage.objects.push(item)
      stage.lowest = item.wave
      continue
    }
    const after = ordered.slice(0, at).filter((earlier) => earlier.wave < item.wave)
    stages.push({ wave: item.wave, lowest: item.wave, objects: [item], after })
  }
  return stages.map(({ lowest: _, ...stage }) => stage)
}

/**
 * Definitions of kinds of which there are objects beside them; all, where a program comes with them: many an operator looks once, when it
 * starts, which of its kinds are served, and leaves the others alone for as long as it runs.
 */
function definitionsInUse<T extends Staged>(planned: readonly T[]): T[] {
  const runs = planned.some(({ phase }) => phase === 'workloads')
  const kinds = new Set(planned.filter(({ phase }) => phase !== 'definitions').map(({ object }) => groupKind(object)))
  return planned.filter(({ object, phase }) => {
    if (phase !== 'definitions' || groupKind(object) !== 'CustomResourceDefinition.apiextensions.k8s.io') return false
    if (runs) return true
    const spec = object['spec'] as { group?: unknown; names?: { kind?: unknown } } | undefined
    return kinds.has(`${String(spec?.names?.kind)}.${String(spec?.group)}`)
  })
}

function ordering({ object, wave }: Staged): Ordered {
  return { ...refOf(object), wave }
}
