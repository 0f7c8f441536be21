import { spawn } from 'node:child_process'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { isKubeError, KubeClient, type KubeObject, loadKubeconfig } from '@muster/kube'
import type { BenchContext, Benchmark, Figure } from './harness.ts'
import { bundle, clientNode, clientNodeVersion } from './peers.ts'
import { end, firstLine, memory } from './program.ts'

const namespace = 'bench-informer'
const parallel = 24
/** How hub and agent are started in their images. */
export const small = ['--max-semi-space-size=1', '--optimize-for-size']

interface Sample {
  readonly peak: number
  readonly atRest: number
  readonly seconds: number
}

export const informer: Benchmark = {
  name: 'informer',
  about: 'a live view of 10,000 pods, against a real API server, in a process of its own',
  run: async (context) => {
    const instance = await context.instance()
    const count = context.quick ? 300 : 10_000
    const kubeconfig = instance.kubeconfig('bravo')
    await makePods(context, kubeconfig, count)
    const program = path.join(context.scratch, 'informer-muster.mjs')
    await bundle(context, path.join(context.checkout, 'bench/informer-muster.ts'), program)
    const theirs = path.join(context.scratch, 'informer-client-node.mjs')
    await bundle(context, path.join(context.checkout, 'bench/informer-client-node.ts'), theirs)
    const library = await clientNode(context)
    const figures: Figure[] = []
    for (const [flags, how] of [
      [small, `Node started as in the agent's image (${small.join(' ')})`],
      [[], 'Node with its defaults'],
    ] as const) {
      context.say(`informers, ${how}`)
      const own = await rounds(context, count, flags, [program, kubeconfig])
      const peer = await rounds(context, count, flags, [theirs, kubeconfig, library])
      const name = `client-node ${clientNodeVersion}`
      const values = (key: keyof Sample) => ({ values: own.map((one) => one[key]), peer: { name, values: peer.map((one) => one[key]) } })
      const what = flags.length > 0 ? `informer of ${count} pods` : `informer of ${count} pods, default flags`
      figures.push(
        { figure: `${what}: peak memory (RSS)`, unit: 'MiB', ...values('peak'), ...(flags.length > 0 ? { below: 80 } : {}), note: how },
        { figure: `${what}: memory at rest`, unit: 'MiB', ...values('atRest') },
        { figure: `${what}: time until complete`, unit: 's', ...values('seconds') },
      )
    }
    return figures
  },
}

async function rounds(context: BenchContext, count: number, flags: readonly string[], args: readonly string[]): Promise<Sample[]> {
  const samples: Sample[] = []
  for (let round = 0; round < (context.quick ? 1 : 3); round += 1) samples.push(await sample(context, count, [...flags, ...args]))
  return samples
}

/** Runs an informer until it is complete and has come to rest. */
async function sample({ signal }: BenchContext, count: number, args: readonly string[]): Promise<Sample> {
  // The machine's own settings for Node (certificates, preloads) are not part of what is measured.
  const child = spawn(process.execPath, [...args], { env: { PATH: process.env['PATH'] }, stdio: ['pipe', 'pipe', 'inherit'] })
  try {
    const { ms, size } = JSON.parse(await firstLine(child, AbortSignal.any([signal, AbortSignal.timeout(120_000)]))) as {
      ms: number
      size: number
    }
    if (size < count) throw new Error(`The informer holds ${size} pods of ${count}.`)
    await pause(2000, undefined, { signal })
    const { now, peak } = await memory(child.pid ?? 0)
    return { peak, atRest: now, seconds: ms / 1000 }
  } finally {
    await end(child)
  }
}

/** Pods that no scheduler takes: objects only. */
async function makePods({ signal, say }: BenchContext, kubeconfig: string, count: number): Promise<void> {
  const client = new KubeClient(await loadKubeconfig(kubeconfig), { userAgent: 'muster-bench', timeoutMs: 60_000 })
  try {
    await client.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }, { fieldManager: 'bench', signal })
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', namespace, name: 'default' }
    while (!(await client.find(account, { signal }))) await pause(100, undefined, { signal })
    say(`make ${count} pods`)
    let next = 0
    const worker = async (): Promise<void> => {
      for (let at = next++; at < count; at = next++) {
        try {
          await client.create(pod(at), { signal })
        } catch (error) {
          if (!isKubeError(error, 'AlreadyExists')) throw error
        }
      }
    }
    await Promise.all(Array.from({ length: parallel }, worker))
  } finally {
    client.close()
  }
}

function pod(at: number): KubeObject {
  const group = Math.floor(at / 10)
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `pod-${group}-${at % 10}`,
      namespace,
      labels: { app: `app-${group}`, 'app.kubernetes.io/name': `app-${group}`, 'app.kubernetes.io/part-of': 'bench', tier: 'backend' },
      annotations: { 'bench.example/checksum': String(at).padStart(64, '0') },
    },
    spec: {
      schedulerName: 'nobody',
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 65532 },
      containers: [
        {
          name: 'app',
          image: 'registry.example/team/app:1.0.0',
          args: ['--listen=:8080', '--log=json'],
          env: [
            { name: 'GROUP', value: String(group) },
            { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
          ],
          ports: [{ name: 'http', containerPort: 8080 }],
          readinessProbe: { httpGet: { path: '/ready', port: 'http' } },
          resources: { requests: { cpu: '10m', memory: '32Mi' }, limits: { memory: '64Mi' } },
        },
      ],
    },
  }
}
