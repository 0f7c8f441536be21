import { readdir, readFile } from 'node:fs/promises'
import { run } from './command.ts'

/** Everything on the host that bears an instance's id: processes, mounts, cgroups, network namespaces, links, firewall tables. */
export async function leftovers(id: string, state: string): Promise<string[]> {
  const found = await Promise.all([processes(id, state), mounts(state), cgroups(id), network(id)])
  return found.flat().sort()
}

async function processes(id: string, state: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
  const found = await Promise.all(
    pids.map(async (pid) => {
      const [command, cgroup] = await Promise.all(
        ['cmdline', 'cgroup'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
      )
      const line = (command ?? '').replaceAll('\0', ' ').trim()
      return line.includes(`${state}/`) || (cgroup ?? '').includes(`/muster-${id}`) ? `process ${pid} ${line.slice(0, 100)}` : undefined
    }),
  )
  return found.filter((line) => line !== undefined)
}

async function mounts(state: string): Promise<string[]> {
  const text = await readFile('/proc/mounts', 'utf8')
  return text
    .split('\n')
    .filter((line) => line.includes(`${state}/`))
    .map((line) => `mount ${line}`)
}

async function cgroups(id: string): Promise<string[]> {
  const { stdout } = await run('find', ['/sys/fs/cgroup', '-maxdepth', '2', '-type', 'd', '-name', `muster-${id}*`])
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => `cgroup ${line}`)
}

async function network(id: string): Promise<string[]> {
  const [namespaces, links, tables] = await Promise.all([
    run('ip', ['netns', 'list']),
    run('ip', ['-o', 'link', 'show']),
    run('nft', ['list', 'tables']),
  ])
  const named = (text: string): string[] => text.split('\n').filter((line) => line.includes(id))
  return [
    ...named(namespaces.stdout).map((line) => `network namespace ${line}`),
    ...named(links.stdout).map((line) => `link ${line}`),
    ...named(tables.stdout).map((line) => `firewall ${line}`),
  ]
}
