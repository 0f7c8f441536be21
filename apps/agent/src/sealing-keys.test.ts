import { KubeError, type KubeObject } from '@muster/kube'
import { readPublicKey, seal } from '@muster/seal'
import type { ChannelContent } from '@muster/trust'
import { describe, expect, it } from 'vitest'
import { SealingKeys, type SealingSecrets } from './sealing-keys.ts'

const day = 86_400_000
const never = new AbortController().signal

/** The one Secret of an API server, with its versions. */
class Secrets implements SealingSecrets {
  live: KubeObject | undefined
  published: KubeObject | undefined
  writes = 0

  async find(): Promise<KubeObject | undefined> {
    return structuredClone(this.live)
  }

  async create(object: KubeObject): Promise<KubeObject> {
    if (this.live !== undefined) throw new KubeError('AlreadyExists', 'it is there')
    return this.#write(object)
  }

  async apply(object: KubeObject): Promise<KubeObject> {
    this.published = object
    return object
  }

  async replace(object: KubeObject): Promise<KubeObject> {
    if (object.metadata.resourceVersion !== this.live?.metadata.resourceVersion) throw new KubeError('Conflict', 'it changed')
    return this.#write(object)
  }

  #write(object: KubeObject): KubeObject {
    this.writes += 1
    this.live = structuredClone({ ...object, metadata: { ...object.metadata, resourceVersion: String(this.writes) } })
    return this.live
  }
}

/** Keys over a Secret, kept as an agent does, at a time that the test sets. */
function start(secrets = new Secrets(), cluster = 'alpha') {
  const state: { now: Date; content?: ChannelContent; messages: string[] } = { now: new Date('2030-01-01T00:00:00Z'), messages: [] }
  const log = (fields: object, message: string) => state.messages.push(JSON.stringify(fields) + message)
  let slept: (() => void) | undefined
  let arrived = Promise.withResolvers<void>()
  const keys = new SealingKeys({
    api: secrets,
    namespace: 'system',
    cluster,
    clock: {
      now: () => state.now,
      monotonicMs: () => 0,
      random: () => 0,
      sleep: (_ms, signal) =>
        new Promise((resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
          slept = resolve
          arrived.resolve()
        }),
    },
    logger: { debug: log, info: log, warn: log, error: log },
    content: () => state.content,
    changed: () => {},
  })
  const stop = new AbortController()
  const running = keys.run(stop.signal)
  /** One more round, to its end. */
  const round = async () => {
    await arrived.promise
    arrived = Promise.withResolvers()
    slept?.()
    await arrived.promise
  }
  const end = async () => {
    stop.abort()
    await running
  }
  return { keys, secrets, state, round, end, first: () => arrived.promise }
}

function channel(sealed: Record<string, string>, more: Partial<ChannelContent> = {}): ChannelContent {
  const bundle = { repository: 'bundles/shop', version: '1', digest: `sha256:${'1'.repeat(64)}`, size: 1 }
  return {
    cluster: 'alpha',
    generation: 1,
    issuedAt: '2030-01-01T00:00:00Z',
    expiresAt: '2030-02-01T00:00:00Z',
    releases: [{ name: 'shop', bundle, settings: { sealed } }],
    publishers: [],
    prune: { maxShare: 1 },
    ...more,
  }
}

describe('sealing keys of a cluster', () => {
  it('are made once, stored before they are told, and the same after a restart', async () => {
    const one = start()
    expect(one.keys.report).toBeUndefined()
    await one.first()
    const told = one.keys.report
    expect(await readPublicKey(told?.key)).toEqual(told?.key)
    // For whoever seals at the site, without a hub.
    expect(one.secrets.published?.['data']).toEqual({ 'key.jwk': JSON.stringify(told?.key) })
    await one.end()
    const two = start(one.secrets)
    await two.first()
    expect(two.keys.report).toEqual(told)
    expect(one.secrets.writes).toBe(1)
    await two.end()
  })

  it('leave the private half in the Secret: neither the report nor a line of the log holds it', async () => {
    const { keys, secrets, state, first, end } = start()
    await first()
    const [entry = ''] = Object.values(secrets.live?.['data'] as Record<string, string>)
    const { d } = (JSON.parse(Buffer.from(entry, 'base64').toString()) as { key: { d: string } }).key
    expect(JSON.stringify(keys.report)).not.toContain(d)
    expect(state.messages.join()).not.toContain(d)
    await end()
  })

  it('that two agents make in the same moment are those of one of them', async () => {
    const secrets = new Secrets()
    const [one, two] = [start(secrets), start(secrets)]
    await Promise.all([one.first(), two.first()])
    await Promise.all([one.round(), two.round()])
    expect(one.keys.report?.key).toEqual(two.keys.report?.key)
    expect(Object.keys(secrets.live?.['data'] as object)).toHaveLength(1)
    await Promise.all([one.end(), two.end()])
  })

  it('are replaced when the channel asks; what was sealed to the old one is read, and sealed anew', async () => {
    const { keys, state, round, end, first } = start()
    await first()
    const old = await readPublicKey(keys.report?.key)
    const place = { cluster: 'alpha', release: 'shop', parameter: 'password' }
    const sealed = await seal('s3cret', place, old)
    state.content = channel({ password: sealed })
    await round()
    expect(keys.report).toEqual({ key: old, createdAt: '2030-01-01T00:00:00.000Z' })
    // By a hub's clock that is an hour ahead, once and not at every look.
    state.content = channel({ password: sealed }, { newSealingKeyAfter: '2030-01-01T01:00:00Z' })
    await round()
    const now = keys.report
    await round()
    expect(keys.report).toEqual(now)
    expect(now?.key.kid).not.toBe(old.kid)
    expect(now?.retired).toEqual([old.kid])
    expect(await keys.unseal(sealed, 'shop', 'password', never)).toBe('s3cret')
    const [anew] = now?.resealed ?? []
    expect(anew).toMatchObject({ release: 'shop', parameter: 'password' })
    expect(await keys.unseal(anew?.value ?? '', 'shop', 'password', never)).toBe('s3cret')
    // Taken over into the placement, it is not offered any more.
    state.content = channel({ password: anew?.value ?? '' }, { newSealingKeyAfter: '2030-01-01T01:00:00Z' })
    await round()
    expect(keys.report?.resealed).toBeUndefined()
    expect(state.messages.join()).not.toContain('s3cret')
    await end()
  })

  it('are replaced after a year; an old one goes a month later, and never while something placed is sealed to it', async () => {
    const { keys, state, round, end, first } = start()
    await first()
    const old = await readPublicKey(keys.report?.key)
    const sealed = await seal('s3cret', { cluster: 'alpha', release: 'shop', parameter: 'password' }, old)
    state.content = channel({ password: sealed })
    state.now = new Date(state.now.getTime() + 365 * day)
    await round()
    expect(keys.report?.retired).toEqual([old.kid])
    state.now = new Date(state.now.getTime() + 100 * day)
    await round()
    expect(await keys.unseal(sealed, 'shop', 'password', never)).toBe('s3cret')
    // No channel that can be read is no statement about what is placed.
    const { content } = state
    delete state.content
    await round()
    expect(keys.report?.retired).toEqual([old.kid])
    state.content = { ...content, releases: [] } as ChannelContent
    await round()
    expect(keys.report?.retired).toBeUndefined()
    await expect(keys.unseal(sealed, 'shop', 'password', never)).rejects.toMatchObject({ code: 'UnknownKey' })
    await end()
  })

  it('are written again where somebody deletes them while the agent runs', async () => {
    const { keys, secrets, round, end, first } = start()
    await first()
    const told = keys.report
    secrets.live = undefined
    await round()
    expect(keys.report).toEqual(told)
    expect(secrets.live).toBeDefined()
    await end()
  })

  it('that are damaged are not replaced: that would lose what is sealed to them', async () => {
    const { secrets, first, end } = start()
    await first()
    await end()
    const [[name = ''] = []] = Object.entries(secrets.live?.['data'] as Record<string, string>)
    secrets.live = { ...secrets.live, data: { [name]: Buffer.from('{}').toString('base64') } } as unknown as KubeObject
    const again = start(secrets)
    await again.first()
    expect(again.keys.report).toBeUndefined()
    expect(again.state.messages.join()).toContain(`The entry ${name} of the sealing keys is damaged`)
    expect(secrets.writes).toBe(1)
    await again.end()
  })

  it('that were lost are named by what was sealed to them; restored, they are found without a restart', async () => {
    const lost = start()
    await lost.first()
    const sealed = await seal(
      's3cret',
      { cluster: 'alpha', release: 'shop', parameter: 'password' },
      await readPublicKey(lost.keys.report?.key),
    )
    const backup = lost.secrets.live
    await lost.end()
    const born = start()
    await born.first()
    const kid = lost.keys.report?.key.kid ?? ''
    await expect(born.keys.unseal(sealed, 'shop', 'password', never)).rejects.toMatchObject({
      code: 'UnknownKey',
      message: expect.stringContaining(kid) as string,
    })
    const present = born.secrets.live as KubeObject
    born.secrets.live = { ...present, data: { ...(present['data'] as object), ...(backup?.['data'] as object) } } as KubeObject
    expect(await born.keys.unseal(sealed, 'shop', 'password', never)).toBe('s3cret')
    await born.end()
  })

  it('of one cluster do not read what is for another, even if they are the same keys', async () => {
    const alpha = start()
    await alpha.first()
    const sealed = await seal(
      's3cret',
      { cluster: 'alpha', release: 'shop', parameter: 'password' },
      await readPublicKey(alpha.keys.report?.key),
    )
    const bravo = start(alpha.secrets, 'bravo')
    await bravo.first()
    await expect(bravo.keys.unseal(sealed, 'shop', 'password', never)).rejects.toMatchObject({ code: 'Misplaced' })
    await Promise.all([alpha.end(), bravo.end()])
  })
})
