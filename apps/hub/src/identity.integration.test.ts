import { X509Certificate } from 'node:crypto'
import { apiVersion } from '@muster/api'
import { createAuthority } from '@muster/pki'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { eventually, Fixture } from './testing/fixture.ts'

const day = 86_400_000
let hub: Fixture

beforeAll(async () => {
  hub = await Fixture.start(inject('kubeconfig'))
})
afterAll(() => hub?.stop())

const ago = (days: number): Date => new Date(Date.now() - days * day)
const forget = (name: string) => hub.client.delete({ apiVersion, kind: 'Cluster', name })
const setIdentity = (name: string, identity: string) =>
  hub.client.patch({ apiVersion, kind: 'Cluster', name }, { spec: { identity } }, { type: 'merge' })

describe('an identity that has ended', () => {
  it('is renewed within 180 days, and good for nothing else', async () => {
    const name = await hub.cluster()
    const ended = await hub.identity(name, { endedAt: ago(179) })
    expect(await hub.sendReport(name, ended)).toMatchObject({ status: 401, body: { code: 'IdentityExpired' } })
    const renewed = await hub.renew(name, ended)
    expect(renewed.status).toBe(200)
    expect(await hub.sendReport(name, renewed.identity)).toMatchObject({ status: 204 })
  })

  it('is refused after that, and says to join again', async () => {
    const name = await hub.cluster()
    expect(await hub.renew(name, await hub.identity(name, { endedAt: ago(181) }))).toMatchObject({
      status: 401,
      body: { code: 'IdentityExpired', message: expect.stringContaining('muster join') },
    })
  })

  it.each([
    [
      'issued by another authority',
      'IdentityMissing',
      async (name: string) => hub.identity(name, { endedAt: ago(1), by: await stranger() }),
    ],
    ['a server’s', 'IdentityMissing', async (name: string) => hub.identity(name, { endedAt: ago(1), usage: 'server' })],
    ['another cluster’s', 'IdentityMismatch', async () => hub.identity('somebody', { endedAt: ago(1) })],
    ['not shown at all', 'IdentityMissing', async () => undefined],
  ] as const)('is not excused anything but its time: %s', async (_title, code, identity) => {
    const name = await hub.cluster()
    expect(await hub.renew(name, await identity(name))).toMatchObject({ body: { code } })
  })

  it('is refused once the hub has forgotten its cluster', async () => {
    const name = await hub.cluster()
    const ended = await hub.identity(name, { endedAt: ago(1) })
    await forget(name)
    expect(await hub.renew(name, ended)).toMatchObject({ status: 404, body: { code: 'UnknownCluster' } })
  })
})

describe('an identity of a cluster that left and joined again', () => {
  it('is refused for reports and for renewal, while the new one is taken', async () => {
    const name = await hub.cluster({ identity: 'first' })
    const old = (await hub.join(name, await hub.token(name))).identity
    expect((await hub.sendReport(name, old)).status).toBe(204)
    await forget(name)
    expect(await hub.sendReport(name, old, { agentVersion: 'left' })).toMatchObject({ status: 404, body: { code: 'UnknownCluster' } })
    await hub.client.create({ apiVersion, kind: 'Cluster', metadata: { name }, spec: { identity: 'second' } } as never)
    expect(await hub.sendReport(name, old)).toMatchObject({ status: 403, body: { code: 'IdentityRevoked' } })
    expect(await hub.renew(name, old)).toMatchObject({ status: 403, body: { code: 'IdentityRevoked' } })
    const next = (await hub.join(name, await hub.token(name))).identity
    expect((await hub.sendReport(name, next)).status).toBe(204)
    expect((await hub.renew(name, next)).status).toBe(200)
  })

  it('is revoked, without leaving, by a change of spec.identity', async () => {
    const name = await hub.cluster({ identity: 'first' })
    const { identity } = await hub.join(name, await hub.token(name))
    await setIdentity(name, 'second')
    await eventually(async () => expect((await hub.sendReport(name, identity)).status).toBe(403))
  })
})

describe('the life of identities', () => {
  it('is as short as the hub is told; each renewal begins another', async () => {
    await hub.stopHub()
    await hub.startHub({ timings: { identityDays: 90 / 86_400 } })
    const { name, identity } = await hub.joined()
    const end = ({ certificate }: { certificate: string }) => Date.parse(new X509Certificate(certificate).validTo)
    expect(end(identity) - Date.now()).toBeLessThanOrEqual(90_000)
    expect(end(identity) - Date.now()).toBeGreaterThan(0)
    const renewed = await hub.renew(name, identity)
    expect(end(renewed.identity)).toBeGreaterThanOrEqual(end(identity))
    expect((await hub.sendReport(name, renewed.identity)).status).toBe(204)
    await hub.stopHub()
    await hub.startHub()
  })
})

describe('another authority', () => {
  it('takes over while the old one is trusted beside it; every renewal brings both', async () => {
    const name = await hub.cluster()
    const { identity: old } = await hub.join(name, await hub.token(name))
    const next = await createAuthority('hub-test 2', { days: 1, now: new Date() })
    await hub.stopHub()
    await hub.startHub({ issuer: next, others: hub.authority.certificate })
    expect((await hub.sendReport(name, old)).status).toBe(204)
    const renewed = await hub.renew(name, old)
    expect(renewed.body['hubCa']).toBe(`${next.certificate.trim()}\n${hub.authority.certificate.trim()}`)
    expect((await hub.sendReport(name, renewed.identity)).status).toBe(204)
    await hub.stopHub()
    await hub.startHub({ issuer: next })
    expect(await hub.sendReport(name, old)).toMatchObject({ status: 401, body: { code: 'IdentityMissing' } })
    expect((await hub.sendReport(name, renewed.identity)).status).toBe(204)
    await hub.stopHub()
    await hub.startHub()
  })
})

describe('a hub that was restored from an older state', () => {
  it('goes on above what the cluster reports, though neither registry nor status know it any more', async () => {
    const { name, identity } = await hub.joined()
    await eventually(() => hub.channel(name))
    await hub.sendReport(name, identity, { generation: 57 })
    await eventually(async () => expect((await hub.channel(name)).content.generation).toBe(58))
    await hub.stopHub()
    await forget(name)
    await hub.emptyChannels(name)
    await hub.client.create({ apiVersion, kind: 'Cluster', metadata: { name }, spec: {} } as never)
    await hub.startHub()
    await eventually(async () => expect((await hub.channel(name)).content.generation).toBe(1))
    expect((await hub.sendReport(name, identity, { generation: 58 })).status).toBe(204)
    await eventually(async () => expect((await hub.channel(name)).content.generation).toBe(59))
  })
})

describe('a cluster that holds an expired channel', () => {
  it('is shown as Stale, neither ready nor failed in what runs', async () => {
    const { name, identity } = await hub.joined()
    const message = 'The channel of generation 1 expired at 2030-01-01T00:00:00Z and no newer one has come.'
    const channelUnreadable = { since: new Date().toISOString(), reason: 'ChannelExpired', message }
    await hub.sendReport(name, identity, { channelUnreadable })
    await eventually(async () => {
      const ready = (await hub.getCluster(name)).status?.conditions?.find((one) => one.type === 'Ready')
      expect(ready).toMatchObject({ status: 'False', reason: 'Stale', message: expect.stringContaining(message) })
    })
  })
})

describe('a cluster that is to leave', () => {
  it('gets an empty channel that prunes everything without asking, whatever is placed everywhere', async () => {
    const { name } = await hub.joined({ prune: { maxShare: 0.1 } })
    const { size: _, ...bundle } = await hub.bundle()
    await hub.placement(bundle, { names: [name] })
    await eventually(async () => expect((await hub.channel(name)).content.releases).toHaveLength(1))
    await hub.client.patch({ apiVersion, kind: 'Cluster', name }, { spec: { leaving: true } }, { type: 'merge' })
    await eventually(async () =>
      expect((await hub.channel(name)).content).toMatchObject({ empty: true, releases: [], prune: { maxShare: 1 } }),
    )
  })
})

function stranger() {
  return createAuthority('hub-test', { days: 1, now: new Date() })
}
