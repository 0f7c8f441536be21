import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { KubeClient, loadKubeconfig } from '@muster/kube'
import type { ChannelRelease } from '@muster/trust'
import { goPeer, goPeers } from '../../test/peers/peers.ts'
import { repaired } from '../drift.ts'
import type { BenchContext, Figure } from '../harness.ts'
import { run } from '../program.ts'
import { BenchAgent } from './agent.ts'
import { type BenchCluster, difference, startCluster } from './cluster.ts'
import { documents, manyObjects, target } from './objects.ts'

interface Step {
  readonly seconds: number
  readonly requests: number
}

const kapp = 'kapp v0.64.2'
const steps = ['apply', 'no-op', 'one object changed'] as const

/** One bundle of many objects, and what of it drifts; the same objects by kapp, on the same API server. */
export async function oneBundle(context: BenchContext, bin: string): Promise<Figure[]> {
  const count = context.quick ? 100 : 5000
  const cluster = await startCluster(bin, context.scratch)
  let agent: BenchAgent | undefined
  try {
    agent = await BenchAgent.install(context, cluster)
    context.say(`one bundle of ${count} objects`)
    const own = await byMuster(context, cluster, agent, count)
    const { peak } = await agent.used()
    const repairs = await drift(context, cluster, count)
    await agent.close()
    context.say('the same by kapp')
    const theirs = await byKapp(context, cluster, count)
    const sized = `one bundle of ${count} objects`
    return [
      ...steps.flatMap((step, at): Figure[] => {
        const peer = (value: (one: Step) => number) => ({
          values: own.slice(at, at + 1).map(value),
          peer: { name: kapp, values: theirs.slice(at, at + 1).map(value) },
        })
        return [
          { figure: `${sized}, ${step}`, unit: 's', ...peer(({ seconds }) => seconds) },
          { figure: `${sized}, ${step}: requests`, unit: 'requests', ...peer(({ requests }) => requests) },
        ]
      }),
      { figure: `${sized}: peak memory (RSS) of the agent`, unit: 'MiB', values: [peak], below: 120 },
      {
        figure: `drift repaired with ${count} objects watched`,
        unit: 'ms',
        values: repairs,
        below: 1000,
        judged: 0.99,
        note: 'from sending the change until a watch shows the signed value again',
      },
    ]
  } finally {
    await agent?.close()
    await cluster.dispose()
  }
}

async function byMuster(context: BenchContext, cluster: BenchCluster, agent: BenchAgent, count: number): Promise<Step[]> {
  const publish = async (version: string, value: string): Promise<ChannelRelease> => ({
    ...(await agent.fleet.publish('big', version, documents(manyObjects(count, value)))),
    namespace: target,
    // What is prevented cannot be repaired.
    settings: { drift: { mode: 'correct' } },
  })
  const first = await publish('1.0.0', 'as signed')
  const second = await publish('1.0.1', 'changed')
  const found: Step[] = []
  for (const entry of [first, first, second]) {
    const before = await cluster.counts()
    const started = performance.now()
    const generation = await agent.fleet.channel([entry])
    if (found.length === 0) agent.start()
    await agent.reported(generation, entry.bundle.version, context.signal)
    found.push({ seconds: (performance.now() - started) / 1000, requests: difference(before, await cluster.counts()).requests })
  }
  return found
}

async function byKapp(context: BenchContext, cluster: BenchCluster, count: number): Promise<Step[]> {
  const program = await goPeer(goPeers.kapp)
  const namespace = 'kapp'
  await cluster.client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  const file = path.join(context.scratch, 'kapp.yaml')
  const flags = ['--kubeconfig', cluster.kubeconfig, '--kube-api-qps', '1000', '--kube-api-burst', '2000', '--tty=false']
  const found: Step[] = []
  for (const value of ['as signed', 'as signed', 'changed']) {
    await writeFile(file, documents(manyObjects(count, value)))
    const before = await cluster.counts()
    const started = performance.now()
    const args = ['deploy', '-a', 'big', '-n', namespace, '--into-ns', namespace, '-f', file, '--yes', ...flags]
    await run(program, args, { signal: context.signal })
    found.push({ seconds: (performance.now() - started) / 1000, requests: difference(before, await cluster.counts()).requests })
  }
  return found
}

/** One object after another, as an agent slows a fight over one object down on purpose. */
async function drift({ quick, signal, say }: BenchContext, { admin }: BenchCluster, count: number): Promise<number[]> {
  const rounds = quick ? 5 : 300
  say(`${rounds} of them drift`)
  const client = new KubeClient(await loadKubeconfig(admin), { userAgent: 'bench', fieldManager: 'intruder' })
  try {
    const values: number[] = []
    for (let round = 0; round < rounds; round += 1) {
      const name = `settings-${1 + Math.floor((round * (count - 1)) / rounds)}`
      const ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace: target, name }
      const isSigned = (object: object): boolean => (object as { data?: { value?: string } }).data?.value === 'as signed'
      values.push(await repaired(client, { ref, pointer: '/data/value', changed: 'changed by hand', isSigned }, signal))
    }
    return values
  } finally {
    client.close()
  }
}
