import { Controller, Informer, KubeClient, type KubeObject, loadKubeconfig, Manager, parseKey } from '@muster/kube'

/** Every namespace with the label `team` has a ConfigMap `contact` that names the team. */
export async function run(kubeconfig: string, signal: AbortSignal): Promise<void> {
  const client = new KubeClient(await loadKubeconfig(kubeconfig), { fieldManager: 'contact' })
  const onError = (error: unknown) => console.error(error)
  const namespaces = new Informer(client, {
    apiVersion: 'v1',
    kind: 'Namespace',
    labelSelector: 'team',
    project: ({ metadata }) => metadata.labels?.['team'],
    onError,
  })
  const contacts = new Informer(client, { apiVersion: 'v1', kind: 'ConfigMap', fieldSelector: 'metadata.name=contact', onError })
  const controller = new Controller({
    name: 'contact',
    onError,
    async reconcile(namespace, signal) {
      const team = namespaces.get(namespace)
      if (team === undefined) return // gone, or no team's any more
      const metadata = { name: 'contact', namespace }
      const contact: KubeObject = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { team } }
      await client.apply(contact, { force: true, signal })
    },
  })
  controller.watches(namespaces).watches(contacts, ({ key }) => parseKey(key).namespace)
  await new Manager().add(namespaces).add(contacts).add(controller).run(signal)
  client.close()
}
