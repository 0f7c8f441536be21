import { setTimeout as pause } from 'node:timers/promises'
import type { KubeObject } from '@muster/kube'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { isWrite } from '../../../../test/environment/faulty-proxy.ts'
import { type FaultyCluster, openFaultyCluster } from '../testing/faulty-cluster.ts'

const webhook = 'policy.example.test'
const settings = { drift: { mode: 'correct' } } as const

let cluster: FaultyCluster
let [hooked, other] = ['', '']

beforeAll(async () => {
  cluster = await openFaultyCluster()
  hooked = `hooked-${cluster.id}`
  other = `other-${cluster.id}`
  cluster.agent.start()
})

afterEach(async () => {
  await repair()
})

afterAll(async () => {
  await cluster.close([hooked, other])
})

const publish = async (name: string, version: string) => {
  const config = `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {version: "${version}"}\n`
  const service = 'apiVersion: v1\nkind: Service\nmetadata: {name: one}\nspec: {selector: {app: one}, ports: [{port: 80}]}\n'
  return { ...(await cluster.fleet.publish(name, version, `${config}---\n${service}`)), settings }
}

/** Somebody else's webhook that must be asked, and whose service is not there; for one namespace only. */
async function breakWebhook(...operations: readonly string[]): Promise<void> {
  await cluster.client.create({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: `faults-${cluster.id}` },
    webhooks: [
      {
        name: webhook,
        failurePolicy: 'Fail',
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
        timeoutSeconds: 2,
        clientConfig: { service: { name: 'nobody', namespace: `agent-${cluster.id}`, path: '/' } },
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': hooked } },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations, resources: ['configmaps'] }],
      },
    ],
  } as KubeObject)
  // The API server takes a moment to see it; until then it asks nobody.
  const probe = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'probe', namespace: hooked } }
  if (operations.includes('CREATE')) {
    await cluster.client.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: hooked } }, { force: true })
    await cluster.eventually('the webhook is asked', async () =>
      cluster.client.create(probe, { dryRun: true }).then(
        () => false,
        () => true,
      ),
    )
  } else {
    const ref = { apiVersion: 'v1', kind: 'ConfigMap', name: 'kube-root-ca.crt', namespace: hooked }
    await cluster.eventually('the webhook is asked', async () =>
      cluster.client.delete(ref, { dryRun: true }).then(
        () => false,
        () => true,
      ),
    )
  }
}

async function repair(): Promise<void> {
  await cluster.client.delete({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    name: `faults-${cluster.id}`,
  })
}

/** How often the agent tried it in some seconds, while others write beside it all the time. */
async function triesIn(ms: number): Promise<number> {
  const { client, proxy } = cluster
  const from = proxy.requests.length
  const until = performance.now() + ms
  const ref = { apiVersion: 'v1', kind: 'Service', namespace: hooked, name: 'one' }
  for (let at = 0; performance.now() < until; at += 1) {
    await client.patch(ref, { metadata: { annotations: { 'example.test/at': String(at) } } }, { type: 'merge' }).catch(() => undefined)
    await pause(50)
  }
  return proxy.requests.slice(from).filter((one) => isWrite(one) && one.path.includes(`/namespaces/${hooked}/configmaps/one`)).length
}

describe('a webhook of somebody else that must be asked and does not answer', () => {
  it('holds up only the release that it is asked for, which names it and what to do, tries ever less often, and comes good by itself', async () => {
    const { fleet } = cluster
    await breakWebhook('CREATE', 'UPDATE')
    const entry = await publish(hooked, '1.0.0')
    await fleet.channel([entry, await publish(other, '1.0.0')])
    const told = await cluster.reported(hooked, (one) => one?.reason === 'ApplyFailed')
    expect(told?.message).toContain(`ConfigMap ${hooked}/one`)
    expect(told?.message).toContain(`failed calling webhook "${webhook}"`)
    expect(told?.message).toContain('Repair what answers for it, or change its configuration')
    await cluster.reported(other, (one) => one?.ready === true)
    // After one, two and four seconds, and each time four requests.
    expect(await triesIn(6_000)).toBeLessThanOrEqual(16)
    await fleet.channel([entry, await publish(other, '2.0.0')])
    await cluster.reported(other, (one) => one?.ready === true && one.version === '2.0.0')
    await repair()
    await cluster.reported(hooked, (one) => one?.ready === true)
  })

  it('holds up the removal of that release alone, which says so and goes on when it answers', async () => {
    const { fleet, client } = cluster
    await breakWebhook('DELETE')
    await fleet.channel([await publish(other, '2.0.0')])
    const told = await cluster.reported(hooked, (one) => one?.reason === 'Pruning' && one.message.includes(webhook))
    expect(told?.message).toContain(`ConfigMap ${hooked}/one`)
    expect(told?.message).toContain('Repair what answers for it, or change its configuration')
    expect(await client.find({ apiVersion: 'v1', kind: 'Namespace', name: hooked })).toBeDefined()
    expect(await triesIn(6_000)).toBeLessThanOrEqual(12)
    await fleet.channel([await publish(other, '3.0.0')])
    await cluster.reported(other, (one) => one?.ready === true && one.version === '3.0.0')
    await repair()
    await cluster.reported(hooked, (one) => one === undefined)
    expect(await client.find({ apiVersion: 'v1', kind: 'ConfigMap', name: 'one', namespace: hooked })).toBeUndefined()
  })
})
