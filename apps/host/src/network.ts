import { mkdir, writeFile } from 'node:fs/promises'
import * as z from 'zod'
import { run, succeeds } from './command.ts'
import { HostError } from './errors.ts'
import { isMissing } from './files.ts'
import { ruleset } from './firewall.ts'
import { type ClusterPlan, type Instance, kernelNames, type NodePlan, registryAddress } from './instance.ts'

const linkSchema = z.array(z.object({ ifname: z.string().optional(), ifalias: z.string().optional() }))
const addressSchema = z.array(
  z.object({
    ifname: z.string().optional(),
    ifalias: z.string().optional(),
    addr_info: z.array(z.object({ local: z.string().optional() })).optional(),
  }),
)
const routeSchema = z.array(z.object({ dst: z.string(), dev: z.string().optional() }))

/** The links of the machine: name and alias. */
async function links(): Promise<{ name: string; alias: string }[]> {
  return linkSchema
    .parse(JSON.parse(await run('ip', ['-j', 'link', 'show'])))
    .map((link) => ({ name: link.ifname ?? '', alias: link.ifalias ?? '' }))
}

/** IPv4 addresses and routes of the machine that are not on links of the instance with this alias. */
export async function takenAddresses(alias: string): Promise<string[]> {
  const addresses = addressSchema.parse(JSON.parse(await run('ip', ['-j', '-4', 'addr', 'show'])))
  const own = new Set((await links()).filter((link) => link.alias === alias).map((link) => link.name))
  const routes = routeSchema.parse(JSON.parse(await run('ip', ['-j', '-4', 'route', 'show', 'table', 'all'])))
  return [
    ...addresses.filter((link) => !own.has(link.ifname ?? '')).flatMap((link) => link.addr_info?.map((info) => info.local ?? '') ?? []),
    ...routes.filter((route) => !own.has(route.dev ?? '')).map((route) => route.dst),
  ]
}

/** Makes the registry's bridge. Its name carries the instance's number: that it can be made proves that no other instance has the number. */
export async function ensureRegistryBridge(instance: Instance): Promise<void> {
  await ensureBridge(instance, kernelNames(instance).registryBridge, registryAddress(instance))
}

/** Makes a cluster's bridge, with the address of its control plane. */
export async function ensureClusterBridge(instance: Instance, cluster: ClusterPlan): Promise<void> {
  await ensureBridge(instance, cluster.bridge, cluster.address)
}

async function ensureBridge(instance: Instance, name: string, address: string): Promise<void> {
  const { alias } = kernelNames(instance)
  const present = (await links()).find((link) => link.name === name)
  if (present !== undefined && present.alias !== alias) {
    throw new HostError(
      'AddressesTaken',
      `Link ${name} belongs to ${present.alias || 'something else'}; take that down, or choose another instance id.`,
    )
  }
  if (present === undefined) {
    await run('ip', ['link', 'add', name, 'type', 'bridge'])
    await run('ip', ['link', 'set', name, 'alias', alias])
  }
  // Forwarding is switched on for our own links only: the machine's other interfaces stay as they are.
  await sysctl(`net/ipv4/conf/${name}/forwarding`, '1')
  await sysctl(`net/ipv4/conf/${name}/send_redirects`, '0')
  await sysctl(`net/ipv6/conf/${name}/disable_ipv6`, '1')
  await run('ip', ['addr', 'replace', `${address}/24`, 'dev', name])
  await run('ip', ['link', 'set', name, 'up'])
}

/** Makes a node's network namespace, its link to the cluster's bridge and the route to its pods. */
export async function ensureNodeNetwork(instance: Instance, cluster: ClusterPlan, node: NodePlan): Promise<void> {
  const { alias } = kernelNames(instance)
  if (!(await networkNamespaces()).includes(node.netns)) await run('ip', ['netns', 'add', node.netns])
  if (!(await succeeds('ip', ['-n', node.netns, 'link', 'show', 'eth0']))) {
    await removeLink(node.link)
    await run('ip', ['link', 'add', node.link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', node.netns])
  }
  await run('ip', ['link', 'set', node.link, 'alias', alias])
  await sysctl(`net/ipv6/conf/${node.link}/disable_ipv6`, '1')
  await run('ip', ['link', 'set', node.link, 'master', cluster.bridge, 'up'])
  await run('ip', ['-n', node.netns, 'addr', 'replace', `${node.address}/24`, 'dev', 'eth0'])
  await run('ip', ['-n', node.netns, 'link', 'set', 'eth0', 'up'])
  await run('ip', ['-n', node.netns, 'link', 'set', 'lo', 'up'])
  await run('ip', ['-n', node.netns, 'route', 'replace', 'default', 'via', cluster.address])
  await run('nsenter', [
    `--net=/var/run/netns/${node.netns}`,
    'sysctl',
    '-qw',
    'net.ipv4.ip_forward=1',
    'net.ipv4.conf.all.send_redirects=0',
  ])
  // Pods of one node talk over a bridge: without this, answers of a Service would pass by its address translation.
  await run('nsenter', [`--net=/var/run/netns/${node.netns}`, 'sysctl', '-qew', 'net.bridge.bridge-nf-call-iptables=1'])
  await run('ip', ['route', 'replace', node.podNet, 'via', node.address, 'dev', cluster.bridge])
}

/** Loads the packet filter for these clusters, in one step. */
export async function ensureFirewall(instance: Instance, clusters: readonly ClusterPlan[]): Promise<void> {
  await run('nft', ['-f', '-'], { input: ruleset(instance, clusters) })
}

export async function removeNodeNetwork(node: NodePlan): Promise<void> {
  if ((await networkNamespaces()).includes(node.netns)) await run('ip', ['netns', 'delete', node.netns])
  await removeLink(node.link)
}

export async function removeClusterBridge(cluster: ClusterPlan): Promise<void> {
  await removeLink(cluster.bridge)
}

/** Removes every namespace, link and table of an instance, found by name and alias: no state is needed. */
export async function removeInstanceNetwork(id: string): Promise<void> {
  const names = kernelNames({ id, x: 0 })
  for (const netns of await networkNamespaces()) {
    if (netns.startsWith(names.netnsPrefix)) await run('ip', ['netns', 'delete', netns])
  }
  for (const link of await links()) {
    if (link.alias === names.alias) await removeLink(link.name)
  }
  if (await succeeds('nft', ['list', 'table', 'inet', names.table])) await run('nft', ['delete', 'table', 'inet', names.table])
}

async function networkNamespaces(): Promise<string[]> {
  return (await run('ip', ['netns', 'list'])).split('\n').map((line) => line.split(' ')[0] ?? '')
}

/** Deleting one end of a pair deletes the other, and a namespace takes its links with it a moment later: gone is gone. */
async function removeLink(name: string): Promise<void> {
  if (await succeeds('ip', ['link', 'show', name])) {
    await run('ip', ['link', 'delete', name]).catch(async (error: unknown) => {
      if (await succeeds('ip', ['link', 'show', name])) throw error
    })
  }
}

/** Sets a kernel parameter that some kernels do not have (IPv6). */
async function sysctl(path: string, value: string): Promise<void> {
  try {
    await writeFile(`/proc/sys/${path}`, value)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}

/** Raises a limit of the machine to at least `value`; it is never lowered. */
export async function ensureAtLeast(path: string, value: number, read: (path: string) => Promise<string | undefined>): Promise<void> {
  const now = Number((await read(`/proc/sys/${path}`))?.trim())
  if (Number.isFinite(now) && now < value) await sysctl(path, String(value))
}

export async function ensureRuntimeFolders(): Promise<void> {
  await mkdir('/var/run/netns', { recursive: true })
}
