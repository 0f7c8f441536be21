import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { ClientConfig } from './config.ts'
import { KubeError } from './error.ts'

export interface InClusterOptions {
  /** The process's environment: `KUBERNETES_SERVICE_HOST` and `_PORT`. Without them: the Service's DNS name. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Where the service account is mounted. */
  readonly directory?: string
}

/**
 * The configuration of a pod, from its projected service account: the token is read again as the kubelet renews it.
 * Throws `Config` where there is none. Source: Kubernetes docs, "Accessing the Kubernetes API from a Pod".
 */
export async function inClusterConfig(options: InClusterOptions = {}): Promise<ClientConfig> {
  const directory = options.directory ?? '/var/run/secrets/kubernetes.io/serviceaccount'
  const tokenFile = path.join(directory, 'token')
  let namespace: string
  try {
    await readFile(tokenFile)
    namespace = (await readFile(path.join(directory, 'namespace'), 'utf8')).trim()
  } catch (cause) {
    throw new KubeError('Config', `There is no service account in ${directory}. Run as a pod that mounts its token, or use a kubeconfig.`, {
      cause,
    })
  }
  const host = options.env?.['KUBERNETES_SERVICE_HOST'] ?? 'kubernetes.default.svc'
  const port = options.env?.['KUBERNETES_SERVICE_PORT'] ?? '443'
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    namespace,
    ca: { file: path.join(directory, 'ca.crt') },
    user: { tokenFile },
  }
}
