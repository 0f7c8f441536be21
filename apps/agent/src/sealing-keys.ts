import { createHash } from 'node:crypto'
import type { ClusterSealing } from '@muster/api'
import type { KubeObject, Ref } from '@muster/kube'
import {
  createSealingKey,
  formatKeyring,
  type Keyring,
  newKeyDue,
  type Place,
  parseKeyring,
  publicHalf,
  readSealed,
  SealError,
  seal,
  unseal,
  withNewKey,
  withoutUnused,
} from '@muster/seal'
import type { ChannelContent } from '@muster/trust'
import type { Clock } from './clock.ts'
import { codeOf, messageOf } from './error.ts'
import type { Logger } from './logger.ts'

const secretName = 'muster-sealing-keys'
/** The public key for whoever seals at the site, without a hub. */
const publicName = 'muster-sealing-key'
const day = 86_400_000
/** A key is replaced after this long, in milliseconds. */
const maxAgeMs = 365 * day
/** A retired key is kept for so long at least, in milliseconds, for what is sealed to it and not placed yet. */
const graceMs = 30 * day
/** The Secret is looked at this often, in milliseconds. */
const checkMs = 60_000
const failedAgainMs = 5_000
/** Characters of values sealed anew that one report carries; the others come when these were taken. */
const maxResealedLength = 262_144
const maxResealed = 256

/** What is asked of a Kubernetes client here; `KubeClient` satisfies it. */
export interface SealingSecrets {
  find(ref: Ref, options: { signal: AbortSignal }): Promise<KubeObject | undefined>
  create(object: KubeObject, options: { signal: AbortSignal; fieldManager: string }): Promise<KubeObject>
  apply(object: KubeObject, options: { signal: AbortSignal; fieldManager: string; force: boolean }): Promise<KubeObject>
  /** Throws `Conflict` where it was changed since it was read. */
  replace(object: KubeObject, options: { signal: AbortSignal; fieldManager: string }): Promise<KubeObject>
}

export interface SealingKeysOptions {
  readonly api: SealingSecrets
  readonly namespace: string
  readonly cluster: string
  readonly clock: Clock
  readonly logger: Logger
  /** The channel in force, where there is one. */
  readonly content: () => ChannelContent | undefined
  /** Told when there is something new to report. */
  readonly changed: () => void
}

/**
 * The sealing keys of this cluster. They are made here and kept in Secret `muster-sealing-keys`; only their public halves leave. A key is
 * replaced after a year, or when the channel asks for it; the old one stays as long as something that is placed here is sealed to it.
 */
export class SealingKeys {
  readonly name = 'sealing keys'
  readonly #options: SealingKeysOptions
  #keyring: Keyring = []
  #loading: Promise<void> | undefined
  /** Name of the key that was last made public. */
  #told: string | undefined
  #wake = new AbortController()
  #resealed: ClusterSealing['resealed'] = []
  /** What a value that was sealed to a retired key became, by its digest. */
  #anew: ReadonlyMap<string, string> = new Map()

  constructor(options: SealingKeysOptions) {
    this.#options = options
  }

  /** What the hub is told; nothing before the first key is stored. */
  get report(): ClusterSealing | undefined {
    const [present, ...retired] = this.#keyring
    if (present === undefined) return undefined
    return {
      key: publicHalf(present.key),
      createdAt: present.createdAt,
      ...(retired.length === 0 ? {} : { retired: retired.slice(0, 64).map(({ key }) => key.kid) }),
      ...(this.#resealed?.length ? { resealed: this.#resealed } : {}),
    }
  }

  /** Another channel is in force: it may ask for a new key, or hold values sealed to an old one. */
  lookAgain(): void {
    this.#wake.abort()
  }

  /** @throws SealError; KubeError where the keys cannot be read */
  async unseal(sealed: string, release: string, parameter: string, signal: AbortSignal): Promise<string> {
    const place: Place = { cluster: this.#options.cluster, release, parameter }
    const keys = () => this.#keyring.map(({ key }) => key)
    if (this.#keyring.length === 0) await this.#load(signal)
    try {
      return await unseal(sealed, place, keys())
    } catch (error) {
      if (!(error instanceof SealError && error.code === 'UnknownKey')) throw error
      // Somebody may have restored the Secret since it was read.
      await this.#load(signal)
      return await unseal(sealed, place, keys())
    }
  }

  /** Keeps the keys until stopped. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options
    while (!signal.aborted) {
      this.#wake = new AbortController()
      let wait = checkMs
      try {
        await this.#load(signal)
        await this.#resealOld()
      } catch (error) {
        if (signal.aborted) return
        logger.warn({ code: codeOf(error), reason: messageOf(error) }, 'the sealing keys cannot be kept now; it is tried again')
        wait = failedAgainMs
      }
      await clock.sleep(wait, AbortSignal.any([signal, this.#wake.signal])).catch(() => undefined)
    }
  }

  /** One at a time: two that make a key each would lose one. */
  async #load(signal: AbortSignal): Promise<void> {
    this.#loading ??= this.#bring(signal).finally(() => {
      this.#loading = undefined
    })
    await this.#loading
  }

  async #bring(signal: AbortSignal): Promise<void> {
    const { api, namespace, clock, content, logger, changed } = this.#options
    const stored = await api.find({ apiVersion: 'v1', kind: 'Secret', namespace, name: secretName }, { signal })
    const known = stored === undefined ? this.#keyring : await parseKeyring(decoded(stored))
    if (stored === undefined && known.length > 0) logger.warn({}, `Secret ${namespace}/${secretName} was deleted; it is written again`)
    const channel = content()
    const askedAt = channel?.newSealingKeyAfter
    const now = clock.now()
    let keyring = known
    if (newKeyDue(known, { now, maxAgeMs, askedAt })) {
      // By a hub's clock that is ahead the new key would be due again at once.
      const made = new Date(Math.max(now.getTime(), askedAt === undefined ? 0 : Date.parse(askedAt)))
      keyring = withNewKey(known, await createSealingKey(), made)
    }
    // What is placed here is only known by a channel; without one nothing is dropped.
    if (channel !== undefined) keyring = withoutUnused(keyring, { now, graceMs, used: keysUsedBy(channel) })
    if (stored === undefined || keyring !== known) await this.#store(stored, keyring, known, signal)
    this.#keyring = keyring
    const present = keyring[0]?.key.kid
    if (present !== this.#told) {
      await this.#publish(signal)
      this.#told = present
      logger.info({ key: present, retired: keyring.length - 1 }, 'values for this cluster are sealed to this key')
      this.#anew = new Map()
      changed()
    }
  }

  async #publish(signal: AbortSignal): Promise<void> {
    const { api, namespace } = this.#options
    const text = JSON.stringify(this.report?.key)
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: publicName, namespace }, data: { 'key.jwk': text } }
    await api.apply(object, { signal, fieldManager: 'muster-agent', force: true })
  }

  async #store(stored: KubeObject | undefined, keyring: Keyring, known: Keyring, signal: AbortSignal): Promise<void> {
    const { api, namespace } = this.#options
    if (stored !== undefined && sameKeys(keyring, known)) return
    const data = Object.fromEntries(
      Object.entries(formatKeyring(keyring)).map(([name, text]) => [name, Buffer.from(text).toString('base64')]),
    )
    const secret: KubeObject = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name: secretName,
        namespace,
        ...(stored?.metadata.resourceVersion === undefined ? {} : { resourceVersion: stored.metadata.resourceVersion }),
      },
      type: 'Opaque',
      data,
    }
    const options = { signal, fieldManager: 'muster-agent' }
    // As it was read, or not there: never over what somebody else wrote in between.
    await (stored === undefined ? api.create(secret, options) : api.replace(secret, options))
  }

  /** What is placed here and sealed to a retired key is sealed anew, for whoever takes it over into the placement. */
  async #resealOld(): Promise<void> {
    const { content, cluster, changed, logger } = this.#options
    const present = this.#keyring[0]
    const resealed: NonNullable<ClusterSealing['resealed']> = []
    const anew = new Map<string, string>()
    let room = maxResealedLength
    for (const { release, parameter, sealed } of sealedValues(content())) {
      const was = `sha256:${createHash('sha256').update(sealed).digest('hex')}`
      try {
        const { kid } = readSealed(sealed)
        if (present === undefined || kid === present.key.kid || !this.#keyring.some(({ key }) => key.kid === kid)) continue
        let value = this.#anew.get(was)
        if (value === undefined) {
          const place = { cluster, release, parameter }
          const text = await unseal(
            sealed,
            place,
            this.#keyring.map(({ key }) => key),
          )
          value = await seal(text, place, publicHalf(present.key))
        }
        anew.set(was, value)
        room -= value.length
        if (room < 0 || resealed.length >= maxResealed) break
        resealed.push({ release, parameter, was, value })
      } catch (error) {
        // The release that it is for says so.
        logger.debug({ release, parameter, code: codeOf(error) }, 'a value cannot be sealed anew')
      }
    }
    const told = (values: ClusterSealing['resealed']) => values?.map(({ was }) => was).join()
    const before = told(this.#resealed)
    this.#resealed = resealed
    this.#anew = anew
    if (told(resealed) !== before) changed()
  }
}

function* sealedValues(content: ChannelContent | undefined): Generator<{ release: string; parameter: string; sealed: string }> {
  for (const { name, settings } of content?.releases ?? [])
    for (const [parameter, sealed] of Object.entries(settings?.sealed ?? {})) yield { release: name, parameter, sealed }
}

function keysUsedBy(content: ChannelContent): Set<string> {
  const used = new Set<string>()
  for (const { sealed } of sealedValues(content)) {
    try {
      used.add(readSealed(sealed).kid)
    } catch {
      // It names no key.
    }
  }
  return used
}

function sameKeys(one: Keyring, other: Keyring): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

function decoded(secret: KubeObject): Record<string, string> {
  const data = (secret['data'] ?? {}) as Record<string, string>
  return Object.fromEntries(Object.entries(data).map(([name, value]) => [name, Buffer.from(value, 'base64').toString('utf8')]))
}
