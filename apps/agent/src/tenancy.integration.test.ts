import { randomBytes } from 'node:crypto'
import { apiVersion, type ClusterReport, type Grant, type ReleaseReport } from '@muster/api'
import type { Ref } from '@muster/kube'
import type { ChannelContent, ChannelRelease } from '@muster/trust'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from './clock.ts'
import { Tenancy } from './tenancy.ts'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'

const id = randomBytes(4).toString('hex')
const cluster = `tenancy-${id}`
const system = `agent-${id}`
const shop = `shop-${id}`
const other = `other-${id}`
const tenant = `payments-${id}`
const user = `system:serviceaccount:${system}:muster-tenant-${tenant}`
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const rbac = 'rbac.authorization.k8s.io/v1'

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']

const configMap = (text: string, name = 'greeting') => `
apiVersion: v1
kind: ConfigMap
metadata:
  name: ${name}
data:
  text: ${text}
`
const config: Ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace: shop, name: 'greeting' }
const release = (report: ClusterReport): ReleaseReport | undefined => report.releases.find((one) => one.name === shop)

/** Places a version as the tenant, with these grants, and waits for what the release says. */
async function placed(entry: ChannelRelease, grants: Grant[], reason: string): Promise<ReleaseReport> {
  const generation = await fleet.channel([{ ...entry, settings: { drift: { mode: 'correct' }, tenant: { name: tenant, grants } } }])
  const report = await fleet.reported((one) => {
    const found = one.generation >= generation ? release(one) : undefined
    // A report may come between the channel and the work on it.
    const { version } = entry.bundle
    const about = { Healthy: found?.version === version, NotGranted: found?.message.includes(`Version ${version} is not applied`) }
    return found?.reason === reason && (about[reason as keyof typeof about] ?? true)
  })
  return release(report) as ReleaseReport
}

const text = async (): Promise<unknown> => ((await client.find(config))?.['data'] as { text?: string } | undefined)?.text

/** Whether the API server lets the tenant's account do something. */
async function may(verb: string, group: string, resource: string, namespace?: string, as = user): Promise<boolean> {
  const spec = { user: as, resourceAttributes: { verb, group, resource, ...(namespace === undefined ? {} : { namespace }) } }
  const body = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', metadata: {}, spec }
  const answer = (await client.raw('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', { body })) as {
    status: { allowed: boolean }
  }
  return answer.status.allowed
}

const apps: Grant = { name: 'apps', kinds: ['*'], namespaces: [shop] }

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id, { cluster }))
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: other } })
  agent.start()
})

afterAll(async () => {
  for (const kind of ['ClusterRoleBinding', 'ClusterRole']) await client.delete({ apiVersion: rbac, kind, name: `muster-tenant-${tenant}` })
  await end(shop, other)
})

describe('a release of a tenant', { timeout: 120_000 }, () => {
  it('is applied as the tenant’s account, in the namespace that the agent made from the grant', async () => {
    const report = await placed(await fleet.publish(shop, '1.0.0', configMap('one')), [apps], 'Healthy')
    expect(report).toMatchObject({ ready: true, version: '1.0.0' })
    const namespace = await client.get({ apiVersion: 'v1', kind: 'Namespace', name: shop })
    expect(namespace.metadata.labels).toMatchObject({ 'muster.dev/tenant': tenant, 'pod-security.kubernetes.io/enforce': 'baseline' })
    // Of the release's own it is not: no tenant takes it away.
    expect(namespace.metadata.labels).not.toHaveProperty(['muster.dev/release'])
  })

  it('has exactly the rights of its grants', async () => {
    expect(await may('patch', '', 'configmaps', shop)).toBe(true)
    expect(await may('patch', 'apps', 'deployments', shop)).toBe(true)
    for (const [verb, group, resource, namespace] of [
      ['patch', '', 'configmaps', other],
      ['patch', '', 'configmaps', 'kube-system'],
      ['get', '', 'secrets', system],
      ['patch', '', 'resourcequotas', shop],
      ['create', '', 'namespaces', undefined],
      ['patch', '', 'namespaces', shop],
      ['create', 'rbac.authorization.k8s.io', 'clusterrolebindings', undefined],
      ['escalate', 'rbac.authorization.k8s.io', 'roles', shop],
      ['bind', 'rbac.authorization.k8s.io', 'clusterroles', undefined],
      ['impersonate', '', 'serviceaccounts', shop],
      ['create', 'apiextensions.k8s.io', 'customresourcedefinitions', undefined],
    ] as const)
      expect(await may(verb, group, resource, namespace), `${verb} ${resource} ${namespace ?? ''}`).toBe(false)
  })

  it.each([
    [
      'an object in kube-system',
      `${configMap('x')}  # elsewhere\n`.replace('name: greeting', 'name: greeting\n  namespace: kube-system'),
      'no grant has namespace kube-system',
    ],
    [
      'a ClusterRoleBinding to cluster-admin',
      `apiVersion: ${rbac}\nkind: ClusterRoleBinding\nmetadata:\n  name: take-over-${id}\nroleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: ClusterRole\n  name: cluster-admin\nsubjects:\n  - kind: ServiceAccount\n    name: default\n    namespace: ${shop}\n`,
      `ClusterRoleBinding take-over-${id} (no grant has ClusterRoleBinding`,
    ],
    ['a namespace of its own', `apiVersion: v1\nkind: Namespace\nmetadata:\n  name: mine-${id}\n`, 'namespaces come from the grant'],
    [
      'an object in another’s namespace',
      configMap('x').replace('name: greeting', `name: greeting\n  namespace: ${other}`),
      `no grant has namespace ${other}`,
    ],
  ])('with %s is refused by name before anything of it is applied, and what ran goes on', async (_, objects, why) => {
    const version = `1.1.${randomBytes(3).readUIntBE(0, 3)}`
    const entry = await fleet.publish(
      shop,
      version,
      `${configMap('refused')}---\n${objects}${objects.includes('greeting') ? configMap('y', 'second').replace(/^/, '---') : ''}`,
    )
    const report = await placed(entry, [apps], 'NotGranted')
    expect(report.message).toContain(why)
    expect(report.message).toContain('Version 1.0.0 runs on.')
    expect(report.version).toBe('1.0.0')
    expect(await text()).toBe('one')
  })

  it('that says to define what bounds it gets no right to that, not even while it is refused', async () => {
    const names = { kind: 'Bound', plural: 'resourcequotas', singular: 'bound', listKind: 'BoundList' }
    const spec = { group: '', scope: 'Namespaced', names, versions: [] }
    const definition = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'resourcequotas.' },
      spec,
    }
    const entry = await fleet.publish(shop, '1.1.99', `${configMap('refused')}---\n${JSON.stringify(definition)}\n`)
    expect((await placed(entry, [apps], 'NotGranted')).message).toContain('no grant has CustomResourceDefinition')
    expect(await may('patch', '', 'resourcequotas', shop)).toBe(false)
  })

  it('that gives itself more by a Role is refused by the API server itself, since it acts as its tenant', async () => {
    const role = `apiVersion: ${rbac}\nkind: Role\nmetadata:\n  name: more\nrules:\n  - apiGroups: ['']\n    resources: [resourcequotas]\n    verbs: [delete]\n`
    const report = await placed(await fleet.publish(shop, '1.2.0', `${configMap('one')}---\n${role}`), [apps], 'ApplyFailed')
    expect(report.message).toMatch(/Role .*more.*attempting to grant RBAC permissions not currently held/)
    const fine = role.replace('resourcequotas', 'configmaps').replace('delete', 'get')
    expect(await placed(await fleet.publish(shop, '1.2.1', `${configMap('two')}---\n${fine}`), [apps], 'Healthy')).toMatchObject({
      version: '1.2.1',
    })
  })

  it('is refused in a namespace that somebody else has, though it was granted, until it is given', async () => {
    const both: Grant = { ...apps, namespaces: [shop, other] }
    const entry = await fleet.publish(
      shop,
      '1.3.0',
      `${configMap('three')}---${configMap('x', 'there').replace('name: there', `name: there\n  namespace: ${other}`)}`,
    )
    const refused = await placed(entry, [both], 'NotGranted')
    expect(refused.message).toContain(`kubectl label namespace ${other} muster.dev/tenant=${tenant}`)
    expect(await may('patch', '', 'configmaps', other)).toBe(false)
    await client.patch(
      { apiVersion: 'v1', kind: 'Namespace', name: other },
      { metadata: { labels: { 'muster.dev/tenant': tenant } } },
      { type: 'merge' },
    )
    // A new channel is looked at at once.
    expect(await placed(entry, [both], 'Healthy')).toMatchObject({ version: '1.3.0' })
    // Given back: what runs there is the agent's to take away.
    expect(await placed(await fleet.publish(shop, '1.4.0', configMap('four')), [apps], 'Healthy')).toMatchObject({ version: '1.4.0' })
    await eventually(async () => (await client.find({ ...config, namespace: other, name: 'there' })) === undefined)
    await eventually(async () => !(await may('patch', '', 'configmaps', other)))
  })

  it('is kept as signed after the end of its grant: rights go, drift is corrected, nothing new is taken, also after a restart', async () => {
    const entry = await fleet.publish(shop, '2.0.0', configMap('kept'))
    const until = new Date(Date.now() + 12_000).toISOString()
    await placed(entry, [{ ...apps, until }], 'Healthy')
    const ended = release(await fleet.reported((one) => release(one)?.reason === 'GrantEnded'))
    expect(ended).toMatchObject({ ready: true, version: '2.0.0' })
    expect(ended?.message).toContain(`grant apps ended at ${until}`)
    await eventually(async () => !(await may('get', '', 'configmaps', shop)))
    expect(
      await client.find({ apiVersion: 'v1', kind: 'ServiceAccount', namespace: system, name: `muster-tenant-${tenant}` }),
    ).toBeUndefined()

    const drift = () => client.patch(config, { data: { text: 'changed' } }, { type: 'merge' })
    await drift()
    await eventually(async () => (await text()) === 'kept')
    const refused = await placed(await fleet.publish(shop, '2.1.0', configMap('new')), [{ ...apps, until }], 'NotGranted')
    expect(refused).toMatchObject({ version: '2.0.0' })
    expect(refused.message).toContain('Version 2.1.0 is not applied. Version 2.0.0 runs on.')

    await agent.end()
    await drift()
    agent.start()
    await placed(entry, [{ ...apps, until }], 'GrantEnded')
    await eventually(async () => (await text()) === 'kept')
    // Other settings are something new, also over the same bundle and after a restart.
    await agent.end()
    agent.start()
    const changed = { ...entry, settings: { conflicts: { takeFrom: ['someone'] } } }
    const generation = await fleet.channel([
      { ...changed, settings: { ...changed.settings, tenant: { name: tenant, grants: [{ ...apps, until }] } } },
    ])
    await fleet.reported((one) => one.generation >= generation && release(one)?.reason === 'NotGranted')
    // Granted again, it goes on.
    expect(await placed(await fleet.publish(shop, '2.2.0', configMap('again')), [apps], 'Healthy')).toMatchObject({ version: '2.2.0' })
  })

  it('goes whole when it is placed no more, also without a grant, and nothing of the tenant is left', async () => {
    const later = configMap('last').replace('name: greeting', 'name: greeting\n  annotations: {muster.dev/wave: "1"}')
    await placed(await fleet.publish(shop, '3.0.0', `${configMap('first', 'before')}---${later}`), [apps], 'Healthy')
    const finalizers = (list: readonly string[]) => client.patch(config, { metadata: { finalizers: list } }, { type: 'merge' })
    await finalizers(['example.test/slow'])
    await fleet.channel([])
    // The rights of a tenant without releases go at once; its last objects may take longer.
    await eventually(async () => !(await may('delete', '', 'configmaps', shop)))
    await eventually(async () => (await client.get(config)).metadata.deletionTimestamp !== undefined)
    await finalizers([])
    await eventually(async () => (await client.find({ apiVersion, kind: 'Release', name: shop })) === undefined)
    const gone = async (ref: Ref) => {
      const found = await client.find(ref)
      return found === undefined || found.metadata.deletionTimestamp !== undefined
    }
    await eventually(() => gone({ apiVersion: 'v1', kind: 'Namespace', name: shop }))
    await eventually(() => gone({ apiVersion: 'v1', kind: 'ServiceAccount', namespace: system, name: `muster-tenant-${tenant}` }))
    // One that others gave to it is not the agent's to delete.
    expect(await gone({ apiVersion: 'v1', kind: 'Namespace', name: other })).toBe(false)
  })
})

describe('a grant that ends in the middle of an apply', { timeout: 60_000 }, () => {
  it('ends when the apply is through: its rights stay until then, and not longer', async () => {
    const name = `late-${id}`
    const account = `system:serviceaccount:${system}:muster-tenant-${name}`
    const until = new Date(Date.now() + 5_000).toISOString()
    const grants: Grant[] = [{ name: 'late', kinds: ['ConfigMap'], namespaces: [`late-${id}`], until }]
    const settings = { tenant: { name, grants } }
    const content = { releases: [{ name: 'late', settings }] } as unknown as ChannelContent
    const told: string[] = []
    const tenancy = new Tenancy({
      client,
      namespace: system,
      cluster: `late-${id}`,
      clock: systemClock,
      logger: quiet,
      content: () => content,
      ended: () => told.push(new Date().toISOString()),
    })
    const over = new AbortController()
    await tenancy.prepare(settings.tenant, [], over.signal)
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'late', namespace: `late-${id}` } }
    const options = { fieldManager: 'muster-agent', force: true }
    const api = tenancy.acting(settings.tenant)
    const rounds = tenancy.run(over.signal)
    await tenancy.whileActing(settings.tenant, async () => {
      await eventually(async () => told.length > 0)
      expect(
        tenancy.objection(settings.tenant, [{ apiVersion: 'v1', kind: 'ConfigMap', namespace: `late-${id}`, name: 'late' }]),
      ).toContain('ended')
      await api.apply(object, options)
    })
    await eventually(async () => !(await may('patch', '', 'configmaps', `late-${id}`, account)))
    await expect(api.apply(object, options)).rejects.toMatchObject({ code: 'Forbidden' })
    over.abort()
    await rounds
    await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: `late-${id}` })
  })
})
