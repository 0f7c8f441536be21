import { pathToFileURL } from 'node:url'

/** What is used of client-node. It is no dependency, so its own types are not here. */
interface ClientNode {
  readonly KubeConfig: new () => {
    loadFromFile(file: string): void
    makeApiClient(api: unknown): { listPodForAllNamespaces(): Promise<unknown> }
  }
  readonly CoreV1Api: unknown
  makeInformer(
    config: unknown,
    path: string,
    list: () => Promise<unknown>,
  ): { start(): Promise<void>; stop(): Promise<void>; list(): unknown[] }
}

/** Measured from outside: `informer-client-node KUBECONFIG LIBRARY` does the same with client-node. */
const [, , kubeconfig = '', library = ''] = process.argv
const { CoreV1Api, KubeConfig, makeInformer } = (await import(pathToFileURL(library).href)) as ClientNode
const config = new KubeConfig()
config.loadFromFile(kubeconfig)
const api = config.makeApiClient(CoreV1Api)
const started = performance.now()
const informer = makeInformer(config, '/api/v1/pods', () => api.listPodForAllNamespaces())
process.once('SIGTERM', () => process.exit())
await informer.start()
console.log(JSON.stringify({ ms: performance.now() - started, size: informer.list().length }))
