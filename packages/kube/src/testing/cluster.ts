import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { KubeClient } from '../client.ts'
import type { ClientConfig } from '../config.ts'
import { loadKubeconfig } from '../kubeconfig.ts'

/** A real API server, with a namespace of one's own in it. */
export interface TestCluster {
  readonly config: ClientConfig
  readonly client: KubeClient
  readonly namespace: string
  dispose(): Promise<void>
}

export async function openCluster(): Promise<TestCluster> {
  const namespace = `kube-test-${randomBytes(4).toString('hex')}`
  const config = { ...(await loadKubeconfig(inject('kubeconfig' as never) as string)), namespace }
  const client = new KubeClient(config, { fieldManager: 'kube-test' })
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  return {
    config,
    client,
    namespace,
    async dispose() {
      await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: namespace })
      client.close()
    },
  }
}
