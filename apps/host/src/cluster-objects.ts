import { setTimeout as delay } from 'node:timers/promises'
import { KubeClient, type KubeObject, loadKubeconfig } from '@muster/kube'
import { dnsObjects } from './dns.ts'
import { HostError, messageOf } from './errors.ts'
import type { ClusterPlan, NodePlan } from './instance.ts'
import { kubeletClientUser } from './pki.ts'

const pollMs = 200

/** What the host puts into a cluster, and reads from it, as its administrator. */
export class ClusterObjects {
  readonly #client: KubeClient
  readonly #cluster: ClusterPlan

  private constructor(client: KubeClient, cluster: ClusterPlan) {
    this.#client = client
    this.#cluster = cluster
  }

  static async open(cluster: ClusterPlan, kubeconfig: string): Promise<ClusterObjects> {
    return new ClusterObjects(
      new KubeClient(await loadKubeconfig(kubeconfig), { userAgent: 'muster-host', fieldManager: 'muster-host' }),
      cluster,
    )
  }

  /** Lets the API server read logs and run commands on nodes. */
  async allowKubeletAccess(signal: AbortSignal): Promise<void> {
    await this.#apply(
      [
        {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'ClusterRoleBinding',
          metadata: { name: 'muster:kube-apiserver-kubelet' },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:kubelet-api-admin' },
          subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: kubeletClientUser }],
        },
      ],
      signal,
    )
  }

  async applyDns(image: string, signal: AbortSignal): Promise<void> {
    await this.#apply(dnsObjects(this.#cluster, image), signal)
  }

  async dnsReady(signal: AbortSignal, timeoutMs: number): Promise<void> {
    await this.#until(`DNS of cluster ${this.#cluster.name}`, signal, timeoutMs, async () => {
      const deployment = await this.#client.find<KubeObject & { status?: { availableReplicas?: number; observedGeneration?: number } }>(
        { apiVersion: 'apps/v1', kind: 'Deployment', name: 'coredns', namespace: 'kube-system' },
        { signal },
      )
      return (deployment?.status?.availableReplicas ?? 0) > 0 && deployment?.status?.observedGeneration === deployment?.metadata.generation
    })
  }

  async nodeReady(node: NodePlan, signal: AbortSignal, timeoutMs: number): Promise<void> {
    await this.#until(`node ${node.name}`, signal, timeoutMs, async () => isReady(await this.#node(node.name, signal)))
  }

  /** Writes a node's pod range where other software looks for it. It follows from the plan and never changes. */
  async recordPodNet(node: NodePlan, signal: AbortSignal): Promise<void> {
    const held = await this.#node(node.name, signal)
    if (held?.spec?.podCIDR !== undefined) return
    await this.#client.patch(
      { apiVersion: 'v1', kind: 'Node', name: node.name },
      { spec: { podCIDR: node.podNet, podCIDRs: [node.podNet] } },
      { type: 'merge', signal },
    )
  }

  /** Whether a node says that it is ready; undefined when the cluster does not answer. */
  async isNodeReady(name: string, signal: AbortSignal): Promise<boolean | undefined> {
    return await this.#node(name, signal).then(isReady, () => undefined)
  }

  close(): void {
    this.#client.close()
  }

  async #node(name: string, signal: AbortSignal): Promise<NodeObject | undefined> {
    return await this.#client.find<NodeObject>({ apiVersion: 'v1', kind: 'Node', name }, { signal })
  }

  /** Applies objects in their order. An API server that has just started may refuse for a moment. */
  async #apply(objects: readonly KubeObject[], signal: AbortSignal): Promise<void> {
    for (const object of objects) {
      await this.#until(`${object.kind} ${object.metadata.name}`, signal, 30_000, async () => {
        await this.#client.apply(object, { force: true, signal })
        return true
      })
    }
  }

  async #until(what: string, signal: AbortSignal, timeoutMs: number, done: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + timeoutMs
    let problem = 'not yet'
    while (Date.now() < deadline) {
      signal.throwIfAborted()
      try {
        if (await done()) return
      } catch (error) {
        problem = messageOf(error)
      }
      await delay(pollMs, undefined, { signal })
    }
    throw new HostError(
      'NotReady',
      `${what} was not ready within ${timeoutMs / 1000} s (${problem}); see \`muster status\` and the pods of the cluster.`,
    )
  }
}

type NodeObject = KubeObject & { spec?: { podCIDR?: string }; status?: { conditions?: { type: string; status: string }[] } }

function isReady(node: NodeObject | undefined): boolean {
  return node?.status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') ?? false
}
