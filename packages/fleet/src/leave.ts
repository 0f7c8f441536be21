import { apiVersion, type Cluster, customResourceDefinition, releaseKind, releaseReasons } from '@muster/api'
import type { KubeClient, KubeObject } from '@muster/kube'
import { FleetError } from './errors.ts'
import { until, type WaitOptions } from './install.ts'
import { memberSecret, removeAgent } from './member.ts'
import { systemNamespace } from './names.ts'
import { removeRegistryCredentials } from './registry-token.ts'

type ClusterObject = Cluster & KubeObject

export interface LeaveOptions {
  readonly cluster: string
  readonly hub: KubeClient
  /** The cluster itself; absent when it is gone for good, so that only the hub forgets it. */
  readonly member?: KubeClient | undefined
  /** Take away all that was placed on it first; else it stays as it is, with nobody to keep it. */
  readonly prune: boolean
  /** Makes the cluster's token for the registry count no more. */
  readonly revokeRegistryToken?: (() => Promise<void>) | undefined
}

/**
 * Takes a cluster out of the fleet: with `prune` it is emptied first, by its agent; then the agent goes, then the hub forgets the
 * cluster. From then on its identity is refused, and so is its token for the registry. May be repeated after it was cut short.
 * @throws FleetError `UnknownCluster`, `NotReady`; KubeError
 */
export async function leaveCluster({ cluster, hub, member, prune, revokeRegistryToken }: LeaveOptions, wait: WaitOptions): Promise<void> {
  const { signal } = wait
  const ref = { apiVersion, kind: 'Cluster', name: cluster }
  if ((await hub.find<ClusterObject>(ref, { signal })) === undefined)
    throw new FleetError('UnknownCluster', `The fleet has no cluster ${cluster}; "muster status" shows those that it has.`)
  if (prune) await empty(hub, cluster, wait)
  if (member !== undefined) {
    await removeAgent(member, wait)
    if (prune) {
      const { metadata } = customResourceDefinition(releaseKind)
      await member.delete({ apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', name: metadata.name }, { signal })
    }
  }
  await hub.delete({ apiVersion: 'v1', kind: 'Secret', namespace: systemNamespace, name: `join-${cluster}` }, { signal })
  await removeRegistryCredentials(hub, cluster, signal)
  // Before the hub forgets the cluster: where it fails, leaving again goes on here.
  await revokeRegistryToken?.()
  await hub.delete(ref, { signal })
}

/**
 * Takes the agent out of a cluster at its site, without the hub: nobody works on the cluster any more, nothing is refused, and all that runs
 * goes on. The hub, where there still is one, takes the cluster for silent until it is told. May be repeated after it was cut short.
 * @throws FleetError `MemberElsewhere` where the cluster is a member under another name; KubeError
 */
export async function leaveOffline(cluster: string, member: KubeClient, wait: WaitOptions): Promise<void> {
  const bootstrap = await memberSecret(member, 'muster-agent-bootstrap', wait.signal)
  const name = bootstrap?.get('cluster')
  if (name !== undefined && name !== cluster)
    throw new FleetError(
      'MemberElsewhere',
      `This cluster is a member as ${name}, not as ${cluster}: nothing was done. Check --context, or say ${name}.`,
    )
  await removeAgent(member, wait)
}

/** Has the hub publish an empty channel for the cluster, and waits until its agent has taken everything away. */
async function empty(hub: KubeClient, name: string, wait: WaitOptions): Promise<void> {
  const ref = { apiVersion, kind: 'Cluster', name }
  await hub.patch(ref, { spec: { leaving: true } }, { type: 'merge', signal: wait.signal })
  let last = 'its channel is not published yet'
  await until(
    wait,
    `the prune of ${name}`,
    () => last,
    async (signal) => {
      const { metadata, status } = await hub.get<ClusterObject>(ref, { signal })
      const { report, channel, observedGeneration } = status ?? {}
      if (observedGeneration !== metadata.generation || channel === undefined) return false
      if ((report?.generation ?? 0) < channel.generation) {
        last = `its agent has not taken generation ${channel.generation} yet; if it never will, leave without --prune`
        return false
      }
      const left = report?.releases ?? []
      const held = left.find(({ reason }) => reason === releaseReasons.protectedNeedsConsent)
      if (held !== undefined)
        throw new FleetError(
          'NeedsConsent',
          `${name} is emptied but for what needs consent. ${held.name}: ${held.message} Then leave again.`,
        )
      last = left.map(({ name, reason, message }) => `${name} is still there (${reason}: ${message})`).join('; ')
      return left.length === 0
    },
  )
}
