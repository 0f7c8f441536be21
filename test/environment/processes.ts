import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import type { Instance } from './command.ts'

/** What can be killed. `agent`, `hub`, `kubelet`, `containerd` run in nodes, `etcd` beside them, the others once. */
export const killable = ['agent', 'hub', 'host', 'registry', 'kubelet', 'containerd', 'etcd'] as const
export type Killable = (typeof killable)[number]

/** Sends SIGKILL to a process of an instance. False when it is not running at the moment. */
export async function killProcess(instance: Instance, what: Killable, cluster: string): Promise<boolean> {
  const pid = await find(instance, what, cluster)
  if (pid === undefined) return false
  try {
    return process.kill(pid, 'SIGKILL')
  } catch {
    return false
  }
}

async function find(instance: Instance, what: Killable, cluster: string): Promise<number | undefined> {
  const node = `/muster-${instance.id}/${cluster}-1/`
  switch (what) {
    case 'host':
      return recorded(instance, 'daemon', 'host/src/main.ts')
    case 'registry':
      return recorded(instance, 'registry', 'registry-main.ts')
    case 'etcd':
      return recorded(instance, `${cluster}/etcd`, '/etcd')
    case 'kubelet':
    case 'containerd':
      return (await processesIn(node)).find(({ command }) => command.split(' ')[0]?.endsWith(`/${what}`))?.pid
    case 'agent':
    case 'hub':
      for (const { pid } of await processesIn(`${node}kubepods`)) {
        const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
        if (environment.split('\0').some((line) => line.startsWith(`HOSTNAME=muster-${what}-`))) return pid
      }
      return undefined
  }
}

/** The process of a run record, if it is the one that runs. */
async function recorded(instance: Instance, record: string, mention: string): Promise<number | undefined> {
  const text = await readFile(path.join(instance.state, 'run', `${record}.json`), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const { pid } = JSON.parse(text) as { pid: number }
  const command = await commandOf(pid)
  return command.includes(mention) && command.includes(instance.state) ? pid : undefined
}

async function processesIn(group: string): Promise<{ readonly pid: number; readonly command: string }[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const found = await Promise.all(
    pids.map(async (pid) => {
      const cgroup = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '')
      return cgroup.includes(group) ? { pid, command: await commandOf(pid) } : undefined
    }),
  )
  return found.filter((one) => one !== undefined)
}

async function commandOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return text.replaceAll('\0', ' ').trim()
}
