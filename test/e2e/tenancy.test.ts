import { randomBytes } from 'node:crypto'
import { apiVersion, type Placement, type Release } from '@muster/api'
import type { KubeClient, KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'
import { Written } from '../environment/written.ts'

/** A tenant's release with a value that only its cluster can read, from the command line to the pod that answers with it. */
const instance = sharedInstance()
const namespace = 'payments'
const value = `correct-horse-${randomBytes(12).toString('hex')}`
const patience = { withinMs: 60_000, everyMs: 500 }
let hub: KubeClient
let alpha: KubeClient
let written: Written

const grants = [{ name: 'apps', kinds: ['*'], namespaces: [namespace], until: new Date(Date.now() + 3 * 86_400_000).toISOString() }]
const tenant = { apiVersion, kind: 'Tenant', metadata: { name: 'payments' }, spec: { contact: 'payments@example.test', grants } }
const labels = { app: 'teller' }
// It greets with its secret: what reaches the pod is what it answers.
const teller = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'teller' },
  spec: {
    selector: { matchLabels: labels },
    template: {
      metadata: { labels },
      spec: {
        containers: [
          {
            name: 'teller',
            image: 'example.test/greeter:1.0.0',
            env: [{ name: 'GREETING', valueFrom: { secretKeyRef: { name: 'teller', key: 'greeting' } } }],
            readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1 },
          },
        ],
      },
    },
  },
}
const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'teller' },
  spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
}
const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'teller' } }
const parameters = [
  {
    name: 'greeting',
    schema: { type: 'string', minLength: 12 },
    secret: true,
    set: [{ target: { kind: 'Secret', name: 'teller' }, path: 'data.greeting' }],
  },
]

beforeAll(async () => {
  ;[hub, alpha] = await Promise.all([instance.client('hub'), instance.client('alpha')])
  written = await Written.open(instance)
  await written.publish('teller', '1.0.0', [teller, service, secret], { parameters })
  await instance.succeed('kubectl', 'hub', '--', 'apply', '-f', await written.file('tenant.yaml', tenant))
})

afterAll(async () => {
  await instance.muster('place', 'teller', '--nowhere')
  for (const kind of ['Placement', 'Tenant'])
    await hub.delete({ apiVersion, kind, name: kind === 'Tenant' ? 'payments' : 'teller' }).catch(() => undefined)
  await written.close()
})

const place = async (within: string, ...args: string[]): Promise<string> => {
  const spec = { tenant: 'payments', bundle: { version: '1.0.0' }, namespace: within, clusters: { names: ['alpha'] } }
  return instance.succeed('place', '-f', await written.placement('teller', spec), ...args)
}
const explained = (says: RegExp) =>
  eventually(
    async () => {
      const told = (await instance.succeed('release', 'explain', 'teller')).replaceAll(/\s+/g, ' ')
      return says.test(told) ? told : undefined
    },
    { ...patience, what: `explain says ${says}` },
  )
const answer = () => alpha.raw('GET', `/api/v1/namespaces/${namespace}/services/http:teller:80/proxy/`)
const sealed = async () =>
  (await hub.get<Placement & KubeObject>({ apiVersion, kind: 'Placement', name: 'teller' })).spec.sealed?.['alpha']?.['greeting']

describe('a sealed value', () => {
  it('is asked for where it is missing, and refused for a parameter that the bundle does not have', async () => {
    await place(namespace, '--no-wait')
    await explained(/The parameter greeting: it has no default and no value was given\. It is secret: seal one with "muster seal"/)
    const file = await written.file('value', value)
    const wrong = await instance.muster('seal', 'greetings', '--cluster', 'alpha', '--release', 'teller', '--from-file', file)
    expect(wrong).toMatchObject({ code: 1, stdout: '' })
    expect(wrong.stderr).toContain('teller 1.0.0 has no secret parameter greetings. It has: greeting.')
    expect(await sealed()).toBeUndefined()
  })

  it('goes through the placement into the pod', async () => {
    const file = await written.file('value', value)
    await instance.succeed('seal', 'greeting', '--cluster', 'alpha', '--release', 'teller', '--from-file', file)
    await place(namespace)
    expect(await answer()).toBe(`${value}, world!\n`)
  })

  it('is sealed anew to a new key of its cluster, and the pod does not notice', async () => {
    const before = await sealed()
    const said = await instance.succeed('seal', '--rotate', '--cluster', 'alpha')
    expect(said).toMatch(/alpha has a new sealing key, \S+; 1 value is sealed anew to it\./)
    expect(await sealed()).not.toBe(before)
    await instance.succeed('release', 'reconcile', 'teller', '--cluster', 'alpha')
    expect(await answer()).toBe(`${value}, world!\n`)
  })

  it('is nowhere else: not in logs, events, the Release, the hub, or what commands print', async () => {
    const logs = (cluster: string, program: string) =>
      instance.succeed('kubectl', cluster, '--', '-n', 'muster-system', 'logs', `deployment/${program}`)
    const all = async (client: KubeClient, ...kinds: [version: string, kind: string][]) =>
      JSON.stringify(await Promise.all(kinds.map(([version, kind]) => client.list({ apiVersion: version, kind }))))
    const texts = {
      agent: await logs('alpha', 'muster-agent'),
      hub: await logs('hub', 'muster-hub'),
      alpha: await all(alpha, ['events.k8s.io/v1', 'Event'], [apiVersion, 'Release'], ['v1', 'ConfigMap']),
      'objects of the hub': await all(hub, [apiVersion, 'Placement'], [apiVersion, 'Cluster'], ['v1', 'ConfigMap'], ['v1', 'Secret']),
      explain: await instance.succeed('release', 'explain', 'teller'),
      diff: await instance.succeed('release', 'diff', 'teller'),
      render: await instance.succeed('bundle', 'render', 'bundles/teller:1.0.0', '--cluster', 'alpha', '-o', 'json'),
    }
    const forms = [value, Buffer.from(value).toString('base64').replace(/=+$/, ''), Buffer.from(value).toString('hex')]
    for (const [place, text] of Object.entries(texts)) {
      expect(text.length, place).toBeGreaterThan(10)
      for (const form of forms) expect(text.includes(form), place).toBe(false)
    }
  })
})

describe('a tenant', () => {
  it('is listed with the level and the duration of what it was granted', async () => {
    expect(await instance.succeed('tenant', 'list')).toMatch(/payments +yes +apps +namespace +payments +alpha,bravo,hub +\S+ \(in 2 d\)/)
    const shown = await instance.succeed('tenant', 'show', 'payments')
    expect(shown).toContain('Tenant payments, payments@example.test: ready')
    expect(shown).toContain('all kinds in payments, on alpha, bravo, hub')
    expect(shown).toContain('teller 1.0.0 on alpha')
  })

  it('is refused by name what it was not granted, and what ran goes on', async () => {
    await place('kube-system', '--no-wait')
    await explained(/Tenant payments may not have: .*Deployment kube-system\/teller \(no grant has namespace kube-system\)/)
    expect(await alpha.find({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'kube-system', name: 'teller' })).toBeUndefined()
    expect(await answer()).toBe(`${value}, world!\n`)
  })

  it('goes whole with its last release: objects, rights and namespace', async () => {
    await instance.succeed('place', 'teller', '--nowhere')
    expect(await alpha.find<Release & KubeObject>({ apiVersion, kind: 'Release', name: 'teller' })).toBeUndefined()
    for (const ref of [
      { apiVersion: 'v1', kind: 'Namespace', name: namespace },
      { apiVersion: 'v1', kind: 'ServiceAccount', namespace: 'muster-system', name: 'muster-tenant-payments' },
    ])
      await eventually(async () => ((await alpha.find(ref)) === undefined ? true : undefined), { ...patience, what: `${ref.kind} goes` })
  })
})
