export { type Addition, additionsByOthers, type JsonPatchOperation, removalPatch } from './additions.ts'
export type { AdoptionRule } from './adoption.ts'
export { type Applied, type ApplyOptions, applyObject, standingOf, type TakeOver } from './apply.ts'
export { type ApplyPlanOptions, applyPlan } from './apply-plan.ts'
export { type ClusterApi, fieldManager, guardLabel, releaseLabel } from './cluster.ts'
export { contentOf } from './content.ts'
export { type Drift, type DriftChange, describeDrift, type Holder, isDrifted, managersOf, pathsOf } from './drift.ts'
export type { ObjectFailure } from './failure.ts'
export {
  actingAgentKey,
  type GuardExemption,
  type GuardOptions,
  guardObjects,
  guardPartLabel,
  scaleKey,
} from './guard/guard.ts'
export { health, summarizeHealth } from './health/health.ts'
export { type HealthRule, HealthRules } from './health/rules.ts'
export type { Health, HealthState } from './health/view.ts'
export { holderOf } from './holder.ts'
export {
  type Hook,
  type HookEvent,
  hookEvents,
  hookJobsAt,
  hookOf,
  hookRunOf,
  isHookJob,
  type JobState,
  jobOf,
  jobState,
} from './hooks.ts'
export { groupKind, nameOf, objectKey, refOf } from './identity.ts'
export { entryOf, entryRef, type InventoryEntry, isLeftBy, renewedInventory, subtractInventory, unionInventory } from './inventory.ts'
export { fieldOwners, ownedValuesHash, ownershipHash } from './managed-fields.ts'
export { compareForApply, compareForPrune, type Ordered, type Phase, phaseOf, phases } from './order.ts'
export {
  inventoryWith,
  isProtected,
  type Plan,
  type PlannedObject,
  type PlanOptions,
  plannedInventory,
  planRelease,
  type Sighting,
} from './plan.ts'
export { type Preview, previewPlan, withoutCounts } from './preview.ts'
export { type PruneOptions, type PruneResult, prune, recognized, remainingEntries, type Use } from './prune.ts'
export { ApplyRefusal } from './refusal.ts'
export { type PathStep, parsePath, type Tolerance } from './tolerance.ts'
export { beginTrial, lookAtTrial, pauseTrial, resumeTrial, type Trial, type TrialLimits } from './trial.ts'
export { type Stage, type Staged, stagesOf, waveAnnotation, waveOf } from './waves.ts'
