import { apiVersion, type InventoryEntry, type Release } from '@muster/api'
import type { KubeClient, KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'

const instance = sharedInstance()
let bravo: KubeClient
const neighbour = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'neighbour', namespace: 'podinfo' },
  data: { owner: 'somebody else' },
}

beforeAll(async () => {
  bravo = await instance.client('bravo')
})

afterAll(async () => {
  await bravo.delete({ apiVersion: 'v1', kind: 'ConfigMap', namespace: 'podinfo', name: 'neighbour' }).catch(() => undefined)
  await instance.succeed('place', 'podinfo', '--on', 'alpha,bravo')
})

describe('a placement narrowed to alpha', () => {
  it('prunes in bravo exactly the inventory, and leaves what others made beside it', async () => {
    await bravo.apply(neighbour, { fieldManager: 'neighbour' })
    const release = await bravo.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: 'podinfo' })
    const inventory = release.status?.inventory ?? []
    expect(inventory.length).toBeGreaterThanOrEqual(3)
    const others = await managedByOthers(bravo, inventory)

    await instance.succeed('place', 'podinfo', '--on', 'alpha')
    await eventually(async () => ((await bravo.find({ apiVersion, kind: 'Release', name: 'podinfo' })) ? undefined : true), {
      withinMs: 120_000,
      what: 'the Release is gone from bravo',
    })

    for (const entry of inventory.filter((one) => one.kind !== 'Namespace')) {
      expect(await bravo.find(entry), `${entry.kind} ${entry.name}`).toBeUndefined()
    }
    expect(await managedByOthers(bravo, inventory)).toEqual(others)
    expect(await bravo.find({ apiVersion: 'v1', kind: 'ConfigMap', namespace: 'podinfo', name: 'neighbour' })).toBeDefined()
  })

  it('leaves alpha as it is', async () => {
    const alpha = await instance.client('alpha')
    const release = await alpha.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: 'podinfo' })
    expect(release.status?.conditions?.find((condition) => condition.type === 'Ready')?.status).toBe('True')
  })
})

/** Identities of all lasting objects that are not in the inventory, pods and what controllers derive left out. */
async function managedByOthers(client: KubeClient, inventory: readonly InventoryEntry[]): Promise<string[]> {
  const mine = new Set(inventory.map((entry) => `${entry.kind}/${entry.namespace ?? ''}/${entry.name}`))
  const kinds = [
    ['v1', 'Namespace'],
    ['v1', 'ConfigMap'],
    ['v1', 'Secret'],
    ['v1', 'Service'],
    ['v1', 'ServiceAccount'],
    ['apps/v1', 'Deployment'],
    ['apps/v1', 'DaemonSet'],
    ['autoscaling/v2', 'HorizontalPodAutoscaler'],
    ['rbac.authorization.k8s.io/v1', 'ClusterRole'],
    ['rbac.authorization.k8s.io/v1', 'ClusterRoleBinding'],
  ] as const
  const lists = await Promise.all(
    kinds.map(async ([version, kind]) => ({ kind, items: (await client.list({ apiVersion: version, kind })).items })),
  )
  return (
    lists
      .flatMap(({ kind, items }) => items.map((item) => `${kind}/${item.metadata.namespace ?? ''}/${item.metadata.name}`))
      // The write guard is there for releases that ask for it, and goes with the last of them.
      .filter((identity) => !mine.has(identity) && !identity.startsWith('ConfigMap/muster-system/muster-guard'))
      .sort()
  )
}
