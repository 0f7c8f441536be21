import type { Release } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import { type Health, health, releaseLabel, unionInventory } from '@muster/reconcile'
import { tallyOf } from './drift-tally.ts'
import { expandPlanned } from './planned.ts'
import { ReleaseRuntime } from './runtime.ts'

/** All releases that are installed or wanted here, and which of them each object belongs to. */
export class Releases {
  readonly #byName = new Map<string, ReleaseRuntime>()
  readonly #byObject = new Map<string, string>()
  /** Keys of `#byObject` by release. */
  readonly #objects = new Map<string, readonly string[]>()
  #sorted: readonly ReleaseRuntime[] | undefined

  /** The runtime of a release, made when it is not known. */
  of(name: string): ReleaseRuntime {
    const known = this.#byName.get(name)
    if (known !== undefined) return known
    const made = new ReleaseRuntime(name)
    this.#byName.set(name, made)
    this.#sorted = undefined
    return made
  }

  get(name: string): ReleaseRuntime | undefined {
    return this.#byName.get(name)
  }

  /** By name. */
  all(): readonly ReleaseRuntime[] {
    this.#sorted ??= [...this.#byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    return this.#sorted
  }

  get counts(): { readonly ready: number; readonly other: number } {
    const ready = this.all().filter(({ outcome }) => outcome?.ready === true).length
    return { ready, other: this.all().length - ready }
  }

  /** Removes a release of which nothing is left. */
  drop(name: string): void {
    this.#byName.delete(name)
    this.#sorted = undefined
    this.#forget(name, () => true)
  }

  /**
   * Remembers whose object it is: watch events name only the object. One that two releases keep, as it moves between them, is the new one's as
   * soon as the old one lets go, and never the old one's again.
   */
  index(runtime: ReleaseRuntime, letsGo: (holder: string, key: string) => boolean = () => false): void {
    const { name, tracked, hookJobs } = runtime
    const keys = [...tracked.keys(), ...hookJobs]
    const kept = new Set(keys)
    this.#forget(name, (key) => !kept.has(key))
    for (const key of keys) {
      const keeper = this.ownerOf(key)
      if (keeper === undefined || keeper === runtime || !keeper.tracked.has(key) || letsGo(keeper.name, key)) this.#byObject.set(key, name)
    }
    this.#objects.set(name, keys)
  }

  /** What a release does not keep any more is another's that keeps it, or nobody's. */
  #forget(name: string, lost: (key: string) => boolean): void {
    for (const key of this.#objects.get(name) ?? []) {
      if (this.#byObject.get(key) !== name || !lost(key)) continue
      const heir = this.all().find((other) => other.name !== name && other.tracked.has(key))
      if (heir === undefined) this.#byObject.delete(key)
      else this.#byObject.set(key, heir.name)
    }
    this.#objects.delete(name)
  }

  /** The release that keeps an object. */
  ownerOf(key: string): ReleaseRuntime | undefined {
    const name = this.#byObject.get(key)
    return name === undefined ? undefined : this.#byName.get(name)
  }

  /** How an object of some release is, by the rules of its bundle too. */
  judge(object: KubeObject): Health {
    return health(object, this.get(object.metadata.labels?.[releaseLabel] ?? '')?.health)
  }

  /** What stands for all rules that objects of a kind (`Kind.group`) are judged by. */
  rulesOf(kind: string): string {
    return this.all()
      .flatMap(({ name, health: rules }) => (rules.textOf(kind) === '' ? [] : [`${name} ${rules.textOf(kind)}`]))
      .join('\n')
  }

  /** Takes over what a Release object says of what is installed: after a restart, before anything else. */
  remember(release: Release): ReleaseRuntime {
    const runtime = this.of(release.metadata.name)
    const { spec, status } = release
    // What was written down before it was made may have been made, unless the status speaks of it already.
    const planned = spec.content !== status?.appliedContent ? expandPlanned(spec.planned ?? []) : []
    runtime.inventory = unionInventory(planned, status?.inventory ?? [])
    runtime.written = runtime.inventory
    runtime.announced = spec.content
    runtime.good = status?.lastGood
    runtime.trialBefore = status?.trial
    runtime.rollback = status?.rollback
    runtime.waitingFor = status?.waitingFor
    runtime.breakGlass = status?.breakGlass
    runtime.hooks = status?.hooks
    if (status?.drift !== undefined) runtime.drift = tallyOf(status.drift)
    runtime.history = status?.history ?? []
    runtime.reconciledAt = status?.reconciledAt
    runtime.site = spec.site
    if (status?.appliedDigest !== undefined && status.appliedVersion !== undefined) {
      runtime.remembered = {
        digest: status.appliedDigest,
        version: status.appliedVersion,
        content: spec.content === status.appliedContent ? status.appliedContent : undefined,
        signedBy: status.signedBy ?? [],
      }
      runtime.customizations = status.customizations ?? []
    }
    return runtime
  }
}
