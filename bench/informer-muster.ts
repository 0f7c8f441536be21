import { Informer, KubeClient, loadKubeconfig } from '@muster/kube'

/** Measured from outside: `informer-muster KUBECONFIG` keeps a view of all pods, projected as the agent does, and says when it is complete. */
const client = new KubeClient(await loadKubeconfig(process.argv[2] ?? ''))
const informer = new Informer(client, {
  apiVersion: 'v1',
  kind: 'Pod',
  project: ({ metadata: { name, namespace, resourceVersion, labels } }) => ({ name, namespace, resourceVersion, labels }),
})
const started = performance.now()
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
const running = informer.run(stop.signal)
await informer.whenSynced(stop.signal)
console.log(JSON.stringify({ ms: performance.now() - started, size: informer.size }))
await running
client.close()
