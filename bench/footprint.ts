import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import type { Benchmark, Figure } from './harness.ts'
import { instanceId } from './instance.ts'
import { cpuSeconds, memory } from './program.ts'

interface Pod {
  readonly pid: number
  readonly app: 'agent' | 'hub'
}

const limits = { agent: 90, hub: 150 } as const

export const footprint: Benchmark = {
  name: 'footprint',
  about: 'memory of hub and agents, and what they do when there is nothing to do',
  run: async (context) => {
    await context.instance()
    // What came before is worked off first.
    await pause(context.quick ? 1000 : 15_000, undefined, { signal: context.signal })
    const pods = await podsOfInstance()
    const seconds = context.quick ? 5 : 60
    context.say(`${pods.length} processes idle for ${seconds} s`)
    const before = await Promise.all(pods.map(({ pid }) => cpuSeconds(pid)))
    const started = performance.now()
    await pause(seconds * 1000, undefined, { signal: context.signal })
    const after = await Promise.all(pods.map(({ pid }) => cpuSeconds(pid)))
    const elapsed = (performance.now() - started) / 1000
    const memories = await Promise.all(pods.map(({ pid }) => memory(pid)))
    return (['agent', 'hub'] as const).flatMap((app): Figure[] => {
      const own = pods.flatMap((pod, at) => (pod.app === app ? [at] : []))
      if (own.length === 0) throw new Error(`No process of the ${app} was found in the cgroups of instance ${instanceId}.`)
      const peak = Math.max(...own.map((at) => memories[at]?.peak ?? Number.NaN))
      const named = app === 'agent' ? `each of ${own.length} agents` : 'hub'
      return [
        {
          figure: `memory (RSS) of ${named}`,
          unit: 'MiB',
          values: own.map((at) => memories[at]?.now ?? Number.NaN),
          below: limits[app],
          note: `peak ${peak.toFixed(1)} MiB; the file pages of Node itself are in it`,
        },
        {
          figure: `idle CPU of ${named}`,
          unit: '% of a core',
          values: own.map((at) => (((after[at] ?? Number.NaN) - (before[at] ?? Number.NaN)) / elapsed) * 100),
          below: 1,
        },
      ]
    })
  },
}

/** The processes of hub and agents, told by their cgroup (the instance's pods) and the pod's own name. */
async function podsOfInstance(): Promise<Pod[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(
    pids.map(async (pid): Promise<Pod | undefined> => {
      const [cgroup = '', command = '', environment = ''] = await Promise.all(
        ['cgroup', 'cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
      )
      if (!cgroup.includes(`/muster-${instanceId}/`) || !command.includes('\0/app/main.mjs')) return undefined
      const app = /(?:^|\0)HOSTNAME=muster-(agent|hub)-/.exec(environment)?.[1]
      return app === 'agent' || app === 'hub' ? { pid: Number(pid), app } : undefined
    }),
  )
  return found.filter((pod) => pod !== undefined)
}
