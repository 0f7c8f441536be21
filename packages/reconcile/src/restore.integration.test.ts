import type { KubeClient, KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type Applied, applyObject, describeDrift, fieldManager, fieldOwners, isDrifted, refOf } from './index.ts'
import { ownFields } from './managed-fields.ts'
import { TestInstaller } from './testing/installer.ts'

let installer: TestInstaller
let client: KubeClient
let release: string

beforeAll(async () => {
  installer = await TestInstaller.connect(inject('kubeconfig'))
  client = installer.client
  release = `mend-${installer.id}`
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: release } })
})

afterAll(async () => {
  await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: release })
  client.close()
})

type JsonPatch = readonly { op: 'replace' | 'add' | 'remove'; path: string; value?: unknown }[]

/** Installs an object, has someone edit it, and brings it back as the agent does. */
async function edited(object: KubeObject, patch: JsonPatch): Promise<{ installed: Applied; corrected: Applied; note: string }> {
  const { plan, applied, failures } = await installer.install([object], release)
  expect(failures).toEqual([])
  const [planned] = plan.objects
  const installed = planned === undefined ? undefined : applied.get(planned.key)
  if (planned === undefined || installed === undefined) throw new Error('not installed')
  await installer.meddle(refOf(planned.object), patch, 'json')
  expect(isDrifted(await installer.live(planned.object), fieldManager, installed.ownership)).toBe(true)
  const corrected = await applyObject(client, planned.object, { release, accepted: true })
  expect(ownFields(corrected.object, fieldManager)).toEqual(ownFields(installed.object, fieldManager))
  expect(isDrifted(await installer.live(planned.object), fieldManager, corrected.ownership)).toBe(false)
  // A second owner of our name would keep alive what a later version drops.
  expect(fieldOwners(corrected.object).filter((owner) => owner.manager === fieldManager && owner.operation === 'Update')).toEqual([])
  expect(corrected.difference?.type).toBe('Changed')
  const note = describeDrift(corrected.difference ?? { ref: refOf(object), type: 'Deleted', changes: [] })
  expect(note).toContain('"kubectl-edit"')
  return { installed, corrected, note }
}

const service = (name: string, spec: object): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name },
  spec: { selector: { app: 'web' }, ...spec },
})

describe('a Service gets back', () => {
  it('a port that was changed by hand, and keeps its addresses and what others noted on it', async () => {
    const ports = [
      { name: 'http', port: 9898, protocol: 'TCP', targetPort: 'http' },
      { name: 'grpc', port: 9999, protocol: 'TCP', targetPort: 'grpc' },
    ]
    const { installed, corrected, note } = await edited(service('two', { type: 'NodePort', ports }), [
      { op: 'replace', path: '/spec/ports/0/port', value: 7000 },
      { op: 'add', path: '/metadata/annotations', value: { 'example.test/note': 'mine' } },
      { op: 'add', path: '/metadata/labels/example.test~1tier', value: 'front' },
      { op: 'add', path: '/spec/publishNotReadyAddresses', value: true },
    ])
    expect(corrected.object).toMatchObject({
      metadata: {
        annotations: { 'example.test/note': 'mine' },
        labels: { 'example.test/tier': 'front', 'muster.dev/release': release },
      },
      spec: { ports, publishNotReadyAddresses: true },
    })
    const spec = (object: KubeObject) => object['spec'] as { clusterIP: string; ports: { nodePort: number }[] }
    expect(spec(corrected.object).clusterIP).toBe(spec(installed.object).clusterIP)
    expect(spec(corrected.object).ports[1]?.nodePort).toBe(spec(installed.object).ports[1]?.nodePort)
    expect(note).toContain('.spec.ports[port=9898,protocol=TCP]')
    expect(note).toContain('.spec.ports[port=7000,protocol=TCP] added by field manager "kubectl-edit" (Update, ')
  })

  it('its only port, named or not, with its protocol left to the default', async () => {
    for (const [name, port] of Object.entries({ named: { name: 'http', port: 80 }, unnamed: { port: 80 } })) {
      const { corrected } = await edited(service(name, { ports: [port] }), [{ op: 'replace', path: '/spec/ports/0/port', value: 7000 }])
      expect(corrected.object).toMatchObject({ spec: { ports: [{ ...port, protocol: 'TCP', targetPort: 80 }] } })
    }
  })

  it('the protocol of its port, and its ports when all were replaced', async () => {
    const ports = [{ name: 'dns', port: 53 }]
    const first = await edited(service('dns', { ports }), [{ op: 'replace', path: '/spec/ports/0/protocol', value: 'UDP' }])
    expect(first.corrected.object).toMatchObject({ spec: { ports: [{ name: 'dns', port: 53, protocol: 'TCP' }] } })
    const second = await edited(service('dns', { ports }), [{ op: 'replace', path: '/spec/ports', value: [{ name: 'dns', port: 54 }] }])
    expect(second.corrected.object).toMatchObject({ spec: { ports: [{ name: 'dns', port: 53, protocol: 'TCP' }] } })
  })

  it('its type, when it was made a mere name', async () => {
    const { corrected } = await edited(service('alias', { type: 'ClusterIP', ports: [{ port: 80 }] }), [
      { op: 'replace', path: '/spec/type', value: 'ExternalName' },
      { op: 'add', path: '/spec/externalName', value: 'elsewhere.example' },
    ])
    expect(corrected.object).toMatchObject({ spec: { type: 'ClusterIP', ports: [{ port: 80 }] } })
  })

  it('its port, when it was deleted and made by hand with another', async () => {
    const object = service('swapped', { ports: [{ name: 'http', port: 80 }] })
    const { plan } = await installer.install([object], release)
    const [planned] = plan.objects
    if (planned === undefined) throw new Error('not planned')
    await client.delete(refOf(planned.object))
    await client.create(
      { ...object, metadata: { name: 'swapped', namespace: release }, spec: { ports: [{ name: 'http', port: 7000 }] } } as KubeObject,
      { fieldManager: 'kubectl-create' },
    )
    await expect(applyObject(client, planned.object, { release })).rejects.toMatchObject({ code: 'NotAdopted' })
    const corrected = await applyObject(client, planned.object, { release, accepted: true })
    expect(corrected.object).toMatchObject({ spec: { ports: [{ name: 'http', port: 80 }] } })
    expect((corrected.object['spec'] as { ports: unknown[] }).ports).toHaveLength(1)
  })
})

describe('a correction that meets another write', () => {
  it('starts again from what was written, and loses nothing of it', async () => {
    const { plan } = await installer.install([service('raced', { ports: [{ name: 'http', port: 80 }] })], release)
    const [planned] = plan.objects
    if (planned === undefined) throw new Error('not planned')
    const ref = refOf(planned.object)
    await installer.meddle(ref, [{ op: 'replace', path: '/spec/ports/0/port', value: 7000 }], 'json')
    let replaces = 0
    const api = installer.apiWith({
      replace: async (object, options) => {
        replaces += 1
        if (replaces === 1) await installer.meddle(ref, { metadata: { annotations: { 'example.test/note': 'mine' } } }, 'merge')
        return client.replace(object, options)
      },
    })
    const corrected = await applyObject(api, planned.object, { release, accepted: true })
    expect(replaces).toBe(2)
    expect(corrected.object).toMatchObject({
      metadata: { annotations: { 'example.test/note': 'mine' } },
      spec: { ports: [{ name: 'http', port: 80 }] },
    })
  })
})

describe('a correction during which a controller writes its status', () => {
  it('still leaves only one owner of what is signed', async () => {
    const { plan } = await installer.install([service('busy', { ports: [{ name: 'http', port: 80 }] })], release)
    const [planned] = plan.objects
    if (planned === undefined) throw new Error('not planned')
    const ref = refOf(planned.object)
    await installer.meddle(ref, [{ op: 'replace', path: '/spec/ports/0/port', value: 7000 }], 'json')
    let patches = 0
    const api = installer.apiWith({
      patch: async (what, patch, options) => {
        patches += 1
        const condition = { type: 'Busy', status: 'True', reason: 'Busy', message: '', lastTransitionTime: new Date().toISOString() }
        if (patches === 1) await client.patch(ref, { status: { conditions: [condition] } }, { type: 'merge', subresource: 'status' })
        return client.patch(what, patch, options)
      },
    })
    const { object } = await applyObject(api, planned.object, { release, accepted: true })
    expect(patches).toBe(2)
    expect(fieldOwners(object).filter((owner) => owner.manager === fieldManager && owner.operation === 'Update')).toEqual([])
  })
})

describe('a pod template gets back', () => {
  const pod = {
    containers: [
      {
        name: 'web',
        image: 'registry.example/web:1.0',
        ports: [{ name: 'http', containerPort: 8080 }],
        env: [
          { name: 'MODE', value: 'plain' },
          { name: 'LEVEL', value: 'info' },
        ],
        livenessProbe: { httpGet: { path: '/healthz', port: 'http' } },
        securityContext: { allowPrivilegeEscalation: false },
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
      },
    ],
    volumes: [{ name: 'data', configMap: { name: 'web' } }],
  }
  const deployment = (name: string): KubeObject => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      paused: true,
      strategy: { type: 'Recreate' },
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: pod },
    },
  })
  const inPod = '/spec/template/spec'
  const inContainer = `${inPod}/containers/0`

  const edits: readonly [string, JsonPatch, string][] = [
    ['a container that was renamed', [{ op: 'replace', path: `${inContainer}/name`, value: 'evil' }], '.containers[name=evil]'],
    ['a variable that was renamed', [{ op: 'replace', path: `${inContainer}/env/0/name`, value: 'EVIL' }], '.env[name=EVIL]'],
    [
      'a variable that was made a reference',
      [
        { op: 'remove', path: `${inContainer}/env/0/value` },
        { op: 'add', path: `${inContainer}/env/0/valueFrom`, value: { fieldRef: { fieldPath: 'metadata.name' } } },
      ],
      '.env[name=MODE].valueFrom',
    ],
    [
      'a variable that was given a second time',
      [{ op: 'add', path: `${inContainer}/env/-`, value: { name: 'MODE', value: 'evil' } }],
      '.env[name=MODE]',
    ],
    ['a port of a container', [{ op: 'replace', path: `${inContainer}/ports/0/containerPort`, value: 7000 }], '.ports[containerPort=7000'],
    [
      'a mount that was moved',
      [{ op: 'replace', path: `${inContainer}/volumeMounts/0/mountPath`, value: '/evil' }],
      '.volumeMounts[mountPath=/evil]',
    ],
    [
      'a volume that was renamed',
      [
        { op: 'replace', path: `${inPod}/volumes/0/name`, value: 'evil' },
        { op: 'replace', path: `${inContainer}/volumeMounts/0/name`, value: 'evil' },
      ],
      '.volumes[name=evil]',
    ],
    [
      'a volume that was made one of another sort',
      [{ op: 'replace', path: `${inPod}/volumes/0`, value: { name: 'data', hostPath: { path: '/' } } }],
      '.volumes[name=data].hostPath',
    ],
    [
      'a probe that was made a command',
      [{ op: 'replace', path: `${inContainer}/livenessProbe`, value: { exec: { command: ['true'] } } }],
      '.livenessProbe.exec',
    ],
    [
      'a privilege that was denied',
      [{ op: 'replace', path: `${inContainer}/securityContext`, value: { privileged: true } }],
      '.securityContext.privileged',
    ],
  ]

  it.each(edits)('%s', async (title, patch, path) => {
    const { installed, corrected, note } = await edited(deployment(`web-${edits.findIndex(([one]) => one === title)}`), [
      ...patch,
      { op: 'add', path: '/metadata/annotations', value: { 'example.test/note': 'mine' } },
      { op: 'replace', path: '/spec/replicas', value: 3 },
    ])
    expect(corrected.object['spec']).toEqual({ ...(installed.object['spec'] as object), replicas: 3 })
    expect(corrected.object.metadata.annotations).toMatchObject({ 'example.test/note': 'mine' })
    expect(note).toContain(path)
  })

  it('a strategy that was changed to one with settings', async () => {
    const { corrected, note } = await edited(deployment('rolling'), [
      { op: 'replace', path: '/spec/strategy', value: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } },
    ])
    expect(corrected.object).toMatchObject({ spec: { strategy: { type: 'Recreate' } } })
    expect(note).toContain('.spec.strategy')
  })
})

describe('an object that is refused for its own content', () => {
  it('is told of, and nothing of it is touched', async () => {
    const { applied } = await installer.install([service('bad', { ports: [{ name: 'http', port: 80 }] })], release)
    const [installed] = [...applied.values()]
    await installer.meddle(
      { apiVersion: 'v1', kind: 'Service', name: 'bad', namespace: release },
      [{ op: 'replace', path: '/spec/ports/0/port', value: 7000 }],
      'json',
    )
    const result = await installer.install([service('bad', { ports: [{ name: 'http', port: 123456 }] })], release)
    expect(result.failures).toEqual([expect.objectContaining({ code: 'Invalid', transient: false })])
    const live = await client.get({ apiVersion: 'v1', kind: 'Service', name: 'bad', namespace: release })
    expect(live).toMatchObject({ metadata: { uid: installed?.object.metadata.uid }, spec: { ports: [{ port: 7000 }] } })
  })
})
