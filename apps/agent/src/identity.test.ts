import type { KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Clock } from './clock.ts'
import { HubClient } from './hub-client.ts'
import { type Identity, keepIdentity, obtainIdentity, readBootstrap, renewalDue, type SecretStore } from './identity.ts'
import { TestFleet } from './testing/fleet.ts'

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const never = new AbortController().signal
let now = new Date()
let sleeps = 0
const clock: Clock = {
  now: () => now,
  monotonicMs: () => 0,
  random: () => 0.5,
  sleep: async (_ms, signal) => {
    sleeps += 1
    signal.throwIfAborted()
  },
}

/** Secrets in memory. */
function secrets(initial: Record<string, Record<string, string>>): { store: SecretStore; data: Map<string, KubeObject> } {
  const encode = (data: Record<string, string>) =>
    Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]))
  const data = new Map(
    Object.entries(initial).map(([name, values]): [string, KubeObject] => [
      name,
      { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data: encode(values) },
    ]),
  )
  return {
    data,
    store: {
      find: async ({ name }) => data.get(name),
      apply: async (object) => {
        data.set(object.metadata.name, object)
        return object
      },
    },
  }
}

let fleet: TestFleet

beforeAll(async () => {
  fleet = await TestFleet.start('alpha')
})

afterAll(async () => {
  await fleet.close()
})

describe('an identity', () => {
  const bootstrap = () => ({
    'hub-url': fleet.hubUrl,
    'hub-ca.crt': fleet.hubCa,
    cluster: 'alpha',
    token: fleet.token,
    'root.json': fleet.root,
  })

  it('is had with the one-time token, stored, used again after a restart, and renewed with a new key in time', async () => {
    const { store, data } = secrets({ 'muster-agent-bootstrap': bootstrap() })
    const options = { api: store, namespace: 'muster-system', agentVersion: '0.1.0', clock, logger: quiet }
    const read = await readBootstrap(options, never)
    const first = await obtainIdentity(options, read, never)
    expect(data.has('muster-agent-identity')).toBe(true)
    expect(await obtainIdentity(options, read, never)).toEqual(first)
    await new HubClient({ url: first.hubUrl, ca: first.hubCa }, 'test').report(
      {
        cluster: 'alpha',
        generation: 0,
        observedAt: now.toISOString(),
        agentVersion: '0.1.0',
        kubernetesVersion: 'v1',
        nodes: [],
        releases: [],
      },
      first,
      never,
    )
    expect(renewalDue(first, now)).toBe(false)
    now = new Date(now.getTime() + 17 * 3_600_000)
    expect(renewalDue(first, now)).toBe(true)
    const stop = new AbortController()
    const renewed = Promise.withResolvers<typeof first>()
    const keeping = keepIdentity(
      options,
      first,
      (identity) => {
        renewed.resolve(identity)
        stop.abort()
      },
      stop.signal,
    )
    const second = await renewed.promise
    await keeping
    expect(second.privateKey).not.toBe(first.privateKey)
    expect(second.certificate).not.toBe(first.certificate)
    expect(await obtainIdentity(options, read, never)).toEqual(second)
  })

  it('is not had with a token that was used before: it is asked for again, until someone brings a new one', async () => {
    const { store } = secrets({ 'muster-agent-bootstrap': bootstrap() })
    const stop = new AbortController()
    const patient: Clock = {
      ...clock,
      sleep: async (ms, signal) => {
        if (sleeps++ > 3) stop.abort(new Error('enough'))
        await clock.sleep(ms, signal)
      },
    }
    const options = { api: store, namespace: 'muster-system', agentVersion: '0.1.0', clock: patient, logger: quiet }
    const read = await readBootstrap(options, never)
    await expect(obtainIdentity(options, read, stop.signal)).rejects.toThrow('enough')
  })

  /** Keeps an identity until it was renewed so many times. */
  async function kept(options: Parameters<typeof keepIdentity>[0], first: Identity, times: number): Promise<Identity> {
    const stop = new AbortController()
    let last = first
    let renewals = 0
    await keepIdentity(
      options,
      first,
      (identity) => {
        last = identity
        renewals += 1
        if (renewals === times) stop.abort()
      },
      stop.signal,
    )
    return last
  }

  async function member(): Promise<{ hub: TestFleet; options: Parameters<typeof keepIdentity>[0]; data: Map<string, KubeObject> }> {
    const hub = await TestFleet.start('alpha')
    const installed = { 'hub-url': hub.hubUrl, 'hub-ca.crt': hub.hubCa, cluster: 'alpha', token: hub.token, 'root.json': hub.root }
    const { store, data } = secrets({ 'muster-agent-bootstrap': installed })
    return { hub, data, options: { api: store, namespace: 'muster-system', agentVersion: '0.1.0', clock, logger: quiet } }
  }

  it('of a short life is renewed again and again, by itself', async () => {
    const { hub, options } = await member()
    hub.identityDays = 60 / 86_400
    now = new Date()
    const first = await obtainIdentity(options, await readBootstrap(options, never), never)
    const last = await kept(options, first, 3)
    expect(hub.issued).toBe(4)
    expect(last.certificate).not.toBe(first.certificate)
    await hub.close()
  })

  it('that has ended while the cluster was away is renewed without hands', async () => {
    const { hub, options } = await member()
    // Valid from five minutes ago until a minute ago.
    hub.identityDays = -60 / 86_400
    now = new Date()
    const ended = await obtainIdentity(options, await readBootstrap(options, never), never)
    hub.identityDays = 1
    const report = { cluster: 'alpha', generation: 0, observedAt: now.toISOString(), agentVersion: '0.1.0', kubernetesVersion: 'v1' }
    const client = new HubClient({ url: hub.hubUrl, ca: hub.hubCa }, 'test')
    const send = (identity: Identity) => client.report({ ...report, nodes: [], releases: [] }, identity, never)
    await expect(send(ended)).rejects.toMatchObject({ code: 'HubRefused', refusal: 'IdentityExpired' })
    await send(await kept(options, ended, 1))
    expect(hub.reports).toHaveLength(1)
    await hub.close()
  })

  it('of a cluster that has left is not renewed, and what runs goes on', async () => {
    const { hub, options, data } = await member()
    hub.identityDays = -60 / 86_400
    now = new Date()
    const ended = await obtainIdentity(options, await readBootstrap(options, never), never)
    hub.revoked = true
    const stop = new AbortController()
    const said: object[] = []
    const logger = {
      ...quiet,
      warn: (fields: object) => {
        said.push(fields)
        stop.abort()
      },
    }
    await keepIdentity({ ...options, logger }, ended, () => expect.unreachable(), stop.signal)
    expect(said).toEqual([{ code: 'HubRefused', reason: expect.stringContaining('IdentityRevoked') }])
    expect(data.has('muster-agent-identity')).toBe(true)
    await hub.close()
  })

  it('follows the hub to another authority: both are trusted while it changes', async () => {
    const { hub, options } = await member()
    hub.identityDays = 60 / 86_400
    now = new Date()
    const first = await obtainIdentity(options, await readBootstrap(options, never), never)
    const bundle = await hub.changeAuthority('both')
    const between = await kept(options, first, 1)
    expect(between.hubCa).toBe(bundle)
    const fresh = await hub.changeAuthority('new')
    const last = await kept(options, between, 1)
    expect(last.hubCa).toBe(fresh)
    // Who was away for the whole change cannot tell the new hub from another one.
    const away = new HubClient({ url: hub.hubUrl, ca: first.hubCa }, 'test')
    await expect(away.renew('alpha', '', first, never)).rejects.toMatchObject({ code: 'HubUnreachable' })
    await hub.close()
  })

  it('cannot be asked for without all that the install brings', async () => {
    const { token: _token, cluster: _cluster, ...incomplete } = bootstrap()
    const options = {
      api: secrets({ 'muster-agent-bootstrap': incomplete }).store,
      namespace: 'x',
      agentVersion: '0',
      clock,
      logger: quiet,
    }
    await expect(readBootstrap(options, never)).rejects.toMatchObject({ code: 'BootstrapIncomplete' })
  })
})

describe('a hub', () => {
  it('that is not the one whose authority is pinned is not spoken to', async () => {
    const other = await TestFleet.start('bravo')
    const hub = new HubClient({ url: fleet.hubUrl, ca: other.hubCa }, 'test')
    await expect(hub.join({ cluster: 'alpha', token: 'x', csr: '', agentVersion: '0' }, never)).rejects.toMatchObject({
      code: 'HubUnreachable',
    })
    await other.close()
  })

  it('that says no is told apart from one that does not answer', async () => {
    const hub = new HubClient({ url: fleet.hubUrl, ca: fleet.hubCa }, 'test')
    await expect(hub.join({ cluster: 'alpha', token: 'wrong', csr: '', agentVersion: '0' }, never)).rejects.toMatchObject({
      code: 'HubRefused',
      transient: false,
    })
  })
})
