import { Informer, isKubeError, type KubeClient, type KubeObject, type Runnable } from '@muster/kube'
import { fieldManager, guardObjects, guardPartLabel, objectKey, ownershipHash, refOf } from '@muster/reconcile'
import type { ChannelContent } from '@muster/trust'
import type { Clock } from '../clock.ts'
import { codeOf, messageOf } from '../error.ts'
import type { Logger } from '../logger.ts'
import type { Releases } from '../release/releases.ts'
import { desiredGuard } from './desired.ts'

export interface GuardKeeperOptions {
  readonly client: KubeClient
  readonly cluster: string
  readonly namespace: string
  readonly releases: Releases
  /** What the channel says; nothing before one was verified. */
  readonly wanted: () => Pick<ChannelContent, 'releases'> | undefined
  readonly clock: Clock
  readonly logger: Logger
}

/** What the guard is made of that is watched. */
interface Part {
  readonly name: string
  readonly ownership: string
  readonly data: Readonly<Record<string, string>>
}

const kinds = [
  { apiVersion: 'v1', kind: 'ConfigMap' },
  { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingAdmissionPolicy' },
  { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingAdmissionPolicyBinding' },
] as const
/** Changes come in bursts; they are written together after this long, in milliseconds. */
const gatherMs = 200
const againMs = 5_000
const slowAgainMs = 60_000

/**
 * Keeps the write guard of this cluster in place: its policy, its bindings, its parameters. Written when releases come or go or change
 * their settings, all together, never once for each; put back when somebody changes them, as policies cannot guard policies.
 */
export class GuardKeeper implements Runnable {
  readonly name = 'guard'
  readonly #options: GuardKeeperOptions
  readonly #informers: readonly Informer<Part>[]
  #wake = new AbortController()
  #user: string | undefined
  /** What was applied last: its text, and what the API server made of it. */
  readonly #applied = new Map<string, { readonly text: string; readonly ownership: string }>()

  constructor(options: GuardKeeperOptions) {
    this.#options = options
    this.#informers = kinds.map(
      (kind) =>
        new Informer<Part>(options.client, {
          ...kind,
          ...(kind.kind === 'ConfigMap' ? { namespace: options.namespace } : {}),
          labelSelector: `${guardPartLabel}=${options.cluster}`,
          project: partOf,
          onError: (error) =>
            options.logger.debug({ ...kind, code: codeOf(error), reason: messageOf(error) }, 'a watch of the guard goes on'),
        }),
    )
    for (const informer of this.#informers) informer.onChange(() => this.changed())
  }

  /** Something changed that the guard may have to follow. */
  changed(): void {
    if (!this.#wake.signal.aborted) this.#wake.abort()
  }

  async run(signal: AbortSignal): Promise<void> {
    const watching = Promise.all(this.#informers.map((informer) => informer.run(signal)))
    const { clock, logger } = this.#options
    while (!signal.aborted) {
      let wait = slowAgainMs
      this.#wake = new AbortController()
      try {
        await this.#sync(signal)
      } catch (error) {
        if (signal.aborted) break
        // A cluster without admission policies has no guard: there drift is corrected.
        wait = isKubeError(error, 'UnknownKind') ? slowAgainMs : againMs
        logger.warn(
          { code: codeOf(error), reason: messageOf(error) },
          'the write guard could not be brought up to date; drift is corrected all the same',
        )
      }
      await clock.sleep(wait, AbortSignal.any([signal, this.#wake.signal])).catch(() => undefined)
      await clock.sleep(gatherMs, signal).catch(() => undefined)
    }
    await watching
  }

  async #sync(signal: AbortSignal): Promise<void> {
    const { client, cluster, namespace, releases, wanted, clock, logger } = this.#options
    const content = wanted()
    // Before a channel was verified nothing is known, and what is there stays.
    if (content === undefined || !this.#informers.every((informer) => informer.synced)) return
    const desired = desiredGuard(content, releases.all(), this.#presentScales(), clock.now().getTime())
    if (desired === undefined) return this.#remove(signal)
    this.#user ??= await ownAccount(client, signal)
    for (const object of guardObjects({ cluster, namespace, user: this.#user, ...desired })) {
      const key = objectKey(refOf(object))
      const text = JSON.stringify(object)
      const known = this.#applied.get(key)
      const seen = this.#find(object)
      if (known?.text === text && seen !== undefined && seen.ownership === known.ownership) continue
      if (known?.text === text) logger.warn({ object: key }, 'somebody changed the write guard; it is put back')
      const applied = await client.apply(object, { fieldManager, force: true, signal })
      this.#applied.set(key, { text, ownership: ownershipHash(applied, fieldManager) })
    }
  }

  /** The bindings go first: a policy without them refuses nothing. */
  async #remove(signal: AbortSignal): Promise<void> {
    const { client, namespace, logger } = this.#options
    for (const [at, informer] of [...this.#informers.entries()].reverse()) {
      const kind = kinds[at]
      if (kind === undefined) continue
      for (const { name } of informer.list()) {
        await client.delete({ ...kind, name, ...(kind.kind === 'ConfigMap' ? { namespace } : {}) }, { signal })
        logger.info({ kind: kind.kind, name }, 'took a part of the write guard away: no release asks for it')
      }
    }
    this.#applied.clear()
  }

  #find({ kind, metadata }: KubeObject): Part | undefined {
    const at = kinds.findIndex((one) => one.kind === kind)
    return this.#informers[at]?.get(metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`)
  }

  #presentScales(): ReadonlyMap<string, string> {
    const data = this.#informers[0]?.get(`${this.#options.namespace}/muster-guard-scale`)?.data ?? {}
    return new Map(
      Object.entries(data).flatMap(([key, release]) => (key.startsWith('scale.') ? [[key.slice('scale.'.length), release]] : [])),
    )
  }
}

function partOf(object: KubeObject): Part {
  return {
    name: object.metadata.name,
    ownership: ownershipHash(object, fieldManager),
    data: (object['data'] as Record<string, string> | undefined) ?? {},
  }
}

/** As whom the API server sees us. */
async function ownAccount(client: KubeClient, signal: AbortSignal): Promise<string> {
  const review = (await client.raw('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
    signal,
  })) as { status?: { userInfo?: { username?: unknown } } }
  const user = review.status?.userInfo?.username
  if (typeof user !== 'string' || user === '') throw new Error('The API server does not say by which account the agent writes.')
  return user
}
