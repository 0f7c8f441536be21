import { type ChildProcess, spawn } from 'node:child_process'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { customResourceDefinition, enclavePolicyKind, releaseKind } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import { TestFleet } from '../../apps/agent/src/testing/fleet.ts'
import type { BenchContext } from '../harness.ts'
import { small } from '../informer.ts'
import { bundle } from '../peers.ts'
import { cpuSeconds, end, memory } from '../program.ts'
import type { BenchCluster } from './cluster.ts'

const system = 'muster-system'

/** The agent in a process of its own, as one file and with the flags of its image, with a hub and a registry beside it. */
export class BenchAgent {
  readonly fleet: TestFleet
  readonly #program: string
  readonly #cluster: BenchCluster
  #child: ChildProcess | undefined

  private constructor(fleet: TestFleet, program: string, cluster: BenchCluster) {
    this.fleet = fleet
    this.#program = program
    this.#cluster = cluster
  }

  static async install(context: BenchContext, cluster: BenchCluster): Promise<BenchAgent> {
    const program = path.join(context.scratch, 'agent.mjs')
    await bundle(context, path.join(context.checkout, 'apps/agent/src/main.ts'), program)
    const { client } = cluster
    for (const kind of [releaseKind, enclavePolicyKind]) await client.create(customResourceDefinition(kind) as KubeObject)
    const fleet = await TestFleet.start('bench')
    await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: system } })
    const data = { 'hub-url': fleet.hubUrl, 'hub-ca.crt': fleet.hubCa, cluster: 'bench', token: fleet.token, 'root.json': fleet.root }
    await client.create({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'muster-agent-bootstrap', namespace: system },
      stringData: data,
    } as KubeObject)
    return new BenchAgent(fleet, program, cluster)
  }

  /** @param flags of Node, such as for a profile */
  start(flags: readonly string[] = []): void {
    const env = {
      // As its image has it.
      MALLOC_ARENA_MAX: '1',
      PATH: process.env['PATH'],
      KUBECONFIG: this.#cluster.kubeconfig,
      MUSTER_NAMESPACE: system,
      MUSTER_STORE: this.fleet.store,
      MUSTER_PROBE_HOST: '127.0.0.1',
      MUSTER_PROBE_PORT: '0',
      MUSTER_LOG_LEVEL: 'error',
    }
    this.#child = spawn(process.execPath, [...small, ...flags, this.#program], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  }

  async stop(): Promise<void> {
    if (this.#child !== undefined) await end(this.#child)
    this.#child = undefined
  }

  async used(): Promise<{ readonly cpuSeconds: number; readonly rss: number; readonly peak: number }> {
    const pid = this.#child?.pid ?? 0
    const { now, peak } = await memory(pid)
    return { cpuSeconds: await cpuSeconds(pid), rss: now, peak }
  }

  /** Waits until the hub hears that all of a generation is ready. */
  async ready(generation: number, count: number, signal: AbortSignal): Promise<void> {
    const late = AbortSignal.any([signal, AbortSignal.timeout(15 * 60_000)])
    const reported = this.fleet.reported(
      (report) => report.generation >= generation && report.releases.filter((release) => release.ready).length >= count,
    )
    await Promise.race([reported, pause(16 * 60_000, undefined, { signal: late, ref: false })])
  }

  /** Waits until the hub hears that a version runs and is ready. */
  async reported(generation: number, version: string, signal: AbortSignal): Promise<void> {
    const late = AbortSignal.any([signal, AbortSignal.timeout(15 * 60_000)])
    const reported = this.fleet.reported(
      (report) => report.generation >= generation && report.releases.some((release) => release.ready && release.version === version),
    )
    await Promise.race([reported, pause(16 * 60_000, undefined, { signal: late, ref: false })])
  }

  async close(): Promise<void> {
    await this.stop()
    await this.fleet.close()
  }
}
