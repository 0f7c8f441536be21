import path from 'node:path'
import { inject } from 'vitest'
import { startApiServer, type TestApiServer } from '../../../../test/environment/api-server.ts'
import { type FaultyProxy, openFaultyProxy } from '../../../../test/environment/faulty-proxy.ts'
import { KubeClient } from '../client.ts'
import type { ClientConfig } from '../config.ts'

/** An API server of the test's own, with an administrator's client straight to it. */
export interface OwnServer extends TestApiServer {
  readonly config: ClientConfig
  readonly client: KubeClient
  /** The same server through something that does to requests what the test wants. */
  faulty(): Promise<{ readonly proxy: FaultyProxy; readonly config: ClientConfig }>
}

export async function openOwnServer(): Promise<OwnServer> {
  // state/clusters/NAME/admin.kubeconfig: the programs are in state/bin
  const state = path.resolve(path.dirname(inject('kubeconfig' as never) as string), '../..')
  const server = await startApiServer(path.join(state, 'bin'))
  const user = { certificate: { pem: server.admin.certificate }, key: { pem: server.admin.privateKey } }
  const config = { server: server.url, ca: { pem: server.ca }, user }
  const client = new KubeClient(config, { fieldManager: 'kube-test', timeoutMs: 60_000 })
  return {
    ...server,
    config,
    client,
    async faulty() {
      const shown = await server.issue({ commonName: 'proxy', addresses: ['127.0.0.1'], usages: ['server'] })
      const proxy = await openFaultyProxy(server.url, { ca: server.ca, shown, client: server.admin })
      return { proxy, config: { server: proxy.url, ca: { pem: server.ca } } }
    },
    async dispose() {
      client.close()
      await server.dispose()
    },
  }
}
