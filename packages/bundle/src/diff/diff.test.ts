import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseManifests } from '../manifests.ts'
import type { ReadBundle } from '../read.ts'
import { connectionsOf } from './connections.ts'
import { diffBundles } from './diff.ts'
import { fieldChanges } from './fields.ts'
import { permissionsOf, permissionText } from './permissions.ts'
import { diffText } from './text.ts'

const objectsOf = (yaml: string) => parseManifests(yaml, 'test.yaml').map(({ object }) => object)
const digest = (letter: string) => `sha256:${letter.repeat(64)}`

function bundle(version: string, yaml: string, more: Partial<ReadBundle['config']> = {}): ReadBundle {
  const objects = objectsOf(yaml)
  return {
    descriptor: { mediaType: '', digest: digest(version.slice(-1)), size: 1 },
    config: { name: 'shop', version, images: [], components: [], objects: objects.length, ...more },
    objects,
    health: more.health ?? [],
    images: [],
    nested: [],
    parameters: [],
  }
}
const image = (name: string, letter: string) => ({ name, digest: digest(letter), mediaType: '', size: 1 })

const deployment = (tag: string, letter: string, extra = '') => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app.kubernetes.io/version: "${tag}"}}
spec:
  replicas: ${tag === '1.0' ? 1 : 2}
  template:
    spec:
      containers:
      - name: web
        image: registry.example/web:${tag}@${digest(letter)}
        args: [--db=postgres://user:secret@db.example.test:5432/shop${extra}]
`
const rbac = (verbs: string) => `
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: web}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [${verbs}]}, {apiGroups: [apps], resources: [deployments], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: web}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: web}
subjects: [{kind: ServiceAccount, name: web, namespace: shop}]
`
const service = (name: string, tag: string) => `
---
apiVersion: v1
kind: Service
metadata: {name: ${name}, labels: {helm.sh/chart: shop-${tag}}}
spec: {ports: [{port: 80, protocol: TCP}]}
`
const secret = (value: string) => `---\napiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {token: ${value}}\n`
const chart = (version: string, parameters: object[]) => ({
  component: 'web',
  name: 'web',
  version,
  release: 'web',
  namespace: 'shop',
  kubeVersion: '1.37.2',
  parameters: parameters as never,
  schema: {},
  schemaFrom: 'values.yaml' as const,
})

const old = bundle('1.0.0', deployment('1.0', 'a') + rbac('get') + service('web', '1') + service('old', '1') + secret('hunter2'), {
  images: [
    image('registry.example/web:1.0', 'a'),
    image('registry.example/gone:1', 'c'),
    image('registry.example/same:1', 'd'),
    image('registry.example/anew:1', 'e'),
  ],
  charts: [
    chart('1.0.0', [
      { name: 'replicas', type: 'integer', default: 1 },
      { name: 'gone', type: 'string', default: '' },
    ]),
  ],
})
const now = bundle(
  '1.1.0',
  deployment('1.1', 'b', ', "--mail=mail.example.test:25"') +
    rbac('get, list, delete') +
    service('web', '2') +
    service('new', '2') +
    secret('other'),
  {
    images: [
      image('registry.example/web:1.1', 'b'),
      image('registry.example/new:1', 'c'),
      image('registry.example/same:1', 'd'),
      image('registry.example/anew:1', 'f'),
    ],
    charts: [
      chart('1.1.0', [
        { name: 'replicas', type: 'integer', default: 1, value: 2 },
        { name: 'mail', type: 'string', default: '', description: 'Where mail goes' },
      ]),
    ],
  },
)
// The last digit of both versions is 0.
Object.assign(now.descriptor, { digest: digest('9') })

describe('the difference of two bundles', () => {
  it('reads like release notes', async () => {
    expect(diffText(diffBundles(old, now))).toBe(await readFile(join(import.meta.dirname, 'diff.golden.txt'), 'utf8'))
  })

  it('never shows what a secret holds, nor credentials in an address', () => {
    const diff = diffBundles(old, now)
    expect(JSON.stringify(diff.objects.changed.filter(({ object }) => object === 'Secret token'))).not.toMatch(/hunter2|other/)
    expect(JSON.stringify(connectionsOf(old.objects))).not.toContain('secret@')
    expect(connectionsOf(old.objects).map(({ what }) => what)).toContain('postgres://db.example.test:5432')
  })

  it('of a bundle and itself is none', () => {
    expect(diffText(diffBundles(old, old))).toContain('The same bundle')
    expect(diffBundles(old, old)).toMatchObject({
      images: [],
      objects: { added: [], removed: [], changed: [] },
      permissions: { added: [], removed: [] },
    })
  })

  it('turned round says the opposite', () => {
    const [there, back] = [diffBundles(old, now), diffBundles(now, old)]
    expect(back.objects.added).toEqual(there.objects.removed)
    expect(back.permissions.removed).toEqual(there.permissions.added)
    expect(back.connections.added).toEqual(there.connections.removed)
  })

  it('shows nothing that a terminal would obey', () => {
    const odd = bundle('1.2.3', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: "\\u001b[2J\\u202e"}\n')
    const text = diffText(diffBundles(bundle('1.2.2', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n'), odd))
    expect(text).toContain('data')
    expect([...text].some((character) => character === '\u001b' || character === '\u202e')).toBe(false)
  })

  it('finds fields of lists by name, whatever their order', () => {
    const [one, two] = [
      objectsOf(
        'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: one, image: "i:1"}, {name: two, image: "j:1"}]}\n',
      ),
      objectsOf(
        'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: two, image: "j:2"}, {name: one, image: "i:1"}]}\n',
      ),
    ]
    expect(one[0] && two[0] && fieldChanges(one[0], two[0])).toEqual([{ path: 'spec.containers[two].image', old: 'j:1', new: 'j:2' }])
  })
})

describe('what a bundle asks to be allowed', () => {
  it('is said per subject, of roles that it brings and of those that it only binds', () => {
    const text = permissionsOf(
      objectsOf(`${rbac("'*'").trim()}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: admin, namespace: shop}
roleRef: {kind: ClusterRole, name: cluster-admin}
subjects: [{kind: Group, name: ops}]
`),
    ).map(permissionText)
    expect(text).toEqual([
      'Group ops may do all that the ClusterRole cluster-admin of the cluster allows in namespace shop',
      'ServiceAccount shop/web may get apps/deployments in the whole cluster',
      'ServiceAccount shop/web may do all to configmaps in the whole cluster',
    ])
  })

  it('includes what pods ask of their host, and a say in what others write', () => {
    const text = permissionsOf(
      objectsOf(`apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  hostNetwork: true
  volumes: [{name: v, hostPath: {path: /etc}}]
  containers: [{name: c, securityContext: {privileged: true, capabilities: {add: [SYS_ADMIN]}}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: hook}
webhooks: [{rules: [{apiGroups: [""], resources: [pods]}]}]
`),
    ).map(permissionText)
    expect(text).toEqual([
      'MutatingWebhookConfiguration hook asks for a say in what others write (to change it): pods',
      'Pod a asks for a privileged container (c)',
      'Pod a asks for the capability SYS_ADMIN (container c)',
      "Pod a asks for the host's folder /etc",
      "Pod a asks for the host's network",
    ])
  })
})

describe('what a bundle offers to be set', () => {
  const parameter = (name: string, more: object = {}) => ({
    name,
    schema: { type: 'string' },
    set: [{ target: {}, path: 'spec' }],
    ...more,
  })
  const offering = (version: string, parameters: ReadBundle['parameters'], siteOverlays: ReadBundle['config']['siteOverlays']) => ({
    ...bundle(version, '', siteOverlays === undefined ? {} : { siteOverlays }),
    parameters,
  })

  it('is told where it is another, and what a site may change from then on', () => {
    const before = offering('1.0.0', [parameter('gone'), parameter('same'), parameter('size', { default: 1 })], undefined)
    const after = offering(
      '1.0.1',
      [
        parameter('key', { secret: true, description: 'For the database' }),
        parameter('same'),
        parameter('size', { default: 2, schema: {} }),
      ],
      {
        allow: [{ kind: 'Deployment.apps', path: 'spec.replicas' }],
      },
    )
    const text = diffText(diffBundles(before, after))
    expect(text).toContain('- gone')
    expect(text).toContain('+ key (secret, to be given): For the database')
    expect(text).toContain('~ size: default 1 → default 2; other values are allowed')
    expect(text).not.toContain('same')
    expect(text).toContain('+ spec.replicas of Deployment.apps')
  })
})
