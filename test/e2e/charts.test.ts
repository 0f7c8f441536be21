import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { apiVersion, type Release } from '@muster/api'
import { helmProgram } from '@muster/bundle'
import { isKubeError, type KubeClient, type KubeObject, refOf } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'

/**
 * Charts and manifests of projects that many clusters run, unmodified, from their authors' Go modules, and the programs that they name,
 * built from the same modules: no registry that tests may use has their images.
 */
const instance = sharedInstance()
const namespace = 'published'

interface Published {
  readonly version: string
  readonly module: string
  readonly component: object
  readonly parameters?: readonly object[]
  /** The program of its image: module, package, and where the image has it. Two minutes each where nothing is cached. */
  readonly program?: Program
}

interface Program {
  readonly module: string
  readonly path: string
  readonly to: string
}

interface Project {
  readonly name: string
  readonly first: Published
  readonly next: Published
  /** Objects, a field of each that is changed by hand, and what the upgrade makes of an object. */
  readonly drifts: readonly { readonly object: Ref; readonly patch: unknown; readonly read: Read }[]
  readonly upgraded: { readonly object: Ref; readonly read: Read; readonly from: unknown; readonly to: unknown }
  /** Waits until its program does what it is for. */
  readonly works?: () => Promise<void>
}
type Ref = Parameters<KubeClient['get']>[0]
type Read = (object: KubeObject) => unknown

const field =
  (...keys: readonly (string | number)[]): Read =>
  (object) =>
    keys.reduce<unknown>((value, key) => (value as Record<string | number, unknown> | undefined)?.[key], object)

const prometheus = {
  version: '0.85.0',
  module: 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
  program: { module: 'github.com/prometheus-operator/prometheus-operator@v0.85.0', path: './cmd/operator', to: '/bin/operator' },
  // Ten definitions of up to a megabyte each, roles, and the Deployment, as one file.
  component: { manifests: ['bundle.yaml'] },
}
const descheduler = {
  version: '0.36.0',
  module: 'sigs.k8s.io/descheduler@v0.36.0',
  program: { module: 'sigs.k8s.io/descheduler@v0.36.0', path: './cmd/descheduler', to: '/bin/descheduler' },
}
// Other tests run in this cluster: nothing is evicted.
const dry = { kind: 'Deployment', cmdOptions: { v: 3, 'dry-run': true }, resources: { requests: { cpu: '20m' } } }
const metrics = {
  // One program for both charts: it is the chart that is upgraded.
  program: { module: 'sigs.k8s.io/metrics-server@v0.9.0', path: './cmd/metrics-server', to: '/metrics-server' },
  component: {
    helm: {
      chart: 'charts/metrics-server',
      namespace,
      // The certificates of our kubelets are of the cluster's own authority.
      values: { args: ['--kubelet-certificate-authority=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt'] },
    },
  },
}
const service: Ref = { apiVersion: 'v1', kind: 'Service', namespace, name: 'metrics-server' }
const deployment: Ref = { apiVersion: 'apps/v1', kind: 'Deployment', namespace, name: 'descheduler' }
const operator: Ref = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'default', name: 'prometheus-operator' }
const definition: Ref = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  name: 'servicemonitors.monitoring.coreos.com',
}

const projects: readonly Project[] = [
  {
    // Two published versions of the chart.
    name: 'metrics-server',
    first: { ...metrics, version: '0.8.0', module: 'sigs.k8s.io/metrics-server@v0.8.0' },
    next: { ...metrics, version: '0.9.0', module: 'sigs.k8s.io/metrics-server@v0.9.0' },
    drifts: [
      {
        object: service,
        patch: { metadata: { labels: { 'app.kubernetes.io/name': 'something-else' } } },
        read: field('metadata', 'labels', 'app.kubernetes.io/name'),
      },
    ],
    upgraded: { object: service, read: field('metadata', 'labels', 'app.kubernetes.io/version'), from: '0.7.2', to: '0.8.1' },
    works: async () => {
      const available = { apiVersion: 'apiregistration.k8s.io/v1', kind: 'APIService', name: 'v1beta1.metrics.k8s.io' }
      expect((await client.get(available))['status']).toMatchObject({ conditions: [{ type: 'Available', status: 'True' }] })
      expect(await printed(/alpha-1 +\d+m/, 'top', 'nodes')).toMatch(/%/)
      await printed(/podinfo +podinfo-\S+ +\d+m +\d+Mi/, 'top', 'pods', '--all-namespaces')
    },
  },
  {
    // One published version; the values change.
    name: 'descheduler',
    first: { ...descheduler, component: { helm: { chart: 'charts/descheduler', namespace, values: dry } } },
    next: {
      ...descheduler,
      version: '0.36.1',
      component: { helm: { chart: 'charts/descheduler', namespace, values: { ...dry, deschedulingInterval: '7m' } } },
    },
    drifts: [{ object: deployment, patch: { spec: { replicas: 0 } }, read: field('spec', 'replicas') }],
    upgraded: {
      object: deployment,
      read: field('spec', 'template', 'spec', 'containers', 0, 'args', 1),
      from: '--descheduling-interval=5m',
      to: '--descheduling-interval=7m',
    },
    works: async () => {
      await printed(/Number of evictions\/requests" totalEvicted=/, '-n', namespace, 'logs', 'deployment/descheduler')
    },
  },
  {
    // One published version; the next has more memory.
    name: 'prometheus-operator',
    first: prometheus,
    next: {
      ...prometheus,
      version: '0.85.1',
      parameters: [
        {
          name: 'memory',
          schema: { type: 'string' },
          default: '300Mi',
          set: [
            {
              target: { kind: 'Deployment', name: 'prometheus-operator' },
              path: 'spec.template.spec.containers[name=prometheus-operator].resources.limits.memory',
            },
          ],
        },
      ],
    },
    drifts: [
      {
        object: definition,
        patch: { spec: { names: { shortNames: ['stolen'] } } },
        read: field('spec', 'names', 'shortNames', 0),
      },
      { object: operator, patch: { spec: { replicas: 0 } }, read: field('spec', 'replicas') },
    ],
    upgraded: {
      object: operator,
      read: field('spec', 'template', 'spec', 'containers', 0, 'resources', 'limits', 'memory'),
      from: '200Mi',
      to: '300Mi',
    },
    works: operates,
  },
]

let folder: string
let client: KubeClient

beforeAll(async () => {
  client = await instance.client('alpha')
  folder = await mkdtemp(path.join(tmpdir(), 'muster-charts-'))
  // On a new machine Helm is built first.
  const { MUSTER_CACHE: own, XDG_CACHE_HOME: general } = process.env
  const cache = own ?? path.join(general ?? path.join(homedir(), '.cache'), 'muster')
  await helmProgram({ cacheDir: path.join(cache, 'tools'), env: process.env })
  // So are their programs.
  for (const { name, first } of projects) await publish(name, first)
}, 30 * 60_000)

afterAll(async () => {
  for (const { name } of projects) await instance.muster('place', name, '--nowhere')
  // What the operator wrote for the kubelets is its own, and no release's.
  const kubelets = ['Service', 'Endpoints'].map((kind) => ({ apiVersion: 'v1', kind, namespace: 'kube-system', name: 'kubelet' }))
  for (const ref of [...kubelets, { apiVersion: 'v1', kind: 'Namespace', name: namespace }]) {
    await client.delete(ref).catch((error: unknown) => {
      if (!isKubeError(error, 'NotFound')) throw error
    })
  }
  await rm(folder, { recursive: true, force: true })
})

async function write(name: string, text: string): Promise<string> {
  const file = path.join(folder, name)
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(file, text)
  return file
}

/** What kubectl prints of alpha, once it says this. */
async function printed(says: RegExp, ...args: string[]): Promise<string> {
  return eventually(
    async () => {
      const { stdout } = await instance.muster('kubectl', 'alpha', '--', ...args)
      return says.test(stdout) ? stdout : undefined
    },
    { withinMs: 60_000, everyMs: 1000, what: `kubectl ${args.join(' ')} prints ${says}` },
  )
}

/** Waits until the operator made of a Prometheus that selects a ServiceMonitor what would run it, and again cleans up after it. */
async function operates(): Promise<void> {
  const common = { apiVersion: 'monitoring.coreos.com/v1', metadata: { namespace: 'default', name: 'watching', labels: { team: 'shop' } } }
  const monitor = {
    ...common,
    kind: 'ServiceMonitor',
    spec: { selector: { matchLabels: { app: 'shop' } }, endpoints: [{ port: 'metrics', interval: '17s' }] },
  }
  // Its image is nowhere that tests reach: no replicas.
  const server = { ...common, kind: 'Prometheus', spec: { replicas: 0, serviceMonitorSelector: { matchLabels: { team: 'shop' } } } }
  const set = { apiVersion: 'apps/v1', kind: 'StatefulSet', namespace: 'default', name: 'prometheus-watching' }
  const secret = { apiVersion: 'v1', kind: 'Secret', namespace: 'default', name: 'prometheus-watching' }
  const within = { withinMs: 120_000, everyMs: 500 }
  await client.apply(monitor, { fieldManager: 'somebody' })
  await client.apply(server, { fieldManager: 'somebody' })
  const made = await eventually(async () => await client.find(set), { ...within, what: 'the operator makes a StatefulSet' })
  expect(made).toMatchObject({ spec: { replicas: 0 } })
  await eventually(
    async () => {
      const { data } = await client.get<KubeObject & { data: Record<string, string> }>(secret)
      const text = gunzipSync(Buffer.from(data['prometheus.yaml.gz'] ?? '', 'base64')).toString('utf8')
      return (text.includes('job_name: serviceMonitor/default/watching/0') && text.includes('scrape_interval: 17s')) || undefined
    },
    { ...within, what: 'the operator writes the configuration that the ServiceMonitor asks for' },
  )
  await eventually(
    async () => {
      const { status } = await client.get<KubeObject & { status?: { conditions?: { type: string; status: string }[] } }>(refOf(server))
      return status?.conditions?.some(({ type, status: is }) => type === 'Reconciled' && is === 'True') || undefined
    },
    { ...within, what: 'the Prometheus is reconciled' },
  )
  await client.delete(refOf(server))
  await client.delete(refOf(monitor))
  await eventually(async () => (await client.find(set)) === undefined || undefined, { ...within, what: 'the StatefulSet goes with it' })
}

/** Bundles what its authors publish, with its program, and publishes that. */
async function publish(name: string, { version, module, component, parameters, program }: Published): Promise<void> {
  const source = {
    apiVersion,
    kind: 'BundleSource',
    name,
    version,
    source: { goModule: module },
    components: [{ name, ...component }],
    ...(parameters === undefined ? {} : { parameters }),
    ...(program === undefined ? {} : { images: [{ match: '*', build: 'image.yaml' }] }),
  }
  const { module: built, ...place } = program ?? { module }
  await write(`${name}-${version}/image.yaml`, JSON.stringify({ go: { module: built, packages: [place] } }))
  const file = await write(`${name}-${version}/bundle.yaml`, JSON.stringify(source))
  await instance.succeed('publish', path.dirname(file))
}

/** Places on alpha what is published. */
async function place(name: string, { version }: Published): Promise<void> {
  const spec = {
    bundle: { repository: `bundles/${name}`, version },
    namespace,
    clusters: { names: ['alpha'] },
    // What drifts is put back here, not refused, so that it can be seen.
    drift: { mode: 'correct' },
    prune: { consent: ['CustomResourceDefinition'] },
  }
  const placement = { apiVersion, kind: 'Placement', metadata: { name }, spec }
  await instance.succeed('place', '-f', await write(`${name}-${version}/placement.yaml`, JSON.stringify(placement)))
}

const release = (name: string) => client.get<Release & KubeObject>({ apiVersion, kind: 'Release', name })

describe.each(projects)('$name, as its authors publish it', ({ name, first, next, drifts, upgraded, works }) => {
  it('installs', async () => {
    await place(name, first)
    const { status } = await release(name)
    expect(status).toMatchObject({ appliedVersion: first.version, conditions: [{ type: 'Ready', status: 'True', reason: 'Healthy' }] })
    const before = await client.find(upgraded.object)
    expect(before && upgraded.read(before)).toEqual(upgraded.from)
    await works?.()
  })

  it('is put back where somebody changes it, and says so', async () => {
    const corrected = async () => (await release(name)).status?.drift?.corrected ?? 0
    for (const { object, patch, read } of drifts) {
      const wanted = read(await client.get(object))
      const before = await corrected()
      await client.patch(object, patch, { type: 'merge', fieldManager: 'somebody' })
      await eventually(async () => (await corrected()) > before || undefined, {
        withinMs: 60_000,
        what: `the drift of ${object.kind} ${object.name} is corrected and counted`,
      })
      expect(read(await client.get(object))).toEqual(wanted)
    }
  })

  it('upgrades', async () => {
    await publish(name, next)
    await place(name, next)
    expect((await release(name)).status).toMatchObject({ appliedVersion: next.version, conditions: [{ type: 'Ready', status: 'True' }] })
    expect(upgraded.read(await client.get(upgraded.object))).toEqual(upgraded.to)
    await works?.()
  })

  it('goes, and leaves nothing', async () => {
    const inventory = (await release(name)).status?.inventory ?? []
    expect(inventory.length).toBeGreaterThan(3)
    await instance.succeed('place', name, '--nowhere')
    for (const { apiVersion: version, kind, namespace: within, name: object } of inventory) {
      const ref = { apiVersion: version, kind, name: object, ...(within === undefined ? {} : { namespace: within }) }
      if (kind !== 'Namespace') expect(await client.find(ref), `${kind} ${object}`).toBeUndefined()
    }
  })
})
