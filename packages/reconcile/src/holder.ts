import type { KubeObject } from '@muster/kube'
import { fieldManager, releaseLabel } from './cluster.ts'
import { touches } from './fields.ts'
import { ownFields } from './managed-fields.ts'

/** The release that applied an object. A label that someone else wrote gives it to nobody. */
export function holderOf(object: KubeObject): string | undefined {
  const labelled = touches(ownFields(object, fieldManager) ?? {}, ['f:metadata', 'f:labels', `f:${releaseLabel}`])
  return labelled ? object.metadata.labels?.[releaseLabel] : undefined
}
