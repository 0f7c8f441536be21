import type { KubeClient, KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { entryOf, planRelease, previewPlan } from './index.ts'
import { TestInstaller } from './testing/installer.ts'

let installer: TestInstaller
let client: KubeClient
let release: string

beforeAll(async () => {
  installer = await TestInstaller.connect(inject('kubeconfig'))
  client = installer.client
  release = `preview-${installer.id}`
})

afterAll(async () => {
  await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: release })
  client.close()
})

const settings = (name: string, value: string): KubeObject => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { value } })

async function preview(objects: readonly KubeObject[], inventory: KubeObject[] = []): Promise<Record<string, string>> {
  const plan = await planRelease(client, objects, { release, inventory: inventory.map((object) => entryOf(object)) })
  const previews = await previewPlan(client, plan, {
    release,
    inventory: inventory.map((object) => entryOf(object)),
    takeOver: { adopt: [{ name: 'adopted' }] },
  })
  return Object.fromEntries(previews.map(({ ref, what, code }) => [`${ref.kind} ${ref.name}`, code ?? what]))
}

const definition = (group: string): KubeObject => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `gears.${group}` },
  spec: {
    group,
    scope: 'Namespaced',
    names: { kind: 'Gear', plural: 'gears' },
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
  },
})

describe('a preview', () => {
  it('of a new release names all that would be made, also in a namespace and of a kind that are not there yet', async () => {
    const group = `p${installer.id}.example.test`
    const objects = [settings('a', '1'), definition(group), { apiVersion: `${group}/v1`, kind: 'Gear', metadata: { name: 'one' } }]
    expect(await preview(objects)).toEqual({
      [`CustomResourceDefinition gears.${group}`]: 'Created',
      [`Namespace ${release}`]: 'Created',
      'ConfigMap a': 'Created',
      'Gear one': 'Created',
    })
    expect(await client.find({ apiVersion: 'v1', kind: 'Namespace', name: release })).toBeUndefined()
  })

  it('of another version tells what changes, goes, is adopted, and is refused, and changes nothing', async () => {
    const job = (command: string, annotations: Record<string, string>): KubeObject => ({
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: command === '' ? 'kept' : `job-${Object.keys(annotations).length}`, annotations },
      spec: {
        suspend: true,
        template: { spec: { restartPolicy: 'Never', containers: [{ name: 'one', image: 'registry.example/one:1', command: [command] }] } },
      },
    })
    const declared = { 'muster.dev/recreate': 'true' }
    const before = [settings('same', '1'), settings('changed', '1'), settings('gone', '1'), job('a', {}), job('a', declared)]
    const { applied, failures } = await installer.install(before, release)
    expect(failures).toEqual([])
    const theirs = (name: string) =>
      client.create({ ...settings(name, '0'), metadata: { name, namespace: release } }, { fieldManager: 'kubectl-create' })
    await theirs('adopted')
    await theirs('refused')
    const live = await client.list({ apiVersion: 'v1', kind: 'ConfigMap', namespace: release })
    const after = [
      settings('same', '1'),
      settings('changed', '2'),
      settings('adopted', '1'),
      settings('refused', '1'),
      job('b', {}),
      job('b', declared),
    ]
    expect(
      await preview(
        after,
        [...applied.values()].map(({ object }) => object),
      ),
    ).toEqual({
      [`Namespace ${release}`]: 'Same',
      'ConfigMap same': 'Same',
      'ConfigMap changed': 'Changed',
      'ConfigMap gone': 'Removed',
      'ConfigMap adopted': 'Adopted',
      'ConfigMap refused': 'NotAdopted',
      'Job job-0': 'Immutable',
      'Job job-1': 'Recreated',
    })
    const still = await client.list({ apiVersion: 'v1', kind: 'ConfigMap', namespace: release })
    expect(still.items.map(({ metadata }) => metadata.resourceVersion)).toEqual(live.items.map(({ metadata }) => metadata.resourceVersion))
  })
})
