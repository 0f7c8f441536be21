import type { OverlaySpec } from '@muster/api'
import type { KubeObjectLike } from '@muster/bundle'

/** A named case: objects, and an overlay over them. */
export interface NamedCase {
  readonly what: string
  readonly objects: readonly KubeObjectLike[]
  readonly overlay: OverlaySpec
}

const digest = `sha256:${'a'.repeat(64)}`

const web: KubeObjectLike = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', labels: { app: 'web' } },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: 'web' } },
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: {
        serviceAccountName: 'web',
        containers: [
          {
            name: 'web',
            image: `registry.example/web:1@${digest}`,
            args: ['--a', '--b'],
            env: [
              { name: 'A', value: '1' },
              { name: 'B', value: '2' },
            ],
            ports: [
              { name: 'http', containerPort: 8080, protocol: 'TCP' },
              { name: 'dns', containerPort: 8080, protocol: 'UDP' },
              { name: 'metrics', containerPort: 9090 },
            ],
            volumeMounts: [{ name: 'data', mountPath: '/data' }],
          },
          { name: 'side', image: 'side:1' },
        ],
        initContainers: [{ name: 'init', image: `registry.example/web:1@${digest}` }],
        volumes: [{ name: 'data', emptyDir: {} }],
        tolerations: [{ key: 'a', operator: 'Exists' }],
        topologySpreadConstraints: [
          { topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', maxSkew: 1, labelSelector: { matchLabels: { app: 'web' } } },
          { topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway', maxSkew: 2 },
        ],
        affinity: {
          podAntiAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [
              { weight: 1, podAffinityTerm: { topologyKey: 'zone', labelSelector: { matchLabels: { app: 'web' } } } },
            ],
          },
        },
      },
    },
  },
}
const service: KubeObjectLike = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web' },
  spec: {
    selector: { app: 'web' },
    ports: [
      { name: 'http', port: 80, targetPort: 'http' },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ],
  },
}
const account: KubeObjectLike = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'web' } }
const binding: KubeObjectLike = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRoleBinding',
  metadata: { name: 'web' },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
  subjects: [
    { kind: 'ServiceAccount', name: 'web', namespace: 'default' },
    { kind: 'ServiceAccount', name: 'default' },
    { kind: 'ServiceAccount', name: 'other', namespace: 'elsewhere' },
    { kind: 'ServiceAccount', name: 'web', namespace: 'elsewhere' },
    { kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'jane' },
  ],
}
const webhook: KubeObjectLike = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingWebhookConfiguration',
  metadata: { name: 'web' },
  webhooks: [
    { name: 'a.example.test', clientConfig: { service: { name: 'web', namespace: 'default', path: '/a' } } },
    { name: 'b.example.test', clientConfig: { service: { name: 'other', namespace: 'default' } } },
    { name: 'c.example.test', clientConfig: { url: 'https://example.test' } },
  ],
}
const definition: KubeObjectLike = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'things.example.test' },
  spec: {
    group: 'example.test',
    names: { kind: 'Thing', plural: 'things' },
    scope: 'Namespaced',
    conversion: { strategy: 'Webhook', webhook: { clientConfig: { service: { name: 'web', namespace: 'default' } } } },
    versions: [],
  },
}
const thing: KubeObjectLike = {
  apiVersion: 'example.test/v1',
  kind: 'Thing',
  metadata: { name: 'thing' },
  spec: { list: [{ name: 'a', size: 1 }], map: { a: { b: 1, c: 2 } }, containers: [{ image: 'side:1' }] },
}
const config = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'web', finalizers: ['b', 'a'] },
  data: { a: '1', b: '2' },
}
const others: readonly KubeObjectLike[] = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } },
  {
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: { name: 'v1.example.test' },
    spec: { group: 'example.test', service: { name: 'web', namespace: 'x' } },
  },
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'web' },
    spec: {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'web' } } }, { podSelector: {} }] }],
    },
  },
  { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: 'web' }, spec: { selector: { matchLabels: { app: 'web' } } } },
  {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name: 'web' },
    spec: { schedule: '* * * * *', jobTemplate: { spec: { template: { spec: { containers: [{ name: 'web', image: 'side:1' }] } } } } },
  },
  {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'web' },
    spec: { template: { spec: { containers: [{ name: 'web', image: 'side:1@sha256:00' }] } } },
  },
  {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'db' },
    spec: {
      serviceName: 'db',
      selector: { matchLabels: { app: 'db' } },
      template: { metadata: {}, spec: { containers: [{ name: 'db', image: 'db' }] } },
      volumeClaimTemplates: [{ metadata: { name: 'data' } }],
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'one' },
    spec: { containers: [{ name: 'one', image: 'side' }], volumes: [{ name: 'v', image: { reference: 'side:1' } }] },
  },
]
const all = [web, service, account, binding, webhook, definition, thing, config, ...others]

const merge = (object: KubeObjectLike, patch: object): OverlaySpec => ({
  patches: [
    { patch: JSON.stringify({ apiVersion: object.apiVersion, kind: object.kind, metadata: { name: object.metadata.name }, ...patch }) },
  ],
})
const container = (patch: object) => merge(web, { spec: { template: { spec: { containers: [{ name: 'web', ...patch }] } } } })
const pod = (patch: object) => merge(web, { spec: { template: { spec: patch } } })

const merges: [string, KubeObjectLike, OverlaySpec][] = [
  ['a plain field', web, merge(web, { spec: { replicas: 3 } })],
  ['a field that is taken away by null', web, merge(web, { spec: { strategy: null, paused: null } })],
  [
    'a map that is made, with a null in it',
    web,
    merge(web, { spec: { template: { spec: { securityContext: { a: null, b: { c: null, d: 1 } } } } } }),
  ],
  ['an item of a list by its key', web, container({ image: 'other:2', args: ['--c'] })],
  [
    'items that are added to a list',
    web,
    pod({
      containers: [
        { name: 'new', image: 'new' },
        { name: 'side', image: 'x' },
      ],
    }),
  ],
  [
    'items within items',
    web,
    container({
      env: [
        { name: 'C', value: '3' },
        { name: 'B', value: 'two' },
        { name: 'A', $patch: 'delete' },
      ],
    }),
  ],
  ['an item that goes', web, pod({ containers: [{ name: 'side', $patch: 'delete' }] })],
  ['an item that is not there and goes', web, pod({ containers: [{ name: 'none', $patch: 'delete' }] })],
  ['a list that is replaced', web, container({ env: [{ $patch: 'replace' }, { name: 'Z', value: 'z' }] })],
  ['a list that goes', web, container({ env: [{ $patch: 'delete' }] })],
  ['a map that is replaced', web, merge(web, { spec: { strategy: { $patch: 'replace', type: 'Recreate' } } })],
  ['a map that goes', web, merge(web, { spec: { strategy: { $patch: 'delete' } } })],
  ['an object that goes', web, merge(web, { $patch: 'delete' })],
  [
    'ports by number and protocol',
    web,
    container({
      ports: [
        { containerPort: 8080, protocol: 'UDP', name: 'dns2' },
        { containerPort: 7070, protocol: 'TCP' },
      ],
    }),
  ],
  ['ports of which none has a protocol', service, merge(service, { spec: { ports: [{ port: 80, nodePort: 30080 }] } })],
  [
    'constraints by two keys',
    web,
    pod({ topologySpreadConstraints: [{ topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway', maxSkew: 5 }] }),
  ],
  ['a list without a merge key', web, pod({ tolerations: [{ key: 'b' }] })],
  ['a set of texts', config, merge(config, { metadata: { name: 'web', finalizers: ['c', 'a'] } })],
  [
    'labels and annotations in a patch',
    web,
    merge(web, { metadata: { name: 'web', labels: { app: null, x: 'y' }, annotations: { a: 'b' } } }),
  ],
  ['a map of a custom resource', thing, merge(thing, { spec: { map: { a: { b: 2, c: null } } } })],
  ['a list of a custom resource', thing, merge(thing, { spec: { list: [{ name: 'b' }] } })],
  ['volumes, whose source changes', web, pod({ volumes: [{ name: 'data', emptyDir: null, persistentVolumeClaim: { claimName: 'x' } }] })],
  [
    'empty maps and lists',
    web,
    merge(web, { spec: { template: { spec: { securityContext: {}, tolerations: [], imagePullSecrets: [] } } } }),
  ],
  ['a port by its number alone, where others have protocols', web, container({ ports: [{ containerPort: 9090, name: 'm' }] })],
]
const targets: [string, OverlaySpec][] = [
  [
    'by kind',
    {
      patches: [
        { target: { kind: 'Deployment|StatefulSet' }, patch: '{apiVersion: v1, kind: Whatever, metadata: {name: x}, spec: {replicas: 7}}' },
      ],
    },
  ],
  [
    'by name',
    { patches: [{ target: { name: 'w.b' }, patch: '{apiVersion: v1, kind: Whatever, metadata: {name: x, annotations: {a: b}}}' }] },
  ],
  [
    'by label',
    {
      patches: [
        { target: { labelSelector: 'app in (web,other),!none' }, patch: '[{"op": "add", "path": "/metadata/labels/x", "value": "y"}]' },
      ],
    },
  ],
  [
    'by group and version',
    {
      patches: [
        { target: { group: 'apps', version: 'v.' }, patch: '- {op: replace, path: /spec/template/spec/containers/0/image, value: x}' },
      ],
    },
  ],
  [
    'by namespace',
    { patches: [{ target: { namespace: 'default', kind: 'ConfigMap' }, patch: '[{"op": "add", "path": "/data/c", "value": "3"}]' }] },
  ],
]
const json: [string, KubeObjectLike, object[]][] = [
  [
    'add, replace and remove',
    web,
    [
      { op: 'add', path: '/spec/paused', value: true },
      { op: 'replace', path: '/spec/replicas', value: 4 },
      { op: 'remove', path: '/spec/strategy' },
    ],
  ],
  [
    'items of lists',
    web,
    [
      { op: 'add', path: '/spec/template/spec/containers/0/args/-', value: '--z' },
      { op: 'add', path: '/spec/template/spec/containers/0/args/1', value: '--y' },
      { op: 'remove', path: '/spec/template/spec/containers/1' },
    ],
  ],
  [
    'move and copy',
    web,
    [
      { op: 'move', from: '/spec/strategy/rollingUpdate', path: '/spec/moved' },
      { op: 'copy', from: '/spec/template/spec/containers/0/env/0', path: '/spec/template/spec/containers/0/env/-' },
    ],
  ],
  [
    'a test that holds',
    web,
    [
      { op: 'test', path: '/spec/replicas', value: 1 },
      { op: 'replace', path: '/spec/replicas', value: 2 },
    ],
  ],
  [
    'keys with slashes',
    config,
    [
      { op: 'add', path: '/metadata/annotations', value: {} },
      { op: 'add', path: '/metadata/annotations/a.b~1c~0d', value: 'x' },
    ],
  ],
]

/** What people do with overlays. */
export const handMade: readonly NamedCase[] = [
  ...merges.map(([what, object, overlay]) => ({ what: `a strategic merge: ${what}`, objects: [object], overlay })),
  ...targets.map(([what, overlay]) => ({
    what: `a target: ${what}`,
    objects: what.startsWith('by group') ? [web, service] : [web, service, config],
    overlay,
  })),
  ...json.map(([what, object, operations]) => ({
    what: `a JSON patch: ${what}`,
    objects: [object],
    overlay: { patches: [{ target: { kind: object.kind }, patch: JSON.stringify(operations) }] },
  })),
  { what: 'a namespace', objects: all, overlay: { namespace: 'shop' } },
  { what: 'labels', objects: all, overlay: { labels: [{ pairs: { team: 'a', app: 'b' } }] } },
  { what: 'labels in templates', objects: all, overlay: { labels: [{ pairs: { team: 'a' }, includeTemplates: true }] } },
  { what: 'labels in selectors', objects: all, overlay: { labels: [{ pairs: { team: 'a' }, includeSelectors: true }] } },
  { what: 'annotations', objects: all, overlay: { annotations: { team: 'a' } } },
  {
    what: 'replicas',
    objects: [web, ...others],
    overlay: {
      replicas: [
        { name: 'web', count: 5 },
        { name: 'db', count: 0 },
      ],
    },
  },
  {
    what: 'images by name, tag and digest',
    objects: all,
    overlay: {
      images: [
        { name: 'registry.example/web', newName: 'mirror.example/web' },
        { name: 'side', newTag: '2', digest },
        { name: 'db', digest },
      ],
    },
  },
  {
    what: 'an image whose tag changes',
    objects: all,
    overlay: {
      images: [
        { name: 'registry.example/web', newTag: '2' },
        { name: 'web', newTag: '3' },
        { name: 'side', newName: 'registry.example:5000/side' },
      ].filter(({ name }) => name !== 'web'),
    },
  },
  {
    what: 'everything at once',
    objects: all,
    overlay: {
      ...container({ image: 'side:1' }),
      namespace: 'shop',
      labels: [{ pairs: { team: 'a' }, includeSelectors: true }],
      annotations: { a: 'b' },
      replicas: [{ name: 'web', count: 2 }],
      images: [{ name: 'side', newTag: '9' }],
    },
  },
]
