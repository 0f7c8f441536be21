import { setTimeout as pause } from 'node:timers/promises'
import { apiVersion, type Cluster } from '@muster/api'
import { type KubeClient, KubeError, type KubeObject } from '@muster/kube'
import { type AgentOptions, agentDeployment, agentObjects } from './agent.ts'
import { FleetError } from './errors.ts'
import { type HubOptions, hubObjects } from './hub.ts'
import { installer, systemNamespace } from './names.ts'
import { createJoinToken } from './token.ts'

const pollMs = 250

export interface WaitOptions {
  readonly signal: AbortSignal
  /** How long to wait for it to be ready, in milliseconds. */
  readonly deadlineMs: number
}

/** Installs the hub, or brings it to what is given, and waits until it answers. */
export async function installHub(client: KubeClient, options: HubOptions, wait: WaitOptions): Promise<void> {
  await applyAll(client, hubObjects(options), wait)
  await deploymentReady(client, 'muster-hub', wait)
}

/** What a join needs besides the agent's own options: the two clusters' clients. */
export interface JoinOptions extends Omit<AgentOptions, 'token'> {
  readonly hub: KubeClient
  readonly member: KubeClient
  readonly labels?: Readonly<Record<string, string>>
  readonly now: Date
}

/**
 * Makes a cluster a member: a `Cluster` and a one-time token in the hub, the agent in the member. A cluster that has joined
 * already keeps its identity; only its agent's image may change.
 */
export async function joinCluster(options: JoinOptions, wait: WaitOptions): Promise<{ readonly joined: boolean }> {
  const { hub, member, cluster, signal } = { ...options, signal: wait.signal }
  await applyAll(
    hub,
    [{ apiVersion, kind: 'Cluster', metadata: { name: cluster, ...(options.labels ? { labels: options.labels } : {}) }, spec: {} }],
    wait,
  )
  const identity = await member.find(
    { apiVersion: 'v1', kind: 'Secret', namespace: systemNamespace, name: 'muster-agent-identity' },
    { signal },
  )
  if (identity) {
    await applyAll(member, [agentDeployment(options.image)], wait)
  } else {
    const { token, secret } = createJoinToken(cluster, options.now)
    await applyAll(hub, [secret], wait)
    await applyAll(member, agentObjects({ ...options, token }), wait)
  }
  await deploymentReady(member, 'muster-agent', wait)
  await reporting(hub, cluster, wait)
  return { joined: identity === undefined }
}

/** Applies objects in order. A kind that a definition just before brought may need a moment until it is served. */
async function applyAll(client: KubeClient, objects: readonly KubeObject[], { signal, deadlineMs }: WaitOptions): Promise<void> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)])
  for (const object of objects) {
    for (;;) {
      try {
        await client.apply(object, { fieldManager: installer, force: true, signal: deadline })
        break
      } catch (error) {
        const passing = error instanceof KubeError && (error.transient || error.code === 'UnknownKind' || error.code === 'NotFound')
        if (!passing || deadline.aborted) throw error
        await pause(pollMs, undefined, { signal: deadline })
      }
    }
  }
}

interface DeploymentStatus extends KubeObject {
  readonly spec?: { readonly replicas?: number }
  readonly status?: {
    readonly observedGeneration?: number
    readonly updatedReplicas?: number
    readonly availableReplicas?: number
    readonly replicas?: number
    readonly conditions?: readonly { readonly type: string; readonly message?: string; readonly status: string }[]
  }
}

async function deploymentReady(client: KubeClient, name: string, wait: WaitOptions): Promise<void> {
  let last = 'it does not exist'
  await until(
    wait,
    `${systemNamespace}/${name}`,
    () => last,
    async (signal) => {
      const found = await client.find<DeploymentStatus>(
        { apiVersion: 'apps/v1', kind: 'Deployment', namespace: systemNamespace, name },
        { signal },
      )
      if (!found) return false
      const { status, spec, metadata } = found
      const wanted = spec?.replicas ?? 1
      last =
        status?.conditions?.find((one) => one.status !== 'True')?.message ?? `${status?.availableReplicas ?? 0} of ${wanted} pods are ready`
      return (
        status?.observedGeneration === metadata.generation &&
        status?.updatedReplicas === wanted &&
        status?.availableReplicas === wanted &&
        status?.replicas === wanted
      )
    },
  )
}

async function reporting(hub: KubeClient, name: string, wait: WaitOptions): Promise<void> {
  await until(
    wait,
    `cluster ${name}`,
    () => 'its agent has not reported to the hub',
    async (signal) => {
      const cluster = await hub.find<Cluster & KubeObject>({ apiVersion, kind: 'Cluster', name }, { signal })
      return cluster?.status?.report !== undefined
    },
  )
}

/**
 * Asks again and again until `done`. An error that may pass is waited out like a "not yet".
 * @throws FleetError `NotReady` at the deadline, with what was last seen
 */
export async function until(
  { signal, deadlineMs }: WaitOptions,
  what: string,
  why: () => string,
  done: (signal: AbortSignal) => Promise<boolean>,
): Promise<void> {
  const timeout = AbortSignal.timeout(deadlineMs)
  const either = AbortSignal.any([signal, timeout])
  let failure: unknown
  while (!either.aborted) {
    try {
      if (await done(either)) return
      failure = undefined
    } catch (error) {
      if (!(error instanceof KubeError && error.transient) && !either.aborted) throw error
      failure = error
    }
    await pause(pollMs, undefined, { signal: either }).catch(() => undefined)
  }
  signal.throwIfAborted()
  const reason = failure instanceof Error && !timeout.aborted ? failure.message : why()
  throw new FleetError('NotReady', `${what} was not ready within ${Math.round(deadlineMs / 1000)} s: ${reason}.`, {
    transient: true,
    cause: failure,
  })
}
