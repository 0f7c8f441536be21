import { Informer, type InformerEvent, type KubeClient, type KubeObject } from '@muster/kube'
import {
  additionsByOthers,
  fieldManager,
  groupKind,
  type Health,
  holderOf,
  isProtected,
  objectKey,
  ownedValuesHash,
  ownershipHash,
  refOf,
  releaseLabel,
  type Sighting,
} from '@muster/reconcile'
import { codeOf, messageOf } from './error.ts'
import type { Logger } from './logger.ts'

/** What is kept in memory of an object: enough to judge its health and its drift, and nothing else. */
export interface Observed {
  readonly key: string
  readonly uid: string
  readonly generation: number | undefined
  readonly ownership: string
  /** What stands for the values of what the agent owns; see `ownedValuesHash`. */
  readonly values: string
  /** The release that applied it. */
  readonly holder: string | undefined
  /** What others added where only the release has a say; empty where they did not. */
  readonly added: string
  readonly health: Health
}

/** What was said of an object when it was last looked at closely. */
interface Judged {
  readonly ownership?: string
  /** Not known after a restart, until the object was seen. */
  readonly values?: string
  readonly judged?: string
}

/** Whether there is nothing new about an object: it is as applied, or as it was when it was judged. */
export function isAsJudged({ ownership, values, judged }: Judged, observed: Pick<Observed, 'ownership' | 'values' | 'added'>): boolean {
  const sameValues = values === undefined || values === observed.values
  const asApplied = observed.ownership === ownership && sameValues && observed.added === ''
  return asApplied || judged === judgement(observed)
}

/** What stands for an object as it was judged: for `isAsJudged` of what is seen later. */
export function judgementOf(object: KubeObject): string {
  return judgement({
    ownership: ownershipHash(object, fieldManager),
    values: ownedValuesHash(object, fieldManager),
    added: addedTo(object),
  })
}

function judgement({ ownership, values, added }: Pick<Observed, 'ownership' | 'values' | 'added'>): string {
  return `${ownership} ${values} ${added}`
}

function addedTo(object: KubeObject): string {
  return additionsByOthers(object, fieldManager)
    .map(({ path, owner }) => `${path.join('/')} ${owner.manager} ${owner.time ?? ''}`)
    .join(' ')
}

/** Judges an object as it comes from the API server, with its managedFields, so that they need not be kept. */
export function observe(object: KubeObject, judge: (object: KubeObject) => Health): Observed {
  return {
    key: objectKey(refOf(object)),
    uid: object.metadata.uid ?? '',
    generation: object.metadata.generation,
    ownership: ownershipHash(object, fieldManager),
    values: ownedValuesHash(object, fieldManager),
    holder: holderOf(object),
    added: addedTo(object),
    health: judge(object),
  }
}

interface Kind {
  readonly apiVersion: string
  readonly kind: string
}

interface Running {
  readonly informer: Informer<Observed>
  readonly stop: AbortController
  readonly end: Promise<void>
  /** What its objects were judged by. */
  readonly rules: string
}

/** By what objects are judged, beside what holds for all. */
export interface Judges {
  judge(object: KubeObject): Health
  /** What stands for the rules for a kind: with others, all its objects are judged anew. */
  rulesOf(kind: string): string
}

/** Of these kinds all objects are watched, not only those of releases: whether one is there is asked before every first apply. */
const whole: readonly Kind[] = [{ apiVersion: 'v1', kind: 'Namespace' }]
const wholeKinds: ReadonlySet<string> = new Set(whole.map(groupKind))

/** How long what a watch holds is waited for, in milliseconds, before it is done without. */
const readMs = 5_000

/** Watches the kinds of which releases hold objects, and of these only the objects with the label of a release. */
export class Watches {
  readonly name = 'watches'
  readonly #client: KubeClient
  readonly #changed: (event: InformerEvent<Observed>) => void
  readonly #logger: Logger
  readonly #judges: Judges
  readonly #running = new Map<string, Running>()
  #stopped = false

  constructor(client: KubeClient, changed: (event: InformerEvent<Observed>) => void, judges: Judges, logger: Logger) {
    this.#client = client
    this.#changed = changed
    this.#judges = judges
    this.#logger = logger
  }

  /** Watches exactly the kinds of these from now on, in all namespaces, also where one object is given for its kind. */
  ensure(kinds: readonly Kind[]): void {
    const wanted = new Map([...whole, ...kinds].map((kind) => [groupKind(kind), kind]))
    for (const [name, running] of this.#running) {
      if (wanted.has(name) && running.rules === this.#judges.rulesOf(name)) continue
      running.stop.abort()
      this.#running.delete(name)
    }
    if (this.#stopped) return
    for (const [name, kind] of wanted) if (!this.#running.has(name)) this.#running.set(name, this.#start(kind))
  }

  /** Watches the kinds of these too. */
  add(kinds: readonly Kind[]): void {
    if (this.#stopped) return
    for (const kind of [...whole, ...kinds]) {
      const name = groupKind(kind)
      if (!this.#running.has(name)) this.#running.set(name, this.#start(kind))
    }
  }

  /** An object as last seen; `'unknown'` while its kind has not been listed yet. */
  get(ref: {
    readonly apiVersion: string
    readonly kind: string
    readonly namespace?: string | undefined
    readonly name: string
  }): Observed | undefined | 'unknown' {
    const informer = this.#running.get(groupKind(ref))?.informer
    if (informer === undefined || !informer.synced) return 'unknown'
    return informer.get(ref.namespace === undefined ? ref.name : `${ref.namespace}/${ref.name}`)
  }

  /** What is known of an object without asking: of most kinds only whether it is a release's. */
  sighting(ref: Parameters<Watches['get']>[0]): Sighting {
    const observed = this.get(ref)
    if (observed === undefined && !wholeKinds.has(groupKind(ref)) && isProtected(ref)) return 'unknown'
    return observed
  }

  /** Waits until the kinds of these objects were read, but not for long. */
  async read(kinds: readonly Kind[], signal: AbortSignal): Promise<void> {
    const names = new Set(kinds.map(groupKind))
    const waiting = AbortSignal.any([signal, AbortSignal.timeout(readMs)])
    const reading = [...names].flatMap((name) => this.#running.get(name)?.informer.whenSynced(waiting) ?? [])
    await Promise.allSettled(reading)
    signal.throwIfAborted()
  }

  /** Runs until stopped; then all watches end. */
  async run(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    this.#stopped = true
    const ends = [...this.#running.values()].map((running) => {
      running.stop.abort()
      return running.end
    })
    await Promise.all(ends)
  }

  #start({ apiVersion, kind }: Kind): Running {
    const stop = new AbortController()
    const rules = this.#judges.rulesOf(groupKind({ apiVersion, kind }))
    const informer = new Informer<Observed>(this.#client, {
      apiVersion,
      kind,
      labelSelector: wholeKinds.has(groupKind({ apiVersion, kind })) ? undefined : releaseLabel,
      project: (object) => observe(object, (one) => this.#judges.judge(one)),
      onError: (error) => this.#logger.debug({ kind, code: codeOf(error), reason: messageOf(error) }, 'a watch goes on after a failure'),
    })
    informer.onChange(this.#changed)
    const end = informer
      .run(stop.signal)
      .catch((error: unknown) => this.#logger.error({ kind, code: codeOf(error), reason: messageOf(error) }, 'a watch ended'))
    return { informer, stop, end, rules }
  }
}
