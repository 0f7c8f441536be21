import { setTimeout as pause } from 'node:timers/promises'
import { apiVersion, customResourceDefinition, type KindDefinition, releaseKind } from '@muster/api'
import { KubeClient, type KubeObject, loadKubeconfig } from '@muster/kube'
import { inject } from 'vitest'
import type { Logger } from '../logger.ts'
import { TestAgent } from './agent.ts'
import { TestFleet } from './fleet.ts'

export interface TestClusterOptions {
  /** What the fleet calls it. */
  readonly cluster?: string
  /** Kinds of Muster that the test needs besides Release. */
  readonly kinds?: readonly KindDefinition[]
  readonly logger?: Logger
}

/** A cluster of a fleet: the tests' API server, a hub and a registry of its own, and the agent in this process, installed and not started. */
export interface TestCluster {
  /** Of an administrator. */
  readonly client: KubeClient
  readonly fleet: TestFleet
  readonly agent: TestAgent
  /** Ends the agent, and takes away the Releases and the namespaces of these names. */
  end(...names: string[]): Promise<void>
}

/** @param id random: other tests, and an agent that is no test's, use the same API server */
export async function startCluster(id: string, { cluster, kinds = [], logger }: TestClusterOptions = {}): Promise<TestCluster> {
  const system = `agent-${id}`
  const client = new KubeClient(await loadKubeconfig(inject('kubeconfig')), { userAgent: 'agent-test' })
  for (const kind of [releaseKind, ...kinds]) {
    await client.apply(customResourceDefinition(kind) as KubeObject, { fieldManager: 'agent-test', force: true })
    await eventually(async () => client.list({ apiVersion, kind: kind.kind }).catch(() => undefined))
  }
  const fleet = await TestFleet.start(cluster ?? `test-${id}`)
  const agent = new TestAgent(client, fleet, system, logger)
  await agent.install()
  const end = async (...names: string[]): Promise<void> => {
    await agent.end()
    for (const name of names) await client.delete({ apiVersion, kind: 'Release', name })
    for (const name of [...names, system]) await client.delete({ apiVersion: 'v1', kind: 'Namespace', name })
    client.close()
    await fleet.close()
  }
  return { client, fleet, agent, end }
}

/** Asks until there is an answer other than `false` and `undefined`, and gives it. */
export async function eventually<T>(ask: () => Promise<T | false | undefined>): Promise<T> {
  const started = performance.now()
  for (;;) {
    const answer = await ask()
    if (answer !== undefined && answer !== false) return answer
    if (performance.now() - started > 60_000) throw new Error('it did not come about within a minute')
    await pause(10)
  }
}
