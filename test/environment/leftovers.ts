import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { run } from './command.ts'

/**
 * Everything on the host that bears an instance's id or is in its address range: processes, mounts, cgroups, network namespaces, links,
 * firewall tables and rules, routes, routing rules, loop devices.
 */
export async function leftovers(id: string, state: string): Promise<string[]> {
  const found = await Promise.all([processes(id, state), mounts(state), cgroups(id), network(id), addresses(state), loops(state)])
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
      return line.includes(`${state}/`) || (cgroup ?? '').includes(`/muster-${id}`) ? `process ${pid} ${line.slice(0, 300)}` : undefined
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
    run('nft', ['list', 'ruleset']),
  ])
  const named = (text: string): string[] => text.split('\n').filter((line) => line.includes(id))
  return [
    ...named(namespaces.stdout).map((line) => `network namespace ${line}`),
    ...named(links.stdout).map((line) => `link ${line}`),
    ...tables.stdout
      .split('\n')
      .filter((line) => line.startsWith('table') && line.includes(`muster_${id.replaceAll('-', '_')} `))
      .map((line) => `firewall ${line}`),
  ]
}

/** Routes and rules with the instance's addresses, as long as its state tells which they are. */
async function addresses(state: string): Promise<string[]> {
  const text = await readFile(path.join(state, 'instance.json'), 'utf8').catch(() => undefined)
  if (text === undefined) return []
  const { x } = JSON.parse(text) as { x: number }
  const [routes, rules, firewall] = await Promise.all([
    run('ip', ['-4', 'route', 'show', 'table', 'all']),
    run('ip', ['-4', 'rule', 'show']),
    run('nft', ['list', 'ruleset']),
  ])
  const own = new RegExp(`\\b10\\.(${x}|${x + 64}|${x + 128})\\.|\\bmu${x}[rc]`)
  const matching = (text: string): string[] => text.split('\n').filter((line) => own.test(line))
  return [
    ...matching(routes.stdout).map((line) => `route ${line}`),
    ...matching(rules.stdout).map((line) => `routing rule ${line}`),
    ...matching(firewall.stdout).map((line) => `firewall rule ${line.trim()}`),
  ]
}

/** Loop devices over a file of the state, and those over the nodes' image that are mounted nowhere: nobody would ever detach them. */
async function loops(state: string): Promise<string[]> {
  const text = await readFile(path.join(state, 'host.json'), 'utf8').catch(() => '{}')
  const { config } = JSON.parse(text) as { config?: { nodeImage: { path: string } } }
  let found: string[] = []
  // The kernel detaches a device a moment after its last mount is gone, and another instance may be about to mount one.
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const { stdout } = await run('losetup', ['--list', '--noheadings', '--raw', '--output', 'NAME,BACK-FILE'])
    const devices = stdout.split('\n').map((line) => line.split(' '))
    const ours = devices.filter(([, file]) => file?.startsWith(`${state}/`) || (file !== undefined && file === config?.nodeImage.path))
    const mounted = ours.length === 0 ? new Set<string>() : await mountedDevices()
    found = ours.filter(([device, file]) => file?.startsWith(`${state}/`) || !mounted.has(device ?? '')).map((line) => line.join(' '))
    if (found.length === 0) break
    await pause(100)
  }
  return found.map((line) => `loop device ${line}`)
}

/** Loop devices that are mounted in any mount namespace. */
async function mountedDevices(): Promise<Set<string>> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const texts = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/mounts`, 'utf8').catch(() => '')))
  return new Set(
    texts.flatMap((text) => text.split('\n').map((line) => line.split(' ')[0] ?? '')).filter((name) => name.startsWith('/dev/loop')),
  )
}
