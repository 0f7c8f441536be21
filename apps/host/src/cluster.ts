import { join } from 'node:path'
import type { Cgroups } from './cgroup.ts'
import { ClusterObjects } from './cluster-objects.ts'
import { type ControlPlane, createControlPlane } from './controlplane.ts'
import { type ClusterPlan, type Instance, paths } from './instance.ts'
import { ensureClusterBridge, removeClusterBridge, removeNodeNetwork } from './network.ts'
import { createNode, type Node, startNode, stopNode } from './node.ts'
import { ensureClusterPki } from './pki.ts'
import type { Component } from './process.ts'
import type { RegistryAccess } from './registry.ts'
import type { HostConfig } from './state.ts'

interface Options {
  readonly instance: Instance
  readonly plan: ClusterPlan
  readonly config: HostConfig
  readonly access: RegistryAccess
  readonly instanceCa: string
  readonly cgroups: Cgroups
  readonly log: (message: string) => void
  readonly now: () => Date
}

/** Says what is being done, in a few words. */
export type Progress = (message: string) => void

const nodeReadyMs = 120_000
const dnsReadyMs = 120_000

/** One embedded cluster: a control plane on the host, nodes in namespaces of their own. */
export class ClusterRuntime {
  readonly plan: ClusterPlan
  readonly #options: Options
  readonly #controlPlane: ControlPlane
  readonly #nodes: readonly Node[]
  readonly #objects: ClusterObjects

  private constructor(options: Options, controlPlane: ControlPlane, nodes: readonly Node[], objects: ClusterObjects) {
    this.plan = options.plan
    this.#options = options
    this.#controlPlane = controlPlane
    this.#nodes = nodes
    this.#objects = objects
  }

  /** Makes certificates and files; nothing is started. */
  static async prepare(options: Options): Promise<ClusterRuntime> {
    const { instance, plan, config, cgroups, log } = options
    const dir = paths(instance.state).cluster(plan.name)
    const pki = await ensureClusterPki(join(dir, 'pki'), plan, options.now())
    const controlPlane = await createControlPlane({ instance, cluster: plan, pki, binaries: config.binaries.dir, cgroups, log })
    const reader = { name: options.access.reader.username, password: options.access.reader.password }
    const { nodeImage: image, pause } = config
    const nodes = await Promise.all(
      plan.nodes.map((node) =>
        createNode({ instance, cluster: plan, node, pki, instanceCa: options.instanceCa, reader, image, pause, cgroups, log }),
      ),
    )
    return new ClusterRuntime(options, controlPlane, nodes, await ClusterObjects.open(plan, paths(instance.state).kubeconfig(plan.name)))
  }

  get components(): Component[] {
    const { etcd, apiserver, controllerManager, scheduler } = this.#controlPlane
    return [
      etcd,
      apiserver,
      controllerManager,
      scheduler,
      ...this.#nodes.flatMap((node) => [node.init, node.containerd, node.kubelet, node.proxy]),
    ]
  }

  /** Brings the cluster up, or takes over what runs, and returns when its nodes are ready and its DNS answers. */
  async start(progress: Progress, signal: AbortSignal): Promise<void> {
    const { etcd, apiserver, controllerManager, scheduler } = this.#controlPlane
    await ensureClusterBridge(this.#options.instance, this.plan)
    progress('starts etcd')
    etcd.start()
    await etcd.whenReady(signal)
    progress('starts the API server')
    apiserver.start()
    await apiserver.whenReady(signal)
    progress('starts the controllers, the scheduler and the nodes')
    controllerManager.start()
    scheduler.start()
    for (const node of this.#nodes) startNode(node)
    await this.#objects.allowKubeletAccess(signal)
    const { dns } = this.#options.config
    if (dns !== undefined) await this.#objects.applyDns(dns.image, signal)
    await Promise.all([
      controllerManager.whenReady(signal),
      scheduler.whenReady(signal),
      ...this.#nodes.map((node) => this.#nodeReady(node, signal)),
    ])
    progress(dns === undefined ? 'its nodes are ready' : 'its nodes are ready; waits for DNS')
    if (dns !== undefined) await this.#objects.dnsReady(signal, dnsReadyMs)
  }

  async #nodeReady(node: Node, signal: AbortSignal): Promise<void> {
    await node.kubelet.whenReady(signal)
    await this.#objects.nodeReady(node.plan, signal, nodeReadyMs)
    await this.#objects.recordPodNet(node.plan, signal)
    await node.proxy.whenReady(signal)
  }

  /** Lets go of the cluster, which runs on, so that it can be prepared anew. */
  async release(): Promise<void> {
    this.#objects.close()
    await Promise.all(this.components.map((component) => component.release()))
  }

  /** Stops everything in reverse order: nodes, controllers, API server, etcd last. Leaves only its state. */
  async stop(): Promise<void> {
    const { instance, cgroups } = this.#options
    const { etcd, apiserver, controllerManager, scheduler } = this.#controlPlane
    this.#objects.close()
    await Promise.all(this.#nodes.map((node) => stopNode(node, instance, cgroups)))
    await Promise.all([controllerManager.stop(), scheduler.stop()])
    await apiserver.stop()
    await etcd.stop()
    for (const node of this.#nodes) await removeNodeNetwork(node.plan)
    await removeClusterBridge(this.plan)
    for (const component of [etcd, apiserver, controllerManager, scheduler]) await cgroups.remove(component.spec.cgroup)
  }

  async status(signal: AbortSignal): Promise<ClusterStatus> {
    const nodes = await Promise.all(
      this.#nodes.map(async (node) => ({
        name: node.plan.name,
        address: node.plan.address,
        podNet: node.plan.podNet,
        ready: (await this.#objects.isNodeReady(node.plan.name, signal)) ?? false,
      })),
    )
    return {
      name: this.plan.name,
      hub: this.plan.hub,
      server: this.plan.server,
      kubeconfig: paths(this.#options.instance.state).kubeconfig(this.plan.name),
      ready: this.components.every((component) => component.state === 'ready') && nodes.every((node) => node.ready),
      nodes,
    }
  }
}

export interface ClusterStatus {
  readonly name: string
  readonly hub: boolean
  readonly server: string
  readonly kubeconfig: string
  /** All its components and nodes are. */
  readonly ready: boolean
  readonly nodes: readonly { readonly name: string; readonly address: string; readonly podNet: string; readonly ready: boolean }[]
}

/** The places in the state folder that belong to one cluster only. */
export function clusterPlaces(instance: Instance, plan: ClusterPlan): string[] {
  const places = paths(instance.state)
  const names = [plan.name, ...plan.nodes.map((node) => node.name)]
  return [
    places.cluster(plan.name),
    ...plan.nodes.map((node) => places.node(node.name)),
    ...names.flatMap((name) => [join(places.logs, name), join(places.run, name)]),
  ]
}
