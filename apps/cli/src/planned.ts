import type { KubeObjectLike } from '@muster/bundle'
import { KubeError, type KubeObject, type Ref } from '@muster/kube'
import { type Customized, type CustomizedObject, isClusterScoped } from '@muster/overlay'
import { type ClusterApi, planRelease } from '@muster/reconcile'

/**
 * The objects as an agent would apply them in a cluster that has none of them yet: with its label and their namespaces, in its order. What
 * the agent adds is no overlay's. A kind whose scope nobody says here is taken to be in a namespace.
 */
export async function plannedAsNew({ objects, namespace }: Customized, release: string, signal: AbortSignal): Promise<CustomizedObject[]> {
  const plan = await planRelease(
    nothingThere,
    objects.map(({ object }) => object as KubeObject),
    { release, namespace, inventory: [], signal },
  )
  const origins = new Map(objects.map((one) => [identity(one.object, namespace), one.origins]))
  return plan.objects.map(({ object }) => ({ object: object as KubeObjectLike, origins: origins.get(identity(object, namespace)) ?? [] }))
}

function identity({ apiVersion, kind, metadata }: Pick<KubeObject, 'apiVersion' | 'kind' | 'metadata'>, namespace: string): string {
  const group = apiVersion.includes('/') ? apiVersion.split('/')[0] : ''
  const scoped = isClusterScoped(group ?? '', kind, new Set())
  return [group, kind, scoped ? '' : (metadata.namespace ?? namespace), metadata.name].join('\u0000')
}

const absent = (): never => {
  throw new KubeError('Unreachable', 'No cluster is asked here.')
}

/** A cluster in which nothing is, and that is asked for nothing else. */
const nothingThere: ClusterApi = {
  find: async (_ref: Ref) => undefined,
  resource: async (apiVersion: string, kind: string) => {
    const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : ''
    return { name: '', namespaced: !isClusterScoped(group, kind, new Set()) } as Awaited<ReturnType<ClusterApi['resource']>>
  },
  apply: absent,
  replace: absent,
  patch: absent,
  delete: absent,
  raw: absent,
}
