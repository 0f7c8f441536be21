import type { KubeClient, KubeObject } from '@muster/kube'

/** Put into a pod's template: no node takes such a pod, so that a test alone says how it is. */
export const onNoNode = 'nodeSelector: {example.test/node: none}'

/** Says of the pods with a label, where there are any, how they are: as a node would. Tells how many there were. */
export async function sayOfPods(
  client: KubeClient,
  namespace: string,
  labelSelector: string,
  phase: 'Running' | 'Succeeded' | 'Failed',
): Promise<number> {
  const { items } = await client.list({ apiVersion: 'v1', kind: 'Pod', namespace, labelSelector })
  const now = new Date().toISOString()
  for (const pod of items as KubeObject[]) {
    const containers = (pod['spec'] as { containers: { name: string; image: string }[] }).containers
    const ended = { exitCode: phase === 'Succeeded' ? 0 : 1, reason: phase === 'Succeeded' ? 'Completed' : 'Error', finishedAt: now }
    const status = {
      phase,
      conditions: [{ type: 'Ready', status: phase === 'Running' ? 'True' : 'False', lastTransitionTime: now }],
      containerStatuses: containers.map(({ name, image }) => ({
        name,
        image,
        imageID: '',
        ready: phase === 'Running',
        restartCount: 0,
        state: phase === 'Running' ? { running: { startedAt: now } } : { terminated: { ...ended, startedAt: now } },
      })),
    }
    await client.patch(
      { apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name, namespace },
      { status },
      { type: 'merge', subresource: 'status' },
    )
  }
  return items.length
}
