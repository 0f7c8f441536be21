import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { HostError } from './errors.ts'

/**
 * Everything that an instance calls its own, derived from its id and one number `x` (64 to 127) that no other instance of
 * the machine has. Kernel names that must be short (15 characters for a link) carry `x`, the others carry the id.
 *
 *     10.x.0.1             the registry, on a bridge of its own
 *     10.x.(c+1).0/24      nodes of cluster c: .1 is its control plane, .11 and up are its nodes
 *     10.(x+64).16c.0/20   pods of cluster c, one /24 for each node
 *     10.(x+128).16c.0/20  services of cluster c; .10 is its DNS
 */
export interface Instance {
  readonly id: string
  readonly x: number
  readonly state: string
}

export const limits = { clusters: 16, nodes: 16 } as const
export const ports = {
  apiserver: 6443,
  etcd: 2379,
  etcdPeer: 2380,
  controllerManager: 10257,
  scheduler: 10259,
  kubelet: 10250,
  registry: 5000,
} as const

/** The NodePort of the hub's API on the hub's nodes: the only way from one cluster into another. */
export const hubNodePort = 30443

const lowest = 64
const choices = 64
const idPattern = /^[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?$/
const clusterPattern = /^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$/

/**
 * Checks an instance id: up to 24 characters a-z, 0-9 and "-".
 * @throws HostError `InstanceInvalid`
 */
export function checkInstanceId(id: string): string {
  if (!idPattern.test(id)) {
    throw new HostError(
      'InstanceInvalid',
      `"${id}" is no instance id; use up to 24 characters a-z, 0-9 and "-", with a letter or digit at both ends.`,
    )
  }
  return id
}

/**
 * Checks a cluster name: up to 30 characters a-z, 0-9 and "-", a letter first.
 * @throws HostError `ClusterInvalid`
 */
export function checkClusterName(name: string): string {
  if (!clusterPattern.test(name)) {
    throw new HostError(
      'ClusterInvalid',
      `"${name}" is no cluster name; use up to 30 characters a-z, 0-9 and "-", a letter first and no "-" at the end.`,
    )
  }
  return name
}

/** The numbers to try for an id, best first: where its hash points, then the ones after it. */
export function candidates(id: string): number[] {
  const start = createHash('sha256').update(id).digest().readUInt16BE(0) % choices
  return Array.from({ length: choices }, (_, step) => lowest + ((start + step) % choices))
}

/** The first number for an id of which no address is `taken` (IPv4 addresses that the machine has or routes to). */
export function chooseX(id: string, taken: readonly string[]): number {
  const used = new Set(taken.map(xOf))
  const x = candidates(id).find((candidate) => !used.has(candidate))
  if (x === undefined) {
    throw new HostError(
      'AddressesTaken',
      `No address range is left for instance ${id}: all of 10.64.0.0/10 is in use; take down another instance.`,
    )
  }
  return x
}

/** The number whose ranges hold an address, where one does: the three ranges of x are x, x+64 and x+128 in the second octet. */
export function xOf(address: string): number | undefined {
  const [first, second] = address.split('.').map(Number)
  if (first !== 10 || second === undefined || !(second >= lowest)) return undefined
  return lowest + (second % choices)
}

export function registryAddress(instance: Instance): string {
  return `10.${instance.x}.0.1`
}

/** Names in the kernel. "." and "_" occur in no id, so that no id's names are another's. */
export function kernelNames(instance: Pick<Instance, 'id' | 'x'>) {
  return {
    /** Set as alias on each link of the instance: it is found by this when the state is gone. */
    alias: `muster:${instance.id}`,
    registryBridge: `mu${instance.x}r`,
    table: `muster_${instance.id.replaceAll('-', '_')}`,
    cgroup: `muster-${instance.id}`,
    netnsPrefix: `muster-${instance.id}.`,
    /** Abstract socket that the one daemon of the instance holds while it lives. */
    lock: `\0muster-host.${instance.id}`,
  } as const
}

/** The places of an instance in its state folder. */
export function paths(state: string) {
  return {
    instance: join(state, 'instance.json'),
    desired: join(state, 'host.json'),
    socket: join(state, 'run', 'host.sock'),
    daemon: join(state, 'run', 'daemon.json'),
    run: join(state, 'run'),
    logs: join(state, 'logs'),
    pki: join(state, 'pki'),
    registry: join(state, 'registry'),
    cluster: (name: string) => join(state, 'clusters', name),
    kubeconfig: (name: string) => join(state, 'clusters', name, 'admin.kubeconfig'),
    node: (name: string) => join(state, 'nodes', name),
  } as const
}

/** A cluster's part of an instance. `index` is 0 to 15 and stays with the cluster. */
export interface ClusterPlan {
  readonly name: string
  readonly index: number
  readonly hub: boolean
  readonly bridge: string
  /** Address of the control plane, which is also the nodes' gateway. */
  readonly address: string
  readonly nodeNet: string
  readonly podNet: string
  readonly serviceNet: string
  /** First address of the service net: `kubernetes.default`. */
  readonly apiService: string
  readonly dns: string
  readonly server: string
  readonly nodes: readonly NodePlan[]
}

/** A node's part of a cluster. */
export interface NodePlan {
  readonly name: string
  readonly cluster: string
  readonly netns: string
  /** The host's end of the node's link; the other end is `eth0`. */
  readonly link: string
  readonly address: string
  readonly podNet: string
}

export function planCluster(
  instance: Pick<Instance, 'id' | 'x'>,
  cluster: { readonly name: string; readonly index: number; readonly nodes: number; readonly hub: boolean },
): ClusterPlan {
  const { x } = instance
  const { name, index, hub } = cluster
  if (!(index >= 0 && index < limits.clusters) || !(cluster.nodes >= 0 && cluster.nodes <= limits.nodes)) {
    throw new HostError(
      'TooManyClusters',
      `Cluster ${name} does not fit: an instance has up to ${limits.clusters} clusters of up to ${limits.nodes} nodes.`,
    )
  }
  const net = `10.${x}.${index + 1}`
  const address = `${net}.1`
  return {
    name,
    index,
    hub,
    bridge: `mu${x}c${index}`,
    address,
    nodeNet: `${net}.0/24`,
    podNet: `10.${x + 64}.${16 * index}.0/20`,
    serviceNet: `10.${x + 128}.${16 * index}.0/20`,
    apiService: `10.${x + 128}.${16 * index}.1`,
    dns: `10.${x + 128}.${16 * index}.10`,
    server: `https://${address}:${ports.apiserver}`,
    nodes: Array.from({ length: cluster.nodes }, (_, node) => ({
      name: `${name}-${node + 1}`,
      cluster: name,
      netns: `${kernelNames(instance).netnsPrefix}${name}-${node + 1}`,
      link: `mu${x}c${index}n${node}`,
      address: `${net}.${11 + node}`,
      podNet: `10.${x + 64}.${16 * index + node}.0/24`,
    })),
  }
}
