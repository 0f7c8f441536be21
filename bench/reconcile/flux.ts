import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Informer, type KubeObject } from '@muster/kube'
import { goModule, goPeer, goPeers } from '../../test/peers/peers.ts'
import { freePorts } from '../../test/peers/process.ts'
import type { BenchContext } from '../harness.ts'
import { cpuSeconds, end, memory, run } from '../program.ts'
import type { BenchCluster } from './cluster.ts'
import { documents, fourObjects, target } from './objects.ts'

const system = 'flux-system'
const sources = 'source.toolkit.fluxcd.io/v1'
const kustomizations = 'kustomize.toolkit.fluxcd.io/v1'

/** Flux's kustomize-controller, with the source-controller's work done beforehand: artifacts are there, and are served over HTTP. */
export class Flux {
  readonly #program: string
  readonly #cluster: BenchCluster
  readonly #server: Server
  readonly #ready: Informer<boolean>
  readonly #stop = new AbortController()
  #child: ChildProcess | undefined

  private constructor(program: string, cluster: BenchCluster, server: Server) {
    this.#program = program
    this.#cluster = cluster
    this.#server = server
    this.#ready = new Informer(cluster.client, { apiVersion: kustomizations, kind: 'Kustomization', project: isReady })
  }

  /** Installs what Flux needs, and `count` Kustomizations that nobody works on yet. */
  static async install(context: BenchContext, cluster: BenchCluster, bin: string, admin: string, count: number): Promise<Flux> {
    const program = await goPeer(goPeers.kustomizeController)
    const controller = await goModule('github.com/fluxcd/kustomize-controller', goPeers.kustomizeController.version)
    const source = await goModule('github.com/fluxcd/source-controller', goPeers.kustomizeController.version)
    for (const folder of [controller, source]) {
      const crds = path.join(folder, 'config/crd/bases')
      await run(path.join(bin, 'kubectl'), ['--kubeconfig', admin, 'apply', '--server-side', '-f', crds], { signal: context.signal })
    }
    const { client } = cluster
    await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: system } })
    const artifacts = path.join(context.scratch, 'artifacts')
    await mkdir(artifacts, { recursive: true })
    const server = createServer((request, response) => {
      readFile(path.join(artifacts, path.basename(request.url ?? ''))).then(
        (content) => response.end(content),
        () => response.writeHead(404).end(),
      )
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
    let next = 0
    const worker = async (): Promise<void> => {
      for (let at = next++; at < count; at = next++) await place(context, cluster, artifacts, url, `app-${at}`)
    }
    await Promise.all(Array.from({ length: 8 }, worker))
    return new Flux(program, cluster, server)
  }

  async start(): Promise<void> {
    void this.#ready.run(this.#stop.signal).catch(() => undefined)
    await this.#ready.whenSynced()
    await this.restart()
  }

  async restart(): Promise<void> {
    if (this.#child !== undefined) await end(this.#child)
    const [metrics, health] = await freePorts(2)
    const flags = {
      'watch-all-namespaces': 'true',
      'enable-leader-election': 'false',
      concurrent: '20',
      'kube-api-qps': '1000',
      'kube-api-burst': '2000',
      'metrics-addr': `127.0.0.1:${metrics}`,
      'health-addr': `127.0.0.1:${health}`,
      'log-level': 'error',
    }
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`)
    const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], KUBECONFIG: this.#cluster.kubeconfig, RUNTIME_NAMESPACE: system }
    this.#child = spawn(this.#program, args, { env, stdio: ['ignore', 'ignore', 'ignore'] })
  }

  /** Waits until so many Kustomizations are ready. */
  async ready(count: number, signal: AbortSignal): Promise<void> {
    const late = AbortSignal.any([signal, AbortSignal.timeout(15 * 60_000)])
    while (this.#ready.list().filter(Boolean).length < count) await pause(100, undefined, { signal: late })
  }

  async used(): Promise<{ readonly cpuSeconds: number; readonly rss: number; readonly peak: number }> {
    const pid = this.#child?.pid ?? 0
    const { now, peak } = await memory(pid)
    return { cpuSeconds: await cpuSeconds(pid), rss: now, peak }
  }

  async close(): Promise<void> {
    this.#stop.abort()
    if (this.#child !== undefined) await end(this.#child)
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

function isReady(object: KubeObject): boolean {
  const { conditions = [] } = (object['status'] ?? {}) as { conditions?: { type: string; status: string }[] }
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'True')
}

async function place(
  { scratch, signal }: BenchContext,
  { client }: BenchCluster,
  artifacts: string,
  url: string,
  name: string,
): Promise<void> {
  const folder = path.join(scratch, 'flux', name)
  await mkdir(folder, { recursive: true })
  await writeFile(path.join(folder, 'objects.yaml'), documents(fourObjects(name)))
  const file = path.join(artifacts, `${name}.tar.gz`)
  await run('tar', ['-C', folder, '-czf', file, 'objects.yaml'], { signal })
  const content = await readFile(file)
  const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`
  const metadata = { name, namespace: system }
  const source = {
    apiVersion: sources,
    kind: 'OCIRepository',
    metadata,
    spec: { interval: '60m', url: `oci://registry.example/${name}`, ref: { tag: '1.0.0' } },
  }
  const made = await client.create<KubeObject>(source)
  const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
  const status = {
    observedGeneration: 1,
    url: `${url}/${name}.tar.gz`,
    artifact: {
      path: `${name}.tar.gz`,
      url: `${url}/${name}.tar.gz`,
      revision: `1.0.0@${digest}`,
      digest,
      lastUpdateTime: now,
      size: content.length,
    },
    conditions: [{ type: 'Ready', status: 'True', reason: 'Succeeded', message: 'stored', lastTransitionTime: now, observedGeneration: 1 }],
  }
  await client.replace({ ...made, status } as KubeObject, { subresource: 'status' })
  const spec = {
    interval: '60m',
    path: './',
    prune: true,
    wait: false,
    targetNamespace: target,
    sourceRef: { kind: 'OCIRepository', name },
  }
  await client.create({ apiVersion: kustomizations, kind: 'Kustomization', metadata, spec } as KubeObject)
}
