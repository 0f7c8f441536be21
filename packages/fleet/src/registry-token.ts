import type { KubeClient, KubeObject } from '@muster/kube'
import { installer, systemNamespace } from './names.ts'

/** What a cluster reads the registry with: its own, so that one which leaves can be cut off alone. */
export interface RegistryCredentials {
  readonly username: string
  readonly password: string
}

/** Name of a cluster's token in the registry. */
export function registryTokenName(cluster: string): string {
  return `cluster-${cluster}`
}

/** What a cluster may read: its own channel, bundles, and images wherever they are kept. */
export function registryTokenScopes(cluster: string): string[] {
  return [`channels/${cluster}`, 'bundles/**', 'mirror/**', 'cache/**'].map((pattern) => `repository:${pattern}:pull`)
}

/** Where the hub finds what it gives to a cluster's agent when it joins and with each renewal. */
const secretOf = (cluster: string): string => `registry-${cluster}`
const label = 'muster.dev/registry'

export async function holdsRegistryCredentials(hub: KubeClient, cluster: string, signal: AbortSignal): Promise<boolean> {
  const ref = { apiVersion: 'v1', kind: 'Secret', namespace: systemNamespace, name: secretOf(cluster) }
  return (await hub.find(ref, { signal })) !== undefined
}

export async function putRegistryCredentials(
  hub: KubeClient,
  cluster: string,
  { username, password }: RegistryCredentials,
  signal: AbortSignal,
): Promise<void> {
  const secret: KubeObject = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: secretOf(cluster), namespace: systemNamespace, labels: { [label]: 'true' } },
    type: 'Opaque',
    stringData: { username, password },
  }
  await hub.apply(secret, { fieldManager: installer, force: true, signal })
}

export async function removeRegistryCredentials(hub: KubeClient, cluster: string, signal: AbortSignal): Promise<void> {
  await hub.delete({ apiVersion: 'v1', kind: 'Secret', namespace: systemNamespace, name: secretOf(cluster) }, { signal })
}
