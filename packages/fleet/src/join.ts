import { randomBytes, X509Certificate } from 'node:crypto'
import { apiVersion, type Cluster } from '@muster/api'
import type { KubeClient, KubeObject } from '@muster/kube'
import { type AgentOptions, agentObjects, agentUpgrade } from './agent.ts'
import { FleetError } from './errors.ts'
import { applyAll, deploymentReady, until, type WaitOptions } from './install.ts'
import { memberSecret, removeAgent } from './member.ts'
import { holdsRegistryCredentials, putRegistryCredentials, type RegistryCredentials } from './registry-token.ts'
import { createJoinToken } from './token.ts'

type ClusterObject = Cluster & KubeObject

/** Who has reported within this time, in milliseconds, is there. */
const aliveMs = 30_000

/** What a join needs besides the agent's own options: the two clusters' clients. */
export interface JoinOptions extends Omit<AgentOptions, 'token'> {
  readonly hub: KubeClient
  readonly member: KubeClient
  /** Labels of the `Cluster`, by which placements select; those that it has and that are not named here stay. */
  readonly labels?: Readonly<Record<string, string>>
  /** Makes the cluster's own token for the registry, instead of one that it had. Default: all clusters read with the same account. */
  readonly issueRegistryToken?: (() => Promise<RegistryCredentials>) | undefined
  readonly now: Date
}

/**
 * Makes a cluster a member: a `Cluster` and a one-time token in the hub, the agent in the member; waits for its report. A cluster that
 * is a member already keeps its identity; only its agent's image and its labels may change. One that has left, or whose `Cluster` is
 * gone, joins anew, and what was its identity before counts no more.
 * @throws FleetError `NameTaken` when another cluster reports under this name, `MemberElsewhere` when this one is a member under
 *   another name: nothing is changed then. `NotReady` at the deadline; KubeError
 */
export async function joinCluster(options: JoinOptions, wait: WaitOptions): Promise<{ readonly joined: boolean }> {
  const { hub, member, cluster, labels, now } = options
  const { signal } = wait
  const ref = { apiVersion, kind: 'Cluster', name: cluster }
  const present = await hub.find<ClusterObject>(ref, { signal })
  const before = present?.status?.reportedAt
  await demandSameName(member, cluster, signal)
  if (present !== undefined && (await holdsIdentityOf(member, present, signal))) {
    // One that joined before clusters had tokens of their own gets its with the next renewal.
    await ensureRegistryToken(options, false, signal)
    if (labels !== undefined) await hub.patch(ref, { metadata: { labels } }, { type: 'merge', signal })
    await applyAll(member, agentUpgrade(options.image), wait)
    await deploymentReady(member, 'muster-agent', wait)
    await reporting(hub, cluster, undefined, wait)
    return { joined: false }
  }
  if (before !== undefined && now.getTime() - Date.parse(before) < aliveMs) {
    throw new FleetError(
      'NameTaken',
      `The fleet has a cluster ${cluster} already, which last reported at ${before}. Take another name, or let it leave first: "muster leave ${cluster}".`,
    )
  }
  const identity = randomBytes(16).toString('hex')
  if (present === undefined) {
    const metadata = { name: cluster, ...(labels === undefined ? {} : { labels }) }
    await applyAll(hub, [{ apiVersion, kind: 'Cluster', metadata, spec: { identity } }], wait)
  } else {
    const patch = { ...(labels === undefined ? {} : { metadata: { labels } }), spec: { identity, leaving: null } }
    await hub.patch(ref, patch, { type: 'merge', signal })
  }
  // What an earlier membership left would be taken for this one's.
  await removeAgent(member, wait)
  await ensureRegistryToken(options, true, signal)
  const { token, secret } = createJoinToken(cluster, now)
  await applyAll(hub, [secret], wait)
  await applyAll(member, agentObjects({ ...options, token }), wait)
  await deploymentReady(member, 'muster-agent', wait)
  await reporting(hub, cluster, before, wait)
  return { joined: true }
}

/**
 * Waits until a cluster is ready at the newest generation: what is placed on it runs.
 * @throws FleetError `NotReady` at the deadline, with what the hub says of it
 */
export async function clusterIsReady(hub: KubeClient, name: string, wait: WaitOptions): Promise<void> {
  let last = 'the hub says nothing of it'
  await until(
    wait,
    `cluster ${name}`,
    () => last,
    async (signal) => {
      const { metadata, status } = await hub.get<ClusterObject>({ apiVersion, kind: 'Cluster', name }, { signal })
      const ready = status?.conditions?.find((one) => one.type === 'Ready')
      if (ready !== undefined) last = ready.message
      const current = status?.observedGeneration === metadata.generation && status?.report?.generation === status?.channel?.generation
      return ready?.status === 'True' && current
    },
  )
}

/** @param anew also where there is one: what an earlier member of this name held counts no more */
async function ensureRegistryToken({ hub, cluster, issueRegistryToken }: JoinOptions, anew: boolean, signal: AbortSignal): Promise<void> {
  if (issueRegistryToken === undefined || (!anew && (await holdsRegistryCredentials(hub, cluster, signal)))) return
  await putRegistryCredentials(hub, cluster, await issueRegistryToken(), signal)
}

async function demandSameName(member: KubeClient, cluster: string, signal: AbortSignal): Promise<void> {
  const name = (await memberSecret(member, 'muster-agent-bootstrap', signal))?.get('cluster')
  if (name === undefined || name === cluster) return
  throw new FleetError(
    'MemberElsewhere',
    `This cluster is a member of a fleet already, as ${name}. Let it leave first: "muster leave ${name}"; or join it as ${name}.`,
  )
}

/** Whether the member has an identity that the hub takes for the cluster that it knows by this name. */
async function holdsIdentityOf(member: KubeClient, { spec, metadata }: Cluster, signal: AbortSignal): Promise<boolean> {
  const certificate = (await memberSecret(member, 'muster-agent-identity', signal))?.get('tls.crt')
  if (certificate === undefined) return false
  try {
    const { CN, O } = new X509Certificate(certificate).toLegacyObject().subject
    return CN === metadata.name && (spec.identity === undefined || O === spec.identity)
  } catch {
    return false
  }
}

/** @param before when the last report came that does not count */
async function reporting(hub: KubeClient, name: string, before: string | undefined, wait: WaitOptions): Promise<void> {
  await until(
    wait,
    `cluster ${name}`,
    () => `its agent has not reported to the hub; its log says why: kubectl -n muster-system logs deploy/muster-agent`,
    async (signal) => {
      const { status } = (await hub.find<ClusterObject>({ apiVersion, kind: 'Cluster', name }, { signal })) ?? {}
      return status?.report !== undefined && status.reportedAt !== before
    },
  )
}
