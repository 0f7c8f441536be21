import { X509Certificate } from 'node:crypto'
import { apiVersion, type Tenant } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import { Registry } from '@muster/oci'
import { createKeyPair, createRequest } from '@muster/pki'
import { createRoot, fetchChannel, generateKeyPair, pushChannel, signChannel } from '@muster/trust'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { eventually, Fixture } from './testing/fixture.ts'

let hub: Fixture

beforeAll(async () => {
  hub = await Fixture.start(inject('kubeconfig'))
})
afterAll(() => hub?.stop())

const ready = { name: 'n1', ready: true, version: 'v1.37.2' }

async function condition(cluster: string, reason: string): Promise<{ status: string; message: string }> {
  return eventually(async () => {
    const found = (await hub.getCluster(cluster)).status?.conditions?.find((one) => one.type === 'Ready')
    expect(found?.reason).toBe(reason)
    return { status: found?.status ?? '', message: found?.message ?? '' }
  })
}

describe('joining', () => {
  it('gives an identity for the key that stays in the cluster, and read access to the registry', async () => {
    const name = await hub.cluster()
    const { status, body, identity } = await hub.join(name, await hub.token(name))
    expect(status).toBe(200)
    const certificate = new X509Certificate(identity.certificate)
    expect(certificate.subjectAltName).toBe(`URI:spiffe://example.test/cluster/${name}`)
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2'])
    expect(certificate.ca).toBe(false)
    expect(body).toMatchObject({ channelRepository: `channels/${name}`, registry: { host: hub.registry.host, username: 'reader' } })
    const { host, ca, ...credentials } = body['registry'] as { host: string; ca: string; username: string; password: string }
    const registry = new Registry({ host, ca, credentials })
    await eventually(async () => expect(await fetchChannel(registry.repository(String(body['channelRepository'])))).toBeDefined())
    registry.close()
    expect((await hub.getCluster(name)).status?.joinedAt).toBeDefined()
  })

  it('takes a token once, also when it is shown many times at the same moment', async () => {
    const name = await hub.cluster()
    const token = await hub.token(name)
    const answers = await Promise.all(Array.from({ length: 6 }, () => hub.join(name, token)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 403, 403, 403, 403, 403])
    for (const { status, body } of answers)
      if (status === 403) expect(body).toMatchObject({ code: expect.stringMatching(/^Token(Used|Refused)$/) })
    expect(await hub.join(name, token)).toMatchObject({ status: 403, body: { code: 'TokenUsed' } })
    // What is used says so to who holds it; to anybody else there is no token.
    expect(await hub.join(name, `${name}.${'x'.repeat(43)}`)).toMatchObject({ status: 403, body: { code: 'TokenRefused' } })
  })

  it('refuses a wrong token, another cluster’s, an expired one and a Secret that is none', async () => {
    const [name, other] = [await hub.cluster(), await hub.cluster()]
    const token = await hub.token(name)
    await hub.token(other)
    expect(await hub.join(name, 'x'.repeat(43))).toMatchObject({ status: 403, body: { code: 'TokenRefused' } })
    expect(await hub.join(other, token)).toMatchObject({ status: 403, body: { code: 'TokenWrongCluster' } })
    const expired = await hub.token(other, { expiresAt: new Date(Date.now() - 1000) })
    expect(await hub.join(other, expired)).toMatchObject({ status: 403, body: { code: 'TokenExpired' } })
    const unlabelled = await hub.token(other, { labels: {} })
    expect(await hub.join(other, unlabelled)).toMatchObject({ status: 403, body: { code: 'TokenRefused' } })
    expect((await hub.join(name, token)).status).toBe(200)
  })

  it('does not use up a token on a request that is no good', async () => {
    const name = await hub.cluster()
    const token = await hub.token(name)
    expect(await hub.join(name, token, 'no request')).toMatchObject({ status: 422, body: { code: 'RequestRefused' } })
    const nobody = 'nobody-at-all'
    expect(await hub.join(nobody, await hub.token(nobody))).toMatchObject({ status: 404, body: { code: 'UnknownCluster' } })
    expect((await hub.join(name, token)).status).toBe(200)
  })
})

describe('the API', () => {
  it('refuses what is malformed, too large or not there, as {code, message}', async () => {
    expect(await hub.call('GET', '/nothing')).toMatchObject({ status: 404, body: { code: 'NotFound' } })
    expect(await hub.call('GET', '/v1/join')).toMatchObject({ status: 405, body: { code: 'MethodNotAllowed' } })
    expect(await hub.call('POST', '/v1/join', { body: '{' })).toMatchObject({ status: 400, body: { code: 'BadRequest' } })
    expect(await hub.call('POST', '/v1/join', { body: {} })).toMatchObject({ status: 400, body: { code: 'BadRequest' } })
    expect(await hub.call('POST', '/v1/join', { body: 'x'.repeat(100_000) })).toMatchObject({ status: 413, body: { code: 'BodyTooLarge' } })
    expect(await hub.call('GET', '/healthz')).toMatchObject({ status: 200 })
  })

  it('takes reports and renewals from the cluster itself and from nobody else', async () => {
    const [alpha, bravo] = [await hub.joined(), await hub.joined()]
    const path = `/v1/clusters/${alpha.name}/report`
    const body = hub.report(alpha.name)
    expect(await hub.call('POST', path, { body })).toMatchObject({ status: 401, body: { code: 'IdentityMissing' } })
    expect(await hub.call('POST', path, { body, identity: bravo.identity })).toMatchObject({
      status: 403,
      body: { code: 'IdentityMismatch' },
    })
    const aboutBravo = hub.report(bravo.name)
    expect(await hub.call('POST', path, { body: aboutBravo, identity: alpha.identity })).toMatchObject({
      status: 403,
      body: { code: 'IdentityMismatch' },
    })
    expect(await hub.call('POST', path, { body: { cluster: alpha.name }, identity: alpha.identity })).toMatchObject({ status: 400 })
    expect((await hub.call('POST', path, { body, identity: alpha.identity })).status).toBe(204)

    const heartbeat = `/v1/clusters/${alpha.name}/heartbeat`
    const holds = { cluster: alpha.name, observedAt: new Date().toISOString(), holds: body.observedAt }
    expect((await hub.call('POST', heartbeat, { body: holds, identity: alpha.identity })).status).toBe(204)
    expect((await hub.call('POST', heartbeat, { body: holds, identity: bravo.identity })).status).toBe(403)
    const unknown = { ...holds, holds: '2020-01-01T00:00:00.000Z' }
    expect(await hub.call('POST', heartbeat, { body: unknown, identity: alpha.identity })).toMatchObject({
      status: 409,
      body: { code: 'ReportUnknown' },
    })

    const { privateKey } = createKeyPair()
    const csr = await createRequest(privateKey, 'whatever-it-says')
    const renew = `/v1/clusters/${alpha.name}/renew`
    expect(await hub.call('POST', renew, { body: { csr }, identity: bravo.identity })).toMatchObject({ status: 403 })
    const renewed = await hub.call('POST', renew, { body: { csr }, identity: alpha.identity })
    const identity = { certificate: String(renewed.body['certificate']), privateKey }
    expect((await hub.call('POST', path, { body: hub.report(alpha.name), identity })).status).toBe(204)

    await hub.client.delete({ apiVersion, kind: 'Cluster', name: alpha.name })
    expect(await hub.call('POST', renew, { body: { csr }, identity })).toMatchObject({ status: 404, body: { code: 'UnknownCluster' } })
    const gone = hub.report(alpha.name, { generation: 5 })
    expect(await hub.call('POST', path, { body: gone, identity })).toMatchObject({ status: 404, body: { code: 'UnknownCluster' } })
  })
})

describe('a cluster', () => {
  it('gets a channel with what is placed on it, signed by the hub’s key, once and not again', async () => {
    const name = await hub.cluster({}, { site: 'north' })
    expect((await eventually(() => hub.channel(name))).content).toMatchObject({ empty: true, releases: [], publishers: [hub.publisher] })
    const { size, ...bundle } = await hub.bundle()
    const placement = await hub.placement(bundle, { names: [name] })
    const placed = await eventually(async () => {
      const channel = await hub.channel(name)
      expect(channel.content.releases).toEqual([{ name: placement, bundle: { ...bundle, size }, namespace: 'app' }])
      return channel
    })
    expect(placed.content.generation).toBe(2)
    await eventually(async () =>
      expect((await hub.getCluster(name)).status?.channel).toMatchObject({ generation: 2, digest: placed.digest }),
    )

    await hub.stopHub()
    await hub.startHub()
    const { identity } = await hub.join(name, await hub.token(name))
    await hub.call('POST', `/v1/clusters/${name}/report`, { body: hub.report(name, { generation: 2 }), identity })
    await condition(name, 'NotReady')
    expect((await hub.channel(name)).digest).toBe(placed.digest)
  })

  it('is ready when it reports all that is placed as ready, and silent when it says no more', async () => {
    const { name, identity } = await hub.joined()
    await condition(name, 'WaitingToJoin')
    const { size: _, ...bundle } = await hub.bundle()
    const placement = await hub.placement(bundle, { names: [name] })
    const { content } = await eventually(async () => {
      const channel = await hub.channel(name)
      expect(channel.content.releases).toHaveLength(1)
      return channel
    })
    const release = {
      name: placement,
      version: '1.0.0',
      digest: bundle.digest,
      signedBy: ['publisher'],
      message: '',
      driftCorrected: 0,
      drifted: false,
    }
    const send = (change: Parameters<Fixture['report']>[1]) =>
      hub.call('POST', `/v1/clusters/${name}/report`, { body: hub.report(name, { generation: content.generation, ...change }), identity })

    await send({ releases: [{ ...release, ready: false, reason: 'Progressing' }] })
    expect((await condition(name, 'NotReady')).message).toContain(`release ${placement}: Progressing`)
    await eventually(async () => expect((await hub.getPlacement(placement)).status).toMatchObject({ selected: 1, ready: 0 }))
    await send({ releases: [{ ...release, ready: true, reason: 'Healthy' }], nodes: [ready] })
    expect((await condition(name, 'Ready')).status).toBe('True')
    await eventually(async () => expect((await hub.getPlacement(placement)).status).toMatchObject({ selected: 1, ready: 1 }))
    expect((await condition(name, 'Silent')).status).toBe('Unknown')
    await eventually(async () => expect((await hub.getPlacement(placement)).status).toMatchObject({ selected: 1, ready: 0 }))
    await send({ releases: [{ ...release, ready: true, reason: 'Healthy' }] })
    await condition(name, 'Ready')
  })

  it('pain 3: an offline cluster falsifies the fleet’s status: it is unknown since when, neither ready nor failed, also for a hub that starts anew, and others stand as they do', async () => {
    const [gone, there] = [await hub.joined(), await hub.joined()]
    const { size: _, ...bundle } = await hub.bundle()
    const placement = await hub.placement(bundle, { names: [gone.name, there.name] })
    const release = { name: placement, version: '1.0.0', digest: bundle.digest, signedBy: ['publisher'], message: '', driftCorrected: 0 }
    const send = async ({ name, identity }: typeof gone) => {
      const { content } = await hub.channel(name)
      const body = hub.report(name, {
        generation: content.generation,
        releases: [{ ...release, drifted: false, ready: true, reason: 'Healthy' }],
      })
      return hub.call('POST', `/v1/clusters/${name}/report`, { body, identity })
    }
    const stands = async (reason: string) => {
      await send(there)
      const found = (await hub.getCluster(gone.name)).status
      const condition = found?.conditions?.find((one) => one.type === 'Ready')
      expect(condition?.reason).toBe(reason)
      expect((await hub.getCluster(there.name)).status?.conditions?.find((one) => one.type === 'Ready')?.reason).toBe('Ready')
      return { condition, found }
    }
    await eventually(async () => {
      for (const one of [gone, there]) expect((await hub.channel(one.name)).content.releases).toHaveLength(1)
    })
    await eventually(async () => {
      await send(gone)
      await stands('Ready')
      expect((await hub.getPlacement(placement)).status).toMatchObject({ selected: 2, ready: 2 })
    })
    const { condition, found } = await eventually(() => stands('Silent'))
    expect(condition?.status).toBe('Unknown')
    expect(condition?.message).toContain(found?.reportedAt)
    // What it said last is still there to be shown, with its time.
    expect(found?.report?.releases).toMatchObject([{ name: placement, ready: true }])
    await eventually(async () => {
      await stands('Silent')
      expect((await hub.getPlacement(placement)).status).toMatchObject({ selected: 2, ready: 1 })
    })
    await hub.stopHub()
    await hub.startHub()
    for (let look = 0; look < 10; look += 1) await eventually(() => stands('Silent'))
    await eventually(async () => {
      await send(gone)
      await stands('Ready')
      expect((await hub.getPlacement(placement)).status).toMatchObject({ selected: 2, ready: 2 })
    })
  })

  it('is not taken for ready with the settings of before: its report must be of the channel that has the new ones', async () => {
    const { name, identity } = await hub.joined()
    const { size: _, ...bundle } = await hub.bundle()
    const placement = await hub.placement(bundle, { names: [name] })
    const carried = (releases: object) =>
      eventually(async () => {
        const { content } = await hub.channel(name)
        expect(content.releases).toMatchObject([releases])
        return content.generation
      })
    const generation = await carried({ name: placement })
    const release = { name: placement, version: '1.0.0', digest: bundle.digest, signedBy: ['publisher'], message: '' }
    const healthy = { ...release, ready: true, reason: 'Healthy', driftCorrected: 0, drifted: false }
    const send = (change: Parameters<Fixture['report']>[1]) =>
      hub.call('POST', `/v1/clusters/${name}/report`, { body: hub.report(name, { generation, releases: [healthy], ...change }), identity })
    const status = (what: object) => eventually(async () => expect((await hub.getPlacement(placement)).status).toMatchObject(what))
    await send({})
    await status({ ready: 1 })
    const ref = { apiVersion, kind: 'Placement', name: placement }
    const changed = await hub.client.patch(ref, { spec: { drift: { mode: 'detect' } } }, { type: 'merge' })
    const next = await carried({ name: placement, settings: { drift: { mode: 'detect' } } })
    await send({})
    const message = expect.stringContaining('has not taken this up yet')
    await status({ ready: 0, observedGeneration: changed.metadata.generation, conditions: [{ status: 'False', message }] })
    const to = { version: '0.9.0', digest: bundle.digest }
    const rollback = { ...to, version: '1.0.0', to, at: new Date().toISOString(), reason: 'Degraded', message: 'No pods.' }
    await send({ generation: next, releases: [{ ...healthy, ready: false, reason: 'RolledBack', rollback }] })
    await status({ ready: 0, rolledBack: [name] })
    await send({ generation: next })
    await status({ ready: 1, conditions: [{ status: 'True' }] })
  })

  it('is told with each report how the releases of other clusters stand on which its own depend', async () => {
    const [alpha, bravo] = [await hub.joined(), await hub.joined()]
    const { size: _, ...bundle } = await hub.bundle()
    const db = await hub.placement(bundle, { names: [alpha.name] })
    await hub.placement(bundle, { names: [bravo.name] }, { dependsOn: [{ release: db, cluster: alpha.name }] })
    const told = async (state: object) =>
      eventually(async () => {
        const answer = await hub.sendReport(bravo.name, bravo.identity)
        expect(answer.body['dependencies']).toMatchObject([{ cluster: alpha.name, release: db, ...state }])
      })
    await told({ ready: false, reason: 'Unknown' })
    const release = {
      name: db,
      version: '1.0.0',
      digest: bundle.digest,
      signedBy: [],
      message: 'on its way',
      driftCorrected: 0,
      drifted: false,
    }
    const carried = (settings: object) =>
      eventually(async () => {
        const { content } = await hub.channel(alpha.name)
        expect(content.releases).toMatchObject([{ name: db, ...settings }])
        return content.generation
      })
    const generation = await carried({})
    await hub.sendReport(alpha.name, alpha.identity, { generation, releases: [{ ...release, ready: false, reason: 'Progressing' }] })
    await told({ ready: false, reason: 'NotReady', message: 'Progressing: on its way' })
    const ready = { ...release, ready: true, reason: 'Healthy' }
    await hub.sendReport(alpha.name, alpha.identity, { generation, releases: [ready] })
    await told({ ready: true, digest: bundle.digest })
    const ref = { apiVersion, kind: 'Placement', name: db }
    await hub.client.patch(ref, { spec: { drift: { mode: 'detect' } } }, { type: 'merge' })
    await told({ ready: false, reason: 'NotReady', message: `${alpha.name} has not taken up the settings that it has now.` })
    const next = await carried({ settings: { drift: { mode: 'detect' } } })
    await hub.sendReport(alpha.name, alpha.identity, { generation: next, releases: [ready] })
    await told({ ready: true })
    expect((await hub.sendReport(alpha.name, alpha.identity)).status).toBe(204)
  })

  it('refuses placements that wait for each other across clusters, with the circle in their status', async () => {
    const [alpha, bravo] = [await hub.cluster(), await hub.cluster()]
    const { size: _, ...bundle } = await hub.bundle()
    const one = await hub.placement(bundle, { names: [alpha] }, { dependsOn: [{ release: 'not-yet', cluster: bravo }] })
    const other = await hub.placement(bundle, { names: [bravo] }, { dependsOn: [{ release: one, cluster: alpha }] })
    const spec = { dependsOn: [{ release: other, cluster: bravo }] }
    await hub.client.patch({ apiVersion: 'muster.dev/v1alpha1', kind: 'Placement', name: one }, { spec }, { type: 'merge' })
    const circle = new RegExp(
      `${alpha}/${one} → ${bravo}/${other} → ${alpha}/${one}|${bravo}/${other} → ${alpha}/${one} → ${bravo}/${other}`,
    )
    for (const name of [one, other])
      await eventually(async () => {
        const ready = (await hub.getPlacement(name)).status?.conditions?.find(({ type }) => type === 'Ready')
        expect(ready).toMatchObject({ status: 'False', reason: 'DependencyCycle', message: expect.stringMatching(circle) })
      })
  })

  it('keeps its channel when a bundle is placed that nobody published, and is told', async () => {
    const { name, identity } = await hub.joined()
    const before = await eventually(() => hub.channel(name))
    const bundle = { repository: 'bundles/app', version: '9.9.9', digest: `sha256:${'9'.repeat(64)}` }
    const placement = await hub.placement(bundle, { names: [name] })
    await hub.call('POST', `/v1/clusters/${name}/report`, { body: hub.report(name), identity })
    expect((await condition(name, 'ChannelFailed')).message).toContain('bundles/app:9.9.9')
    expect((await hub.channel(name)).digest).toBe(before.digest)
    await hub.client.delete({ apiVersion, kind: 'Placement', name: placement })
    await hub.call('POST', `/v1/clusters/${name}/report`, { body: hub.report(name, { agentVersion: 'test 2' }), identity })
    await condition(name, 'Ready')
  })

  it('is said to be empty when its last placement goes, and gets consent to prune when a person gives it', async () => {
    const name = await hub.cluster()
    const { size: _, ...bundle } = await hub.bundle()
    const placement = await hub.placement(bundle, { names: [name] })
    await eventually(async () => expect((await hub.channel(name)).content.releases).toHaveLength(1))
    await hub.client.delete({ apiVersion, kind: 'Placement', name: placement })
    const emptied = await eventually(async () => {
      const { content } = await hub.channel(name)
      expect(content.empty).toBe(true)
      return content
    })
    expect(emptied.prune.consent).toBeUndefined()
    const patch = { metadata: { annotations: { 'muster.dev/prune-consent': `${emptied.generation}` } } }
    await hub.client.patch({ apiVersion, kind: 'Cluster', name }, patch, { type: 'merge' })
    await eventually(async () => {
      const { content } = await hub.channel(name)
      expect(content.prune.consent).toBe(content.generation)
    })
  })

  it('gets a new channel, beyond every generation it has seen, when the registry’s was put back or is someone else’s', async () => {
    const { name, identity } = await hub.joined()
    const first = await eventually(() => hub.channel(name))
    await hub.call('POST', `/v1/clusters/${name}/report`, { body: hub.report(name, { generation: 41 }), identity })
    await eventually(async () => expect((await hub.channel(name)).content.generation).toBe(42))

    const [rootKey, channelKey] = [generateKeyPair(), generateKeyPair()]
    const keys = { rootKeys: [rootKey], rootThreshold: 1, channelKeys: [channelKey], channelThreshold: 1 }
    const root = createRoot({ ...keys, version: 1, expires: '2999-01-01T00:00:00Z' })
    const seized = signChannel({ ...first.content, generation: 1_000_000 }, [channelKey.privateKey])
    await pushChannel(hub.registry.repository(`channels/${name}`), root, seized)
    await eventually(async () => expect((await hub.channel(name)).content.generation).toBe(43))
  })
})

describe('while the registry is down', () => {
  it('nothing is published, it is said why, and all is made up for when it is back', async () => {
    const { name, identity } = await hub.joined()
    const before = await eventually(() => hub.channel(name))
    const { size: _, ...bundle } = await hub.bundle('2.0.0')
    await hub.stopRegistry()
    try {
      await hub.placement(bundle, { names: [name] })
      await hub.call('POST', `/v1/clusters/${name}/report`, { body: hub.report(name), identity })
      expect((await condition(name, 'ChannelFailed')).status).toBe('False')
    } finally {
      await hub.startRegistry()
    }
    await eventually(async () => expect((await hub.channel(name)).content).toMatchObject({ generation: before.content.generation + 1 }))
  })
})

describe('a tenant', () => {
  it('is in the channel with the grants that are for the cluster; deleted, it is there with none', async () => {
    const name = await hub.cluster()
    const grant = { name: 'apps', kinds: ['*'], namespaces: [`${name}-shop`], until: '2999-01-01T00:00:00Z' }
    const tenant = await hub.tenant([
      { ...grant, clusters: { names: [name] } },
      { ...grant, name: 'other', clusters: { names: ['elsewhere'] } },
    ])
    const { size: _, ...bundle } = await hub.bundle()
    await hub.placement(bundle, { names: [name] }, { tenant })
    const said = async () => (await hub.channel(name)).content.releases[0]?.settings?.tenant
    await eventually(async () => expect(await said()).toEqual({ name: tenant, grants: [grant] }))
    await hub.client.delete({ apiVersion, kind: 'Tenant', name: tenant })
    await eventually(async () => expect(await said()).toEqual({ name: tenant, grants: [] }))
  })

  it('that claims another’s namespace is told, and does not get it', async () => {
    const name = await hub.cluster()
    const clusters = { names: [name] }
    const grant = { name: 'apps', kinds: ['ConfigMap'], namespaces: [`${name}-shop`], clusters }
    const names = [await hub.tenant([grant]), await hub.tenant([grant])]
    const get = (one: string) => hub.client.get<Tenant & KubeObject>({ apiVersion, kind: 'Tenant', name: one })
    const made = await Promise.all(names.map(get))
    // Kubernetes tells ages in seconds: of two in the same second the first by name counts as the older.
    const byAge = made.map(({ metadata }) => `${metadata.creationTimestamp} ${metadata.name}`).sort()
    const [first = '', second = ''] = byAge.map((text) => text.split(' ')[1] ?? '')
    await eventually(async () => {
      const found = await get(second)
      expect(found.status?.conditions).toMatchObject([{ type: 'Ready', status: 'False', reason: 'NamespaceTaken' }])
      expect(found.status?.conditions?.[0]?.message).toContain(`belongs to tenant ${first}`)
    })
  })
})
