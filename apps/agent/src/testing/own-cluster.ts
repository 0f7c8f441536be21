import path from 'node:path'
import { inject } from 'vitest'
import { startApiServer, type TestApiServer } from '../../../../test/environment/api-server.ts'
import { type FaultyCluster, openFaultyCluster } from './faulty-cluster.ts'

/** An API server of the test's own, to be killed as it likes: there is no controller, so that nothing deletes a namespace. */
export interface OwnCluster {
  readonly server: TestApiServer
  readonly cluster: FaultyCluster
  close(): Promise<void>
}

export async function openOwnCluster(): Promise<OwnCluster> {
  // state/clusters/NAME/admin.kubeconfig: the programs are in state/bin
  const server = await startApiServer(path.resolve(path.dirname(inject('kubeconfig')), '../../bin'))
  const user = { certificate: { pem: server.admin.certificate }, key: { pem: server.admin.privateKey } }
  try {
    const cluster = await openFaultyCluster({ server: server.url, ca: { pem: server.ca }, user })
    const close = async (): Promise<void> => {
      await cluster.close([])
      await server.dispose()
    }
    return { server, cluster, close }
  } catch (error) {
    await server.dispose()
    throw error
  }
}
