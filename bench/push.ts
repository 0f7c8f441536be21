import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { RegistryAccess } from '@muster/fleet'
import { KubeClient, type KubeObject, loadKubeconfig } from '@muster/kube'
import type { BenchInstance, Benchmark } from './harness.ts'

const name = 'bench-push'

type Workload = KubeObject & {
  readonly spec: { readonly template: { readonly spec: { readonly containers: readonly { readonly image: string }[] } } }
}

export const push: Benchmark = {
  name: 'push',
  about: 'a new version is published and placed: how long until it runs in both clusters',
  run: async (context) => {
    const instance = await context.instance()
    const image = await podinfoImage(instance)
    const dir = path.join(context.scratch, name)
    await mkdir(dir, { recursive: true })
    const publishing: number[] = []
    const whole: number[] = []
    const rounds = context.quick ? 2 : 15
    // The first version is not counted: it makes the namespace.
    for (let round = 0; round <= rounds; round += 1) {
      const version = `1.0.${round}`
      await writeBundle(dir, version, image, instance)
      const started = performance.now()
      await instance.muster('publish', dir)
      const published = performance.now()
      await instance.muster('place', name, '--version', version, '--on', 'alpha,bravo')
      const running = performance.now()
      if (round === 0) continue
      publishing.push((published - started) / 1000)
      whole.push((running - started) / 1000)
    }
    return [
      {
        figure: 'push to running in both clusters',
        unit: 's',
        values: whole,
        below: 10,
        note: 'from the start of "muster publish" to the end of "muster place": a Deployment of one pod, rolled over, image pulled before',
      },
      { figure: '… of that, publish', unit: 's', values: publishing },
    ]
  },
}

/** The image that podinfo runs from, under the name that nodes have pulled it by. */
async function podinfoImage(instance: BenchInstance): Promise<string> {
  const client = new KubeClient(await loadKubeconfig(instance.kubeconfig('alpha')))
  try {
    const deployment = await client.get<Workload>({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'podinfo', name: 'podinfo' })
    const image = deployment.spec.template.spec.containers[0]?.image.split('@')[0]
    if (image === undefined) throw new Error('podinfo has no container.')
    return image
  } finally {
    client.close()
  }
}

async function writeBundle(dir: string, version: string, image: string, instance: BenchInstance): Promise<void> {
  const { host } = JSON.parse(await readFile(path.join(instance.state, 'registry', 'access.json'), 'utf8')) as RegistryAccess
  const source = {
    apiVersion: 'muster.dev/v1alpha1',
    kind: 'BundleSource',
    name,
    version,
    components: [{ name: 'main', manifests: ['deployment.yaml'] }],
    images: [{ match: image.replace(/:[^:/]+$/, ''), reference: `${host}/mirror/${image}` }],
  }
  const labels = { app: name }
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, annotations: { 'bench.example/version': version } },
        spec: {
          containers: [
            {
              name: 'podinfo',
              image,
              readinessProbe: { httpGet: { path: '/readyz', port: 9898 }, periodSeconds: 1 },
            },
          ],
        },
      },
    },
  }
  await writeFile(path.join(dir, 'bundle.yaml'), JSON.stringify(source))
  await writeFile(path.join(dir, 'deployment.yaml'), JSON.stringify(deployment))
}
