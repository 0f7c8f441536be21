import type { KubeClient, KubeObject } from '@muster/kube'
import type { RegistryAccess, RegistryAccessOf } from './join.ts'

/** Label that a Secret must have to be taken for a cluster's token for the registry. */
const registryLabel = 'muster.dev/registry'

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>
}

/**
 * What a cluster reads the registry with: the Secret `registry-<cluster>`, made when it joined; where there is none, the account that
 * clusters share. An error that may pass is thrown: a cluster must not get the shared account because of it.
 */
export function registryAccessOf(client: Pick<KubeClient, 'find'>, namespace: string, shared: RegistryAccess): RegistryAccessOf {
  return async (cluster, signal) => {
    const ref = { apiVersion: 'v1', kind: 'Secret', namespace, name: `registry-${cluster}` }
    const secret = await client.find<Secret>(ref, { signal })
    if (secret?.metadata.labels?.[registryLabel] !== 'true') return shared
    const username = decode(secret.data?.['username'])
    const password = decode(secret.data?.['password'])
    return username === '' || password === '' ? shared : { host: shared.host, ca: shared.ca, username, password }
  }
}

function decode(base64: string | undefined): string {
  return Buffer.from(base64 ?? '', 'base64').toString('utf8')
}
