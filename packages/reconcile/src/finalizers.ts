import type { KubeObject } from '@muster/kube'
import { touches } from './fields.ts'
import { fieldOwners } from './managed-fields.ts'

/** Finalizers that Kubernetes itself sets, and who takes them off. */
const known: ReadonlyMap<string, string> = new Map([
  ['foregroundDeletion', "Kubernetes' garbage collector, when what it owns is gone"],
  ['orphan', "Kubernetes' garbage collector"],
  ['kubernetes', "Kubernetes' namespace controller, when the namespace is empty"],
  ['kubernetes.io/pvc-protection', 'Kubernetes, when no pod uses the claim'],
  ['kubernetes.io/pv-protection', 'Kubernetes, when no claim is bound to the volume'],
  ['kubernetes.io/vac-protection', 'Kubernetes, when no volume uses the class'],
  ['service.kubernetes.io/load-balancer-cleanup', "the cloud's service controller, when the load balancer is gone"],
  ['batch.kubernetes.io/job-tracking', "Kubernetes' job controller"],
  ['external-provisioner.volume.kubernetes.io/finalizer', "the volume's CSI provisioner"],
  ['customresourcecleanup.apiextensions.k8s.io', 'the API server, when the custom resources are gone'],
])

/** Every finalizer of an object with the one who takes it off, as far as that is known: `example.test/hold (set by "shop-controller")`. */
export function describeFinalizers(object: KubeObject): string[] {
  return (object.metadata.finalizers ?? []).map((finalizer) => {
    const by = known.get(finalizer)
    if (by !== undefined) return `${finalizer} (taken off by ${by})`
    const managers = settersOf(object, finalizer)
    if (managers.length > 0) return `${finalizer} (set by ${managers.map((manager) => `"${manager}"`).join(', ')}, which must take it off)`
    const slash = finalizer.indexOf('/')
    const group = slash < 0 ? finalizer : finalizer.slice(0, slash)
    return `${finalizer} (the controller of ${group} must take it off)`
  })
}

/** Field managers that own a finalizer. */
function settersOf(object: KubeObject, finalizer: string): string[] {
  const path = ['f:metadata', 'f:finalizers', `v:${JSON.stringify(finalizer)}`]
  return [
    ...new Set(
      fieldOwners(object)
        .filter(({ fields }) => touches(fields, path))
        .map(({ manager }) => manager),
    ),
  ]
}
