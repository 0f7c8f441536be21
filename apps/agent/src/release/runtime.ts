import { createHash } from 'node:crypto'
import type {
  BreakGlassRecord,
  CustomizationReport,
  GoodVersion,
  HookRecord,
  InventoryEntry,
  Release,
  ReleaseHistoryEntry,
  ReleaseReason,
  ReleaseReport,
  ReleaseSite,
  ReleaseTenant,
  Rollback,
  WaitingFor,
} from '@muster/api'
import type { KubeObject } from '@muster/kube'
import { type Applied, HealthRules, type HookEvent, type Plan, type PlannedObject, type Stage, type Trial } from '@muster/reconcile'
import type { ChannelRelease } from '@muster/trust'
import { openOf } from '../break-glass/standing.ts'
import type { LoadedBundle } from '../bundle-loader.ts'
import type { Fight } from '../corrections.ts'
import { type DriftPolicy, driftPolicyOf } from './drift-policy.ts'
import { type Difference, type DriftTally, shownDrift } from './drift-tally.ts'
import type { Wishes } from './handover.ts'
import { withoutSecrets } from './masking.ts'
import type { Obeyed, Suspension } from './obey.ts'

const maxFightsTold = 5
const maxRollbackMessage = 512
const maxSecrets = 1_000

/** How a release stands: what its condition `Ready` says. */
export interface Outcome {
  readonly ready: boolean
  readonly reason: ReleaseReason
  readonly message: string
  /** When to look again, where nothing that is watched will say so. Milliseconds. */
  readonly requeueAfterMs?: number
  /** What must come first, where something must. */
  readonly waitsFor?: Waiting
  /** What the site itself says is being read for the first time: it is known in a moment. */
  readonly reading?: true
}

const notLookedAt: Outcome = {
  ready: false,
  reason: 'Progressing',
  message: 'The channel asks for something new, which the agent is about to look at.',
}

/** All that the channel says of a release, as text. */
export function saidOf(entry: ChannelRelease): string {
  return JSON.stringify(entry)
}

/** What a release waits for before it goes on: see `WaitingFor`, of which this is all but the time. */
export interface Waiting {
  readonly what: WaitingFor['what']
  readonly names: readonly string[]
}

const maxNamed = 16

/** What a release waits for, and since when: as before, where it still waits for some of the same. */
export function waitingSince(before: WaitingFor | undefined, waits: Waiting | undefined, now: Date): WaitingFor | undefined {
  if (waits === undefined) return undefined
  const names = waits.names.slice(0, maxNamed)
  const goesOn = before !== undefined && before.what === waits.what && names.some((name) => before.names.includes(name))
  return { what: waits.what, names, since: goesOn ? before.since : now.toISOString() }
}

/** A try that failed. It is not repeated before its time, however often something else of the release changes meanwhile. */
export interface FailedTry {
  /** What was tried. */
  readonly of: string
  /** How often in a row. */
  readonly times: number
  readonly untilMs: number
  readonly outcome: Outcome
}

/** An object that is kept as signed. */
export interface Tracked {
  readonly planned: PlannedObject
  /** What stands for "as we applied it"; absent until it was applied. */
  ownership?: string
  /** What stands for the values that it had then; absent after a restart, until it was seen. */
  values?: string
  /** What stands for the object as it was when drift was last looked for in it; see `isAsJudged`. */
  judged?: string
  uid?: string
  generation?: number
  /** What was last applied in its place, whatever is wanted now. */
  last?: LastApplied
}

export interface LastApplied {
  readonly object: KubeObject
  readonly ownership: string
  readonly values?: string
  readonly uid?: string
  readonly generation?: number
}

/** What a channel's entry amounts to, as one string: the same bundle into another namespace, or with other settings, is another target. */
export function targetOf(entry: ChannelRelease | undefined): string | undefined {
  return entry === undefined ? undefined : `${entry.bundle.digest} ${entry.namespace ?? ''} ${settingsText(entry)}`
}

/**
 * A release's settings as text: what was applied with others is applied anew. What its tenant may is no part of it: a grant that ends
 * or grows changes nothing in what was applied.
 */
export function settingsText({ settings }: Pick<ChannelRelease, 'settings'>): string {
  // Under a default that changed with the agent, what was applied is applied anew.
  const { mode } = driftPolicyOf(settings)
  return JSON.stringify({ ...settings, drift: { ...settings?.drift, mode }, tenant: settings?.tenant?.name })
}

/**
 * Stands for a target in the Release object, where it is compared after a restart: a hash, since settings may be large. Whether it is suspended
 * is no part of it: that changes nothing in what was applied.
 */
export function contentOf({ settings, ...entry }: ChannelRelease): string {
  const { suspend: _suspend, ...applied } = settings ?? {}
  return createHash('sha256')
    .update(targetOf({ ...entry, settings: applied }) ?? '')
    .digest('hex')
    .slice(0, 32)
}

/** Which content is applied: the same bundle into another namespace, or with other settings, is another content. */
export interface AppliedContent {
  readonly digest: string
  readonly version: string
  readonly namespace: string | undefined
  /** See `contentOf`. */
  readonly content: string
  readonly signedBy: readonly string[]
  /** By which publishers and policies it was verified. */
  readonly trust: string
}

/** A stage of a rollout, or one job that must succeed before the next. */
export interface RolloutStage extends Stage<PlannedObject> {
  readonly hook?: HookEvent
}

/**
 * A bundle on its way into the cluster: what of it is still to be applied. Kept in memory only, so that a wait for a wave costs nothing
 * but a look at what the watches saw. An agent that starts anew begins at the first stage, finds what was applied as it is, and
 * waits where it waited before.
 */
export interface Rollout {
  /** What it brings about; see `contentOf`. Another content begins another rollout. */
  readonly content: string
  readonly trust: string
  readonly bundle: LoadedBundle
  readonly plan: Plan
  /** This very content was applied whole before. */
  readonly same: boolean
  /** Somebody asked for it: what seems to be as it should be is applied all the same. */
  readonly asked: boolean
  readonly stages: readonly RolloutStage[]
  /** Index of the stage that comes next. */
  next: number
  readonly applied: Map<string, Applied>
}

/** What the agent holds in memory of one release. All of it can be read again from the cluster, the channel and the registry. */
export class ReleaseRuntime {
  readonly name: string
  inventory: readonly InventoryEntry[] = []
  /** The inventory that the Release object has: what a crash leaves known. */
  written: readonly InventoryEntry[] = []
  /** What it wants, once its bundle was read. */
  wishes: Wishes | undefined
  /** Generation of the channel under which what it is to become was refused: it wants nothing new. */
  settled: number | undefined
  /** What waits to be deleted until somebody consents. */
  needsConsent: NonNullable<Release['status']>['needsConsent']
  readonly tracked = new Map<string, Tracked>()
  /** How its custom resources are judged. */
  health = HealthRules.none
  /** What was last applied whole. */
  applied: AppliedContent | undefined
  /** False while something else than `applied` is tracked: from the start of an apply until it has succeeded. */
  complete = false
  /** What is being brought in and waits for something, as long as it does. */
  rollout: Rollout | undefined
  appliedAtMs = 0
  /** The content that the Release object says is being applied, or was. */
  announced: string | undefined
  /** Whether what was applied has been compared with what the watches saw since. */
  rechecked = false
  recheckedAtMs = 0
  /** The apply that failed last. */
  applyFailed: FailedTry | undefined
  /** The prune that failed last, or that waits for what is being deleted. */
  pruneFailed: FailedTry | undefined
  outcome: Outcome | undefined
  /** Since when it is ready, or is not. */
  since: string | undefined
  /** What the channel said of it when that was found; see `saidOf`. */
  outcomeOf: string | undefined
  /** What the hub was last told of it, as text. */
  told: string | undefined
  /** The version that must show that it becomes healthy. */
  trial: Trial | undefined
  /** The same version, once it is healthy, for as long as it must show that it stays so. */
  candidate: GoodVersion | undefined
  /** What the Release object said of a trial when it was read. */
  trialBefore: Pick<Trial, 'key' | 'startedAt'> | undefined
  /** The last version that was healthy here. */
  good: GoodVersion | undefined
  /** The version that failed, and for which the last good one was taken back. */
  rollback: Rollback | undefined
  /** The content that was last found ready, as long as nothing is applied in its place; see `contentOf`. */
  readyContent: string | undefined
  /** Keys of the jobs that hooks of what is being applied, or was, may make. */
  hookJobs: ReadonlySet<string> = new Set()
  /** What became of these. */
  hooks: HookRecord | undefined
  /** The version that was taken back and of which no hook runs any more, see `keyOf`. */
  hooksEnded: string | undefined
  /** Since when hooks of a failure are waited for, by keys of their jobs: monotonic, in milliseconds. */
  readonly failureHooks = new Map<string, number>()
  /** The version that has failed and stays, see `keyOf`. */
  failedKey: string | undefined
  waitingFor: WaitingFor | undefined
  #waited: WaitingFor | undefined
  drift: DriftTally = { corrected: 0 }
  /** What is in force over the bundle that runs. */
  customizations: readonly CustomizationReport[] = []
  driftPolicy: DriftPolicy = driftPolicyOf()
  /** When the next of what is tolerated is not any more, in milliseconds since 1970. */
  toleratedUntilMs: number | undefined
  /** Objects that differ from what is signed, by their keys: not corrected yet, or left so. */
  readonly drifting = new Map<string, Difference>()
  /** Who else writes the same fields again and again, by keys of objects. */
  readonly fights = new Map<string, readonly Fight[]>()
  /** Fields that are left to others as that is tolerated, by keys of objects. */
  readonly yielded = new Map<string, readonly string[]>()
  /** What the Release object said when it was last read: what runs, after a restart. */
  remembered: { digest: string; version: string; content: string | undefined; signedBy: readonly string[] } | undefined
  /** Whose it is, as the channel had it last. */
  tenant: ReleaseTenant | undefined
  /** Versions that were applied whole, the newest first. */
  history: readonly ReleaseHistoryEntry[] = []
  /** What the site says of it, as it was last seen. */
  site: ReleaseSite | undefined
  /** By whose word nothing is done with it. */
  suspended: Suspension | undefined
  /** The last time that the write guard was opened for it. */
  breakGlass: BreakGlassRecord | undefined
  /** At what the site holds it. */
  held: Obeyed['held']
  /** The site's last wish to reconcile at once that was taken up. */
  reconciledAt: string | undefined
  /** It is to be verified and applied again, though it is as it should be. */
  asked = false
  #work: AbortController | undefined
  #target: string | undefined
  #applying = false
  readonly #corrections = new Set<Promise<unknown>>()
  readonly #secrets = new Set<string>()

  constructor(name: string) {
    this.name = name
  }

  /**
   * Starts a piece of work that `interrupt` ends at once.
   * @param target what it works towards: the digest and namespace wanted, or nothing where the release is taken away
   */
  work(signal: AbortSignal, target: string | undefined): AbortSignal {
    this.#work = new AbortController()
    this.#target = target
    return AbortSignal.any([signal, this.#work.signal])
  }

  /** Ends what is under way for this release, unless it works towards this very target. */
  interrupt(target: string | undefined): void {
    if (this.#target !== target) this.#work?.abort(new Interrupted(this.name))
  }

  get applying(): boolean {
    return this.#applying
  }

  /** Runs an apply with no correction beside it: a correction with the old content must not come after the new one. */
  async whileApplying<T>(apply: () => Promise<T>): Promise<T> {
    this.#applying = true
    try {
      await Promise.allSettled(this.#corrections)
      return await apply()
    } finally {
      this.#applying = false
    }
  }

  /** Runs a correction, unless an apply is under way. */
  async correct(correction: () => Promise<void>): Promise<'done' | 'applying'> {
    if (this.#applying) return 'applying'
    const running = correction()
    this.#corrections.add(running)
    try {
      await running
      return 'done'
    } finally {
      this.#corrections.delete(running)
    }
  }

  /** Whether others may write its objects, as somebody broke glass for it. */
  get isOpen(): boolean {
    return this.breakGlass !== undefined && this.breakGlass.endedAt === undefined
  }

  /** Whether drift is put back, and not only told. */
  get corrects(): boolean {
    return this.driftPolicy.mode !== 'detect' && !this.isOpen
  }

  /** Drift as it is shown in status. */
  get shownDrift(): ReturnType<typeof shownDrift> {
    const { mode, left } = this.driftPolicy
    return shownDrift(this.drift, { mode, left, drifting: this.drifting, fights: this.fights, yielded: this.yielded })
  }

  /** Values that were unsealed for it: the last of them, in memory only. */
  get secrets(): ReadonlySet<string> {
    return this.#secrets
  }

  keepSecret(values: readonly string[]): void {
    for (const value of values) {
      this.#secrets.delete(value)
      this.#secrets.add(value)
    }
    for (const value of this.#secrets) {
      if (this.#secrets.size <= maxSecrets) break
      this.#secrets.delete(value)
    }
  }

  /** What others say of it, such as the API server of what it refuses, without values that were unsealed for it. */
  discreet(text: string): string {
    return this.#secrets.size === 0 ? text : withoutSecrets(text, this.#secrets)
  }

  /** Notes what is waited for, and since when. What comes in between, such as a look at the site's policies after a restart, ends no wait. */
  waits({ ready, waitsFor }: Outcome, now: Date): void {
    const before = this.waitingFor ?? this.#waited
    this.waitingFor = waitingSince(before, waitsFor, now)
    this.#waited = ready ? undefined : (this.waitingFor ?? before)
  }

  /** Forgets what was to be kept: nothing of it is corrected any more. */
  release(): void {
    this.tracked.clear()
    this.health = HealthRules.none
    this.drifting.clear()
    this.fights.clear()
    this.yielded.clear()
    // It is reported until nothing of it is left.
    if (this.applied !== undefined) this.remembered = { ...this.applied, content: undefined }
    this.applied = undefined
    this.complete = false
    this.rollout = undefined
    this.hookJobs = new Set()
  }

  /**
   * What is written down of trials. A version counts as good there as soon as it is healthy, so that this costs no write of its own; should it
   * not stay so, that is written down with how it stands then.
   */
  get proof(): Pick<NonNullable<Release['status']>, 'trial' | 'lastGood' | 'rollback'> {
    const { trial, candidate, rollback } = this
    const lastGood = candidate ?? this.good
    return {
      ...(trial === undefined || candidate !== undefined ? {} : { trial: { key: trial.key, startedAt: trial.startedAt } }),
      ...(lastGood === undefined ? {} : { lastGood }),
      ...(rollback === undefined ? {} : { rollback }),
    }
  }

  /** What the hub is told. Undefined until something is known. */
  report(wanted: ChannelRelease | undefined): ReleaseReport | undefined {
    const running = this.applied ?? this.remembered
    const shown = running ?? wanted?.bundle
    if (shown === undefined) return undefined
    const open = openOf(this.breakGlass)
    // How it stood under what was asked before is no answer to what is asked now.
    const outcome = wanted === undefined || this.outcomeOf === saidOf(wanted) ? this.outcome : notLookedAt
    return {
      name: this.name,
      version: shown.version,
      digest: shown.digest,
      signedBy: [...(running?.signedBy ?? [])],
      ready: outcome?.ready ?? false,
      reason: outcome?.reason ?? 'Progressing',
      message: (outcome?.message ?? 'The agent has just started.').slice(0, 4000),
      driftCorrected: this.drift.corrected,
      drift: driftReport(this.drift, this.driftPolicy),
      ...(this.since === undefined ? {} : { since: this.since }),
      ...(this.customizations.length === 0 ? {} : { customizations: [...this.customizations] }),
      drifted: this.drifting.size > 0,
      ...(this.suspended === undefined ? {} : { suspended: this.suspended }),
      ...(this.held === undefined ? {} : { held: { ...this.held, version: this.held.version ?? 'unknown' } }),
      ...(this.fights.size === 0 ? {} : { fights: this.shownDrift.fights?.slice(0, maxFightsTold) ?? [] }),
      ...(this.rollback === undefined ? {} : { rollback: rollbackReport(this.rollback) }),
      ...(this.waitingFor === undefined ? {} : { waitingFor: this.waitingFor }),
      ...(open === undefined ? {} : { breakGlass: open }),
    }
  }
}

function driftReport({ detected }: DriftTally, { mode, left }: DriftPolicy): NonNullable<ReleaseReport['drift']> {
  return { mode, ...(detected === undefined ? {} : { detected }), ...(left.length === 0 ? {} : { left: [...left] }) }
}

function rollbackReport({ from, to, at, reason, message }: Rollback): NonNullable<ReleaseReport['rollback']> {
  return { ...from, to, at, reason, message: message.slice(0, maxRollbackMessage) }
}

/** The reason with which work ends that something newer has overtaken. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'

  constructor(release: string) {
    super(`Work on release ${release} was ended: something newer is wanted.`)
  }
}
