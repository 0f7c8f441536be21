import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { KubeClient, type KubeObject, loadKubeconfig, type Ref } from '@muster/kube'
import type { BenchContext, Benchmark } from './harness.ts'

const name = 'bench-drift'

interface Target {
  readonly ref: Ref
  /** A JSON pointer to a field that the release owns. */
  readonly pointer: string
  readonly changed: unknown
  readonly isSigned: (object: KubeObject) => boolean
}

export const drift: Benchmark = {
  name: 'drift',
  about: 'an owned field is changed by hand: how long until it is back, seen from the API server',
  run: async (context) => {
    const instance = await context.instance()
    const targets = Array.from({ length: context.quick ? 4 : 50 }, (_, at) => (at % 2 === 0 ? configMap(at) : service(at)))
    const dir = await writeBundle(context, targets.length)
    await instance.muster('publish', dir)
    await instance.muster('place', name, '--version', '1.0.0', '--on', 'alpha', '--drift', 'correct')
    const client = new KubeClient(await loadKubeconfig(instance.kubeconfig('alpha')), {
      userAgent: 'muster-bench',
      fieldManager: 'intruder',
    })
    try {
      const values: number[] = []
      for (const target of targets) {
        values.push(await repaired(client, target, context.signal))
        await pause(200, undefined, { signal: context.signal })
      }
      return [
        {
          figure: 'drift repaired',
          unit: 'ms',
          values,
          below: 1000,
          note: 'from sending the change until a watch shows the signed value again, one change per object: an agent slows a fight over one object down on purpose',
        },
      ]
    } finally {
      client.close()
    }
  },
}

function configMap(at: number): Target {
  return {
    ref: { apiVersion: 'v1', kind: 'ConfigMap', namespace: name, name: `settings-${at}` },
    pointer: '/data/value',
    changed: 'changed by hand',
    isSigned: (object) => (object as KubeObject & { data?: { value?: string } }).data?.value === 'as signed',
  }
}

function service(at: number): Target {
  return {
    ref: { apiVersion: 'v1', kind: 'Service', namespace: name, name: `service-${at}` },
    pointer: '/spec/ports/0/port',
    changed: 1234,
    isSigned: (object) => (object as KubeObject & { spec?: { ports?: { port: number }[] } }).spec?.ports?.[0]?.port === 80,
  }
}

export async function repaired(client: KubeClient, { ref, pointer, changed, isSigned }: Target, signal: AbortSignal): Promise<number> {
  const before = await client.get(ref, { signal })
  const watching = new AbortController()
  const either = AbortSignal.any([signal, watching.signal, AbortSignal.timeout(30_000)])
  const versions: { readonly at: number; readonly object: KubeObject }[] = []
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let patched: string | undefined
  const check = (): void => {
    const intrusion = versions.findIndex(({ object }) => object.metadata.resourceVersion === patched)
    if (intrusion >= 0 && versions.slice(intrusion + 1).some(({ object }) => isSigned(object))) resolve()
  }
  const follow = async (): Promise<void> => {
    const { apiVersion, kind, namespace } = ref
    const selection = { apiVersion, kind, namespace, fieldSelector: `metadata.name=${ref.name}` }
    for await (const event of client.watch(selection, { signal: either, resourceVersion: before.metadata.resourceVersion })) {
      if (event.type === 'BOOKMARK') continue
      versions.push({ at: performance.now(), object: event.object })
      check()
    }
  }
  const following = follow().catch(reject)
  try {
    const sent = performance.now()
    const written = await client.patch(ref, [{ op: 'replace', path: pointer, value: changed }], { type: 'json', signal })
    patched = written.metadata.resourceVersion
    check()
    await promise
    const intrusion = versions.findIndex(({ object }) => object.metadata.resourceVersion === patched)
    const back = versions.slice(intrusion + 1).find(({ object }) => isSigned(object))
    return (back?.at ?? performance.now()) - sent
  } finally {
    watching.abort()
    await following
  }
}

async function writeBundle(context: BenchContext, count: number): Promise<string> {
  const dir = path.join(context.scratch, name)
  await mkdir(dir, { recursive: true })
  const source = {
    apiVersion: 'muster.dev/v1alpha1',
    kind: 'BundleSource',
    name,
    version: '1.0.0',
    components: [{ name: 'main', manifests: ['objects.yaml'] }],
  }
  const objects = Array.from({ length: count }, (_, at) =>
    at % 2 === 0
      ? { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `settings-${at}` }, data: { value: 'as signed' } }
      : {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: `service-${at}` },
          spec: { selector: { app: 'none' }, ports: [{ name: 'http', port: 80 }] },
        },
  )
  await writeFile(path.join(dir, 'bundle.yaml'), JSON.stringify(source))
  await writeFile(path.join(dir, 'objects.yaml'), objects.map((object) => JSON.stringify(object)).join('\n---\n'))
  return dir
}
