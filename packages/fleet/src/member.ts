import { type KubeClient, KubeError, type KubeObject, type Ref } from '@muster/kube'
import { FleetError } from './errors.ts'
import { until, type WaitOptions } from './install.ts'
import { systemNamespace } from './names.ts'

const own = (apiVersion: string, kind: string, name: string): Ref => ({ apiVersion, kind, name, namespace: systemNamespace })
const agentDeploymentRef = own('apps/v1', 'Deployment', 'muster-agent')

/** What an agent is besides its Deployment, in the order in which it goes. Releases and what they made are not of it. */
const agentParts: readonly Ref[] = [
  own('v1', 'Secret', 'muster-agent-identity'),
  own('v1', 'Secret', 'muster-agent-bootstrap'),
  own('v1', 'ConfigMap', 'muster-agent-state'),
  { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding', name: 'muster-agent' },
  own('v1', 'ServiceAccount', 'muster-agent'),
]

/** What a Secret of the agent holds, decoded; undefined when it is not there. */
export async function memberSecret(member: KubeClient, name: string, signal: AbortSignal): Promise<Map<string, string> | undefined> {
  const secret = await member.find<KubeObject & { data?: Record<string, string> }>(own('v1', 'Secret', name), { signal })
  return secret && new Map(Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]))
}

/**
 * Takes the agent out of a cluster: first its pod, so that nobody works on what is left, then all that it was. What it installed stays
 * as it is, with the `Release` objects that say what that was.
 */
export async function removeAgent(member: KubeClient, wait: WaitOptions): Promise<void> {
  await member.delete(agentDeploymentRef, { propagation: 'Foreground', signal: wait.signal })
  await until(
    wait,
    'the end of the agent',
    () => 'its pod is still there',
    async (signal) => (await member.find(agentDeploymentRef, { signal })) === undefined,
  )
  await removeGuard(member, wait.signal)
  for (const part of agentParts) await member.delete(part, { signal: wait.signal })
}

/** Label of what the agent's write guard is made of. Its bindings go first: without them it refuses nothing. */
const guardPart = 'muster.dev/guard-of'
const guardKinds = [
  { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingAdmissionPolicyBinding' },
  { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingAdmissionPolicy' },
  { apiVersion: 'v1', kind: 'ConfigMap', namespace: systemNamespace },
] as const

/** Takes the write guard away, as nobody would be left whom it lets write. */
async function removeGuard(member: KubeClient, signal: AbortSignal): Promise<void> {
  for (const kind of guardKinds) {
    // A cluster without such policies has no guard.
    const found = await member.list({ ...kind, labelSelector: guardPart }, { signal }).catch(ifServed)
    for (const { metadata } of found?.items ?? []) {
      const ref = { ...kind, name: metadata.name }
      await until(
        { signal, deadlineMs: guardLetsGoMs },
        `the end of ${kind.kind} ${metadata.name}`,
        () => 'the write guard refuses still',
        async (stop) => (await member.delete(ref, { signal: stop }).catch(refusedStill)) === 'gone',
      )
    }
  }
}

/** The API server believes in a policy for a moment after it went. */
const guardLetsGoMs = 30_000

function refusedStill(error: unknown): undefined {
  if (error instanceof KubeError && (error.code === 'Forbidden' || error.code === 'Invalid')) return undefined
  throw error
}

function ifServed(error: unknown): undefined {
  if (error instanceof KubeError && error.code === 'UnknownKind') return undefined
  throw error
}

/** What a new member's agent is installed with. */
export interface AgentInstall {
  readonly image: string
  readonly hubUrl: string
  readonly hubCa: string
  readonly trustRoot: string
}

interface Deployment extends KubeObject {
  readonly spec?: { readonly template?: { readonly spec?: { readonly containers?: readonly { readonly image?: string }[] } } }
}

/**
 * How agents are installed in this fleet, as the hub's own cluster shows it, which is a member like any other: the agent's image, where
 * the hub is, and the newest authorities and trust root that its agent has verified.
 * @throws FleetError `NoHub`
 */
export async function agentInstall(hub: KubeClient, signal: AbortSignal): Promise<AgentInstall> {
  const bootstrap = await memberSecret(hub, 'muster-agent-bootstrap', signal)
  const identity = await memberSecret(hub, 'muster-agent-identity', signal)
  const state = await hub.find<KubeObject & { data?: Record<string, string> }>(own('v1', 'ConfigMap', 'muster-agent-state'), { signal })
  const deployment = await hub.find<Deployment>(agentDeploymentRef, { signal })
  const image = deployment?.spec?.template?.spec?.containers?.[0]?.image
  const hubUrl = bootstrap?.get('hub-url')
  const hubCa = identity?.get('hub-ca.crt') ?? bootstrap?.get('hub-ca.crt')
  const trustRoot = state?.data?.['root.json'] ?? bootstrap?.get('root.json')
  if (!image || !hubUrl || !hubCa || !trustRoot)
    throw new FleetError('NoHub', 'The hub cluster has no agent of its own yet, by which others are installed. Run "muster up" first.')
  return { image, hubUrl, hubCa, trustRoot }
}
