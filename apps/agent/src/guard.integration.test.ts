import { randomBytes } from 'node:crypto'
import { apiVersion, type ClusterReport, type Release, type ReleaseReport, type ReleaseSettings } from '@muster/api'
import { KubeClient, type KubeObject, loadKubeconfig, type Ref } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'
import { webDeployment } from './testing/manifests.ts'

const id = randomBytes(4).toString('hex')
const cluster = `test-${id}`
const shop = `shop-${id}`
const system = `agent-${id}`
const inShop = (kind: string, name: string, version = 'v1'): Ref => ({ apiVersion: version, kind, name, namespace: shop })
const config = inShop('ConfigMap', 'settings')
const web = inShop('Deployment', 'web', 'apps/v1')
const role = inShop('Role', 'web', 'rbac.authorization.k8s.io/v1')

/** The agent of the test writes by this one, as an administrator; people come as somebody else with the same rights. */
let people: KubeClient
let scaler: KubeClient
let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']

const release = (report: ClusterReport): ReleaseReport | undefined => report.releases.find((one) => one.name === shop)

const refused = (what: RegExp) => ({ message: expect.stringMatching(what) })
const patch = (body: object, manager = 'kubectl-edit') => people.patch(config, body, { type: 'merge', fieldManager: manager })

async function placed(version: string, settings: ReleaseSettings = { drift: { mode: 'prevent' } }): Promise<void> {
  await fleet.channel([{ ...(await fleet.publish(shop, version, manifests(version))), settings }])
  await fleet.reported((one) => one.generation === fleet.generation && release(one)?.version === version && release(one)?.ready === true)
}

/** The API server takes up policies a moment after they were written. */
async function guarded(): Promise<void> {
  await eventually(async () =>
    people.patch(config, { data: { greeting: 'probe' } }, { type: 'merge', dryRun: true }).then(
      () => false,
      () => true,
    ),
  )
}

const manifests = (version: string): string => `apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  greeting: hello
  tone: polite
  version: ${version}
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector:
    app: web
  ports:
    - port: 80
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: web
rules: []
---
${webDeployment}`

const stateful = `apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: db
spec:
  serviceName: db
  replicas: 1
  selector:
    matchLabels:
      app: db
  template:
    metadata:
      labels:
        app: db
    spec:
      containers:
        - name: db
          image: registry.example/db:1.0
  volumeClaimTemplates:
    - metadata:
        name: data
      spec:
        accessModes: [ReadWriteOnce]
        resources:
          requests:
            storage: 1Gi
---
apiVersion: v1
kind: Pod
metadata:
  name: solo
spec:
  automountServiceAccountToken: false
  schedulerName: none
  containers:
    - name: solo
      image: registry.example/solo:1.0
`

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id))
  const settings = await loadKubeconfig(inject('kubeconfig'))
  const as = (user: string) => new KubeClient({ ...settings, impersonate: { user, groups: ['system:masters'] } }, { userAgent: 'people' })
  people = as('mallory')
  scaler = as('scaler')
  agent.start()
})

afterAll(async () => {
  await fleet.channel([])
  await fleet.reported((one) => one.generation === fleet.generation && one.releases.length === 0)
  await eventually(async () => (await parts()).length === 0)
  for (const one of [people, scaler]) one.close()
  await end()
})

const policy = { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingAdmissionPolicy' }
async function parts(): Promise<KubeObject[]> {
  const labelSelector = `muster.dev/guard-of=${cluster}`
  const kinds = [
    policy,
    { ...policy, kind: 'ValidatingAdmissionPolicyBinding' },
    { apiVersion: 'v1', kind: 'ConfigMap', namespace: system },
  ]
  return (await Promise.all(kinds.map(async (kind) => (await client.list({ ...kind, labelSelector })).items))).flat()
}

describe('what is guarded', () => {
  it('refuses a change of what the bundle sets, with who may, which release, and which part, and the agent may', async () => {
    await placed('1.0.0')
    await guarded()
    await expect(patch({ data: { greeting: 'goodbye' } })).rejects.toMatchObject(
      refused(
        new RegExp(
          `Release ${shop} of cluster ${cluster} sets what you change \\(data\\.greeting of configmaps settings\\)\\. Only the agent \\(\\S+\\) may change it`,
        ),
      ),
    )
    await expect(patch({ data: { greeting: null } })).rejects.toMatchObject(refused(/Only the agent/))
    await expect(patch({ metadata: { labels: { 'muster.dev/guard': null } } })).rejects.toMatchObject(refused(/Only the agent/))
    await expect(patch({ metadata: { managedFields: [{}] } })).rejects.toMatchObject(refused(/Only the agent/))
    await placed('1.1.0')
    expect((await client.get(config))['data']).toMatchObject({ greeting: 'hello', version: '1.1.0' })
  })

  it('lets be what the bundle does not set: annotations, labels, further data, a restart of a rollout', async () => {
    await patch({ metadata: { annotations: { note: 'mine' }, labels: { mine: 'x' } }, data: { more: 'mine' } })
    const restart = { spec: { template: { metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': 'now' } } } } }
    await people.patch(web, restart, { type: 'strategic', fieldManager: 'kubectl-rollout' })
    expect((await client.get(config))['data']).toMatchObject({ greeting: 'hello', more: 'mine' })
  })

  it('refuses who writes in the name of the agent as field manager', async () => {
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings', namespace: shop }, data: { greeting: 'evil' } }
    await expect(people.apply(object, { fieldManager: 'muster-agent', force: true })).rejects.toMatchObject(
      refused(/nobody but the agent writes as field manager/),
    )
    await expect(people.apply(object, { fieldManager: 'other', force: true })).rejects.toMatchObject(refused(/Only the agent/))
  })

  it('refuses what is added where only the release has a say', async () => {
    const sidecar = { spec: { template: { spec: { containers: [{ name: 'miner', image: 'registry.example/miner:1' }] } } } }
    await expect(people.patch(web, sidecar, { type: 'strategic' })).rejects.toMatchObject(
      refused(/alone says what stands in the part of deployments web/),
    )
    const rules = { rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['*'] }] }
    await expect(people.patch(role, rules, { type: 'merge' })).rejects.toMatchObject(refused(/Only the agent/))
  })

  it('refuses to be deleted, one by one, all at once, and with its namespace', async () => {
    await expect(people.delete(config)).rejects.toMatchObject(refused(/holds configmaps settings, which you delete/))
    await expect(people.raw('DELETE', `/api/v1/namespaces/${shop}/configmaps`)).rejects.toMatchObject(refused(/which you delete/))
    await expect(people.delete({ apiVersion: 'v1', kind: 'Namespace', name: shop })).rejects.toMatchObject(refused(/which you delete/))
  })

  it('refuses another owner, with whose end it would be deleted, and lets a controller that is named for it set one', async () => {
    const owner = await people.create<KubeObject>({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'owner', namespace: shop } })
    const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: owner.metadata.uid }]
    const owned = (by: KubeClient, dryRun = false) => by.patch(config, { metadata: { ownerReferences } }, { type: 'merge', dryRun })
    await expect(owned(people)).rejects.toMatchObject(refused(/alone says which owners \(ownerReferences\) configmaps settings has/))
    await placed('1.1.0', { drift: { mode: 'prevent', controllers: [{ user: 'scaler', paths: ['metadata.ownerReferences'] }] } })
    await eventually(async () =>
      owned(scaler, true).then(
        () => true,
        () => false,
      ),
    )
    await expect(owned(people, true)).rejects.toMatchObject(refused(/alone says which owners/))
    await placed('1.1.0')
    await people.delete(inShop('ConfigMap', 'owner'))
  })

  it('refuses another count of replicas by the scale subresource, and lets an autoscaler scale', async () => {
    const scale = (by: KubeClient, replicas: number) => by.patch(web, { spec: { replicas } }, { type: 'merge', subresource: 'scale' })
    await eventually(async () =>
      scale(people, 2).then(
        () => false,
        (error: unknown) => /sets the replicas of deployments web/.test(String(error)),
      ),
    )
    const hpa = new KubeClient(
      {
        ...(await loadKubeconfig(inject('kubeconfig'))),
        impersonate: { user: 'system:serviceaccount:kube-system:horizontal-pod-autoscaler', groups: ['system:masters'] },
      },
      { userAgent: 'kube-controller-manager', fieldManager: 'kube-controller-manager' },
    )
    await scale(hpa, 0)
    hpa.close()
  })

  it('is in the way of none of the control loops of Kubernetes: endpoints, slices, revisions, what they make with its labels', async () => {
    const slices = {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      namespace: shop,
      labelSelector: 'kubernetes.io/service-name=web',
    }
    await eventually(async () => (await client.list(slices)).items.length === 1)
    const [slice] = (await client.list(slices)).items
    expect(slice?.metadata.labels).toMatchObject({ 'muster.dev/guard': cluster })
    // It bears the label of its Service, and is nobody's but the controller's: people may delete it, and it comes back.
    await people.delete(inShop('EndpointSlice', slice?.metadata.name ?? '', 'discovery.k8s.io/v1'))
    await eventually(async () => (await client.list(slices)).items.length === 1)
    await eventually(async () => (await client.get(web)).metadata.annotations?.['deployment.kubernetes.io/revision'] !== undefined)
  })

  it('is in the way of no controller: claims and pods of a stateful set, status, eviction, ephemeral containers, a namespace that goes', async () => {
    const guest = `guest-${id}`
    const namespace = { apiVersion: 'v1', kind: 'Namespace', name: guest }
    const solo: Ref = { apiVersion: 'v1', kind: 'Pod', name: 'solo', namespace: guest }
    await people.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: guest } })
    const entry = await fleet.publish(guest, '1.0.0', stateful)
    const other = { ...(await fleet.publish(shop, '1.1.0', manifests('1.1.0'))), settings: { drift: { mode: 'prevent' as const } } }
    await fleet.channel([{ ...entry, settings: other.settings }, other])
    const claims = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: guest }
    await eventually(async () => (await client.list(claims)).items.length === 1)
    const set = inShop('StatefulSet', 'db', 'apps/v1')
    await eventually(async () => ((await client.get({ ...set, namespace: guest }))['status'] as { replicas?: number }).replicas === 1)
    await eventually(async () => (await client.find(solo)) !== undefined)
    expect((await client.get(solo)).metadata.labels).toMatchObject({ 'muster.dev/guard': cluster })
    await expect(people.delete(solo)).rejects.toMatchObject(refused(/which you delete/))
    const debug = { spec: { ephemeralContainers: [{ name: 'debug', image: 'registry.example/debug:1' }] } }
    await people.patch(solo, debug, { type: 'strategic', subresource: 'ephemeralcontainers' })
    await people.patch(solo, { status: { message: 'seen' } }, { type: 'merge', subresource: 'status' })
    await people.raw('POST', `/api/v1/namespaces/${guest}/pods/solo/eviction`, {
      body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'solo', namespace: guest } },
    })
    const before = await client.get(namespace)
    await fleet.channel([other])
    await people.delete(namespace)
    await eventually(async () => (await client.find(namespace))?.metadata.uid !== before.metadata.uid)
    await fleet.reported((one) => one.generation === fleet.generation && one.releases.length === 1)
  })

  it('lets a controller write the fields for which the placement names it, and no others, and anybody what is ignored', async () => {
    await placed('1.2.0', {
      drift: {
        mode: 'prevent',
        controllers: [{ kind: 'ConfigMap', user: 'scaler', paths: ['data.tone'] }],
        ignore: [{ kind: 'Deployment', path: 'spec.template.spec.containers[name=web].image', owner: 'shop-team' }],
      },
    })
    const tone = { data: { tone: 'rude' } }
    await eventually(async () =>
      scaler.patch(config, tone, { type: 'merge', dryRun: true }).then(
        () => true,
        () => false,
      ),
    )
    await expect(patch(tone)).rejects.toMatchObject(refused(/Only the agent/))
    await expect(scaler.patch(config, { data: { tone: 'rude', greeting: 'x' } }, { type: 'merge' })).rejects.toMatchObject(
      refused(/Only the agent/),
    )
    await scaler.patch(config, tone, { type: 'merge', fieldManager: 'scaler' })
    const image = { spec: { template: { spec: { containers: [{ name: 'web', image: 'registry.example/web:debug' }] } } } }
    await people.patch(web, image, { type: 'strategic', fieldManager: 'kubectl-edit' })
    // Only what was seen is told to be meant: from then on, to leave it is a decision.
    await eventually(async () => (await tolerated()).length === 2)
    await fleet.reported((one) => release(one)?.ready === true)
    expect((await client.get(config))['data']).toMatchObject({ tone: 'rude', greeting: 'hello' })
    expect(JSON.stringify((await client.get(web))['spec'])).toMatch(/web:debug/)
  })
})

async function tolerated(): Promise<readonly unknown[]> {
  const { status } = await client.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: shop })
  return status?.drift?.tolerated ?? []
}

describe('the guard itself', () => {
  it('comes back when somebody takes it away or changes it, and its parameters are guarded by it', async () => {
    const [found] = (await client.list({ ...policy, labelSelector: `muster.dev/guard-of=${cluster}` })).items
    const ref = { ...policy, name: found?.metadata.name ?? '' }
    await people.delete(ref)
    await eventually(async () => (await client.find(ref)) !== undefined)
    await people.patch(ref, { spec: { failurePolicy: 'Ignore' } }, { type: 'merge' })
    await eventually(async () => ((await client.get(ref))['spec'] as { failurePolicy: string }).failurePolicy === 'Fail')
    await guarded()
    const parameter = { apiVersion: 'v1', kind: 'ConfigMap', namespace: system, name: 'muster-guard-scale' }
    await expect(people.delete(parameter)).rejects.toMatchObject(refused(/Only the agent/))
  })

  it('is written once for many releases, and not at all when nothing of it changes', async () => {
    const writes = (): number => agent.applied.filter((one) => one.includes('muster-guard')).length
    const more = await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        fleet.publish(`${shop}-${i}`, '1.0.0', `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\n`),
      ),
    )
    const before = writes()
    const entries = more.map((entry) => ({ ...entry, settings: { drift: { mode: 'prevent' as const } } }))
    await fleet.channel([
      { ...(await fleet.publish(shop, '1.2.0', manifests('1.2.0'))), settings: { drift: { mode: 'prevent' } } },
      ...entries,
    ])
    await fleet.reported(
      (one) => one.generation === fleet.generation && one.releases.length === 13 && one.releases.every(({ ready }) => ready),
    )
    // The exemptions of the version before went: the policy alone was written, once.
    expect(writes() - before).toBeLessThanOrEqual(2)
  })

  it('goes when no release asks for it, and with it the refusals', async () => {
    await placed('1.2.0', { drift: { mode: 'correct' } })
    await eventually(async () => (await parts()).length === 0)
    await eventually(async () =>
      patch({ data: { greeting: 'goodbye' } }).then(
        () => true,
        () => false,
      ),
    )
    await eventually(async () => ((await client.get(config))['data'] as { greeting: string }).greeting === 'hello')
  })
})
