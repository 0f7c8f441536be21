import { describe, expect, it } from 'vitest'
import { pause } from './clock.ts'
import { KubeError } from './error.ts'
import { LeaderElector } from './leader-election.ts'
import type { KubeObject } from './object.ts'
import { ManualClock, settle, until } from './testing/manual-clock.ts'

/** One Lease with optimistic locking, as an API server keeps it. */
class FakeLeases {
  lease: KubeObject | undefined
  down = false
  #version = 0

  client = {
    find: async () => {
      this.#answer()
      return structuredClone(this.lease)
    },
    create: async (object: KubeObject) => {
      this.#answer()
      if (this.lease) throw new KubeError('AlreadyExists', 'there is one')
      return this.#store(object)
    },
    replace: async (object: KubeObject) => {
      this.#answer()
      if (object.metadata.resourceVersion !== this.lease?.metadata.resourceVersion) throw new KubeError('Conflict', 'changed')
      return this.#store(object)
    },
  } as unknown as ConstructorParameters<typeof LeaderElector>[0]

  get holder(): unknown {
    return (this.lease?.['spec'] as { holderIdentity?: string } | undefined)?.holderIdentity
  }

  #answer(): void {
    if (this.down) throw new KubeError('Unreachable', 'down')
  }

  #store(object: KubeObject): KubeObject {
    this.#version += 1
    this.lease = structuredClone({ ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } })
    return structuredClone(this.lease)
  }
}

function stand(leases: FakeLeases, identity: string, clock = new ManualClock(), client = leases.client) {
  const elector = new LeaderElector(client, { name: 'muster', namespace: 'muster-system', identity, clock })
  const stop = new AbortController()
  const ended = elector.run(stop.signal)
  ended.catch(() => {})
  return { elector, stop, ended, clock }
}

describe('LeaderElector', () => {
  it('lets exactly one of two lead, and the other follow when the first gives the lease back', async () => {
    const leases = new FakeLeases()
    const one = stand(leases, 'one')
    await until(() => one.elector.leading)
    const two = stand(leases, 'two')
    await settle()
    expect([one.elector.leading, two.elector.leading, two.elector.leader]).toEqual([true, false, 'one'])
    one.stop.abort()
    await one.ended
    expect(leases.holder).toBeUndefined()
    await two.clock.advance(2000)
    expect([two.elector.leading, leases.holder]).toEqual([true, 'two'])
    two.stop.abort()
    await two.ended
  })

  it('takes over from a leader that died, but only when its lease was not renewed for its whole time', async () => {
    const leases = new FakeLeases()
    const one = stand(leases, 'one')
    await until(() => one.elector.leading)
    // its clock is never moved again: it is dead
    const two = stand(leases, 'two')
    await settle()
    await two.clock.advance(14_000)
    expect(two.elector.leading).toBe(false)
    await two.clock.advance(3000)
    expect(two.elector.leading).toBe(true)
    expect(leases.lease?.['spec']).toMatchObject({ holderIdentity: 'two', leaseDurationSeconds: 15, leaseTransitions: 1 })
    two.stop.abort()
    await two.ended
  })

  it('steps down before its lease is free when the server does not answer', async () => {
    const leases = new FakeLeases()
    const { elector, ended, clock } = stand(leases, 'one')
    await until(() => elector.leading)
    leases.down = true
    await clock.advance(9_000)
    expect(elector.leading).toBe(true)
    await clock.advance(3_000)
    await expect(ended).rejects.toMatchObject({ code: 'LeaderLost' })
    expect(elector.leading).toBe(false)
  })

  it('steps down in time even if its renewal hangs', async () => {
    const leases = new FakeLeases()
    const clock = new ManualClock()
    const hangs = { now: false }
    const client = {
      ...leases.client,
      // as KubeClient does: an error when the time of the call is over
      find: async (ref: never, { timeoutMs }: { timeoutMs: number }) => {
        if (hangs.now) await pause(timeoutMs, undefined, clock)
        if (hangs.now) throw new KubeError('Timeout', 'hangs')
        return await leases.client.find(ref)
      },
    } as unknown as typeof leases.client
    const { elector, ended } = stand(leases, 'one', clock, client)
    await until(() => elector.leading)
    hangs.now = true
    await clock.advance(10_000)
    expect(elector.leading).toBe(false)
    await expect(ended).rejects.toMatchObject({ code: 'LeaderLost' })
  })

  it('steps down at once when somebody else has the lease', async () => {
    const leases = new FakeLeases()
    const { elector, ended, clock } = stand(leases, 'one')
    await until(() => elector.leading)
    const lease = leases.lease
    leases.lease = {
      ...lease,
      metadata: { ...lease?.metadata, name: 'muster', resourceVersion: 'other' },
      spec: { holderIdentity: 'two', leaseDurationSeconds: 15 },
    } as KubeObject
    await clock.advance(2000)
    await expect(ended).rejects.toMatchObject({ code: 'LeaderLost', message: expect.stringContaining('two') as string })
  })

  it('goes on through a short outage', async () => {
    const leases = new FakeLeases()
    const { elector, ended, clock, stop } = stand(leases, 'one')
    await until(() => elector.leading)
    leases.down = true
    await clock.advance(5_000)
    leases.down = false
    await clock.advance(20_000)
    expect(elector.leading).toBe(true)
    stop.abort()
    await ended
  })

  it('refuses times with which two could lead', () => {
    const options = { name: 'a', namespace: 'b', identity: 'c', leaseMs: 1000, renewMs: 1000 }
    expect(() => new LeaderElector(new FakeLeases().client, options)).toThrow(expect.objectContaining({ code: 'Config' }))
  })
})
