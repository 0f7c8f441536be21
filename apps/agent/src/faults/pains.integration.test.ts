import { setTimeout as pause } from 'node:timers/promises'
import { apiVersion, type Release } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import type { ChannelRelease } from '@muster/trust'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Fault, isWrite } from '../../../../test/environment/faulty-proxy.ts'
import type { FaultyCluster } from '../testing/faulty-cluster.ts'
import { type OwnCluster, openOwnCluster } from '../testing/own-cluster.ts'
import { openMutatingWebhook } from './mutating-webhook.ts'

let own: OwnCluster | undefined
let cluster: FaultyCluster

beforeAll(async () => {
  own = await openOwnCluster()
  cluster = own.cluster
  // One that is there stays as it is: there is nobody here who would take away the content of one that is deleted.
  await cluster.client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'other' } })
  cluster.agent.start()
})

beforeEach(() => {
  cluster.proxy.fault = () => undefined
})

afterAll(async () => {
  await own?.close()
})

const publish = async (name: string, version: string, manifests: string): Promise<ChannelRelease> => ({
  ...(await cluster.fleet.publish(name, version, manifests)),
  settings: { drift: { mode: 'correct' } },
})
const ready = async (name: string, version = '1.0.0') => cluster.reported(name, (one) => one?.ready === true && one.version === version)
const config = (name: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {value: "1"}\n`
const account = (name: string) => `apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: ${name}}\n`
const releaseOf = async (name: string) => (await cluster.client.find({ apiVersion, kind: 'Release', name })) as unknown as Release

/** What the agent wrote into a namespace since: method and path. */
const writesInto = (namespace: string, from: number): string[] =>
  cluster.proxy.requests
    .slice(from)
    .filter((one) => isWrite(one) && one.path.includes(`/namespaces/${namespace}`) && !one.path.includes('/events'))
    .map(({ method, path }) => `${method} ${path.split('?')[0]}`)

const faults: readonly (readonly [string, Fault])[] = [
  ['fails (500)', { status: 500, body: '{}' }],
  ['is a page that is not found (404)', { status: 404, body: '404 page not found' }],
  ['is empty', { status: 200, body: '' }],
  ['is broken off', 'torn'],
]

describe('pain 1: an outage read as "nothing desired" deletes everything', () => {
  it.each(faults)('does not come about when the list of Releases %s, as an agent starts', async (title, fault) => {
    const { proxy, agent, fleet, client } = cluster
    const name = `kept-${faults.findIndex(([one]) => one === title)}`
    await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
    await fleet.channel([await publish(name, '1.0.0', [config('one'), config('two')].join('---\n'))])
    await ready(name)
    const before = (await client.list({ apiVersion: 'v1', kind: 'ConfigMap', namespace: name })).items.map(({ metadata }) => metadata.uid)
    await agent.end('SIGKILL')
    let met = 0
    proxy.fault = ({ method, path }) => {
      if (method !== 'GET' || !path.includes('/releases?') || path.includes('watch=')) return undefined
      met += 1
      return fault
    }
    const from = proxy.requests.length
    const since = fleet.reports.length
    agent.start()
    await cluster.eventually('the list of Releases is asked for', async () => met > 1)
    proxy.fault = () => undefined
    await cluster.eventually('the agent reports again', async () => fleet.reports.length > since)
    await ready(name)
    const after = (await client.list({ apiVersion: 'v1', kind: 'ConfigMap', namespace: name })).items.map(({ metadata }) => metadata.uid)
    expect(after).toEqual(before)
    expect(writesInto(name, from)).toEqual([])
  })

  it.each(faults)('does not come about when what a namespace holds %s: it stays as long as nobody can say', async (title, fault) => {
    const { proxy, fleet, client } = cluster
    const name = `held-${faults.findIndex(([one]) => one === title)}`
    await fleet.channel([await publish(name, '1.0.0', config('one'))])
    await ready(name)
    await client.create({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'of-others', namespace: name } })
    let met = 0
    proxy.fault = ({ method, path }) => {
      if (method !== 'GET' || path.includes('watch=') || !path.includes(`/namespaces/${name}/`) || !path.includes('limit='))
        return undefined
      met += 1
      return fault
    }
    await fleet.channel([await publish('other', '1.0.0', config('one'))])
    const told = await cluster.reported(name, (one) => one?.reason === 'Pruning' && one.message.includes(`Namespace ${name}`))
    expect(met).toBeGreaterThan(0)
    expect(told?.message).not.toContain('being deleted')
    expect((await client.get({ apiVersion: 'v1', kind: 'Namespace', name })).metadata.deletionTimestamp).toBeUndefined()
    proxy.fault = () => undefined
    await cluster.reported(name, (one) => one === undefined)
    expect((await client.get({ apiVersion: 'v1', kind: 'Namespace', name })).metadata.deletionTimestamp).toBeUndefined()
  })
})

const defaulted = (version: string) => `apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {password: not-a-secret}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {example.test/version: "${version}"}}
    spec:
      containers:
        - name: web
          image: registry.example/web:1
          ports: [{containerPort: 80}]
          resources: {requests: {cpu: 1000m, memory: 1024Mi}, limits: {cpu: "2.0"}}
          readinessProbe: {httpGet: {path: /, port: 80}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 5
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {rules: [{host: web.example.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}
`

/** Nothing happens here where nothing should, so that it can only be looked at for a while. Milliseconds. */
const quietMs = 3_500

describe('pain 4: false or endless drift', () => {
  it('is not seen in defaulted fields, in what a webhook writes, an autoscaler scales, a controller says and people note; nor after a restart', async () => {
    const { client, fleet, proxy, agent } = cluster
    const name = 'quiet'
    const webhook = await openMutatingWebhook(({ kind }) => [
      { op: 'add', path: '/metadata/labels/example.test~1team', value: 'blue' },
      ...(kind === 'Service' ? [{ op: 'add', path: '/spec/sessionAffinity', value: 'ClientIP' }] : []),
      ...(kind === 'Deployment' ? [{ op: 'add', path: '/spec/minReadySeconds', value: 3 }] : []),
    ])
    try {
      await client.create({
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'MutatingWebhookConfiguration',
        metadata: { name: 'faults' },
        webhooks: [
          {
            name: 'mutate.example.test',
            sideEffects: 'None',
            admissionReviewVersions: ['v1'],
            clientConfig: webhook.clientConfig,
            namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } },
            rules: [{ apiGroups: ['*'], apiVersions: ['*'], operations: ['CREATE', 'UPDATE'], resources: ['services', 'deployments'] }],
          },
        ],
      } as KubeObject)
      await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
      const probe = {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'probe', namespace: name, labels: {} },
        spec: { ports: [{ port: 1 }] },
      }
      await cluster.eventually('the webhook is asked', async () => {
        await client.create(probe, { dryRun: true }).catch(() => undefined)
        return webhook.asked > 0
      })
      await fleet.channel([await publish(name, '1.0.0', defaulted('1'))])
      const deployment = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', namespace: name }
      await cluster.eventually('all is applied', async () => (await releaseOf(name))?.status?.appliedVersion === '1.0.0')
      expect((await client.get(deployment))['spec']).toMatchObject({ minReadySeconds: 3 })
      let from = proxy.requests.length
      const controller = { fieldManager: 'kube-controller-manager' }
      await client.patch(deployment, { spec: { replicas: 3 } }, { type: 'merge', subresource: 'scale', ...controller })
      await client.patch(
        deployment,
        { status: { observedGeneration: 2, replicas: 3 } },
        { type: 'merge', subresource: 'status', ...controller },
      )
      await client.patch(
        deployment,
        { metadata: { annotations: { 'deployment.kubernetes.io/revision': '2', 'example.test/note': 'mine' } } },
        { type: 'merge', fieldManager: 'people' },
      )
      await pause(quietMs)
      expect(writesInto(name, from)).toEqual([])
      await agent.end('SIGKILL')
      const since = fleet.reports.length
      from = proxy.requests.length
      agent.start()
      await cluster.eventually('the agent has looked again', async () =>
        fleet.reports.slice(since).some(({ releases }) => releases.some((one) => one.name === name && one.message.includes('web'))),
      )
      await pause(quietMs)
      expect(writesInto(name, from)).toEqual([])
      await fleet.channel([await publish(name, '2.0.0', defaulted('2'))])
      await cluster.eventually('the new version is applied', async () => (await releaseOf(name))?.status?.appliedVersion === '2.0.0')
      expect((await client.get(deployment))['spec']).toMatchObject({ replicas: 3, minReadySeconds: 3 })
      expect((await releaseOf(name)).status?.drift).toMatchObject({ corrected: 0 })
    } finally {
      await client.delete({ apiVersion: 'admissionregistration.k8s.io/v1', kind: 'MutatingWebhookConfiguration', name: 'faults' })
      webhook.close()
    }
  })
})

describe('pain 5: deletion stuck on finalizers, a namespace or a service account that went first', () => {
  it('goes in reverse order, waits for a finalizer by name with what it needs untouched, and goes on when that is gone', async () => {
    const { client, fleet, proxy } = cluster
    const name = 'stuck'
    const service = 'apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n'
    const entry = await publish(name, '1.0.0', [config('one'), account('web'), service].join('---\n'))
    await fleet.channel([entry, await publish('other', '1.0.0', config('one'))])
    await ready(name)
    const held = { apiVersion: 'v1', kind: 'ConfigMap', name: 'one', namespace: name }
    await client.patch(held, { metadata: { finalizers: ['example.test/hold'] } }, { type: 'merge', fieldManager: 'example-operator' })
    const from = proxy.requests.length
    await fleet.channel([await publish('other', '1.0.0', config('one'))])
    const told = await cluster.reported(name, (one) => one?.message.includes('example.test/hold') === true)
    expect(told).toMatchObject({ ready: false, reason: 'Pruning' })
    await pause(quietMs)
    const asked = proxy.requests.slice(from).filter(({ path }) => path.includes(`/namespaces/${name}`)).length
    expect(asked).toBeLessThan(25)
    for (const ref of [
      { apiVersion: 'v1', kind: 'ServiceAccount', name: 'web', namespace: name },
      { apiVersion: 'v1', kind: 'Namespace', name },
    ])
      expect((await client.get(ref)).metadata.deletionTimestamp).toBeUndefined()
    await fleet.channel([await publish('other', '2.0.0', config('one'))])
    await ready('other', '2.0.0')
    await client.patch(held, { metadata: { finalizers: null } }, { type: 'merge' })
    await cluster.reported(name, (one) => one?.message.includes(`Namespace ${name}: It is being deleted`) === true)
    const deleted = writesInto(name, from).flatMap((one) => (one.startsWith('DELETE') ? [one.split('/').slice(-2).join('/')] : []))
    expect(deleted).toEqual(['services/web', 'configmaps/one', 'serviceaccounts/web', `namespaces/${name}`])
    // There is no namespace controller here.
    await client.raw('PUT', `/api/v1/namespaces/${name}/finalize`, {
      body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name }, spec: { finalizers: [] } },
    })
    await cluster.reported(name, (one) => one === undefined)
  })
})
