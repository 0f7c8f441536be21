import type { KubeObject } from '@muster/kube'
import { type ClusterApi, calling, guardLabel, releaseLabel } from './cluster.ts'
import { refOf } from './identity.ts'

/** Annotation of an object that stays when its release goes, or does not have it any more; its value is then `keep`. */
const pruneAnnotation = 'muster.dev/prune'

/** Whether an object says of itself that it stays. */
export function isToStay({ metadata }: KubeObject): boolean {
  return metadata.annotations?.[pruneAnnotation] === 'keep'
}

/** Lets an object be as it is, with nobody to keep it: the labels by which it belonged to a release go, and nothing else changes. */
export async function orphan(api: ClusterApi, live: KubeObject, signal: AbortSignal | undefined): Promise<void> {
  const labels = [releaseLabel, guardLabel].filter((label) => live.metadata.labels?.[label] !== undefined)
  if (labels.length === 0) return
  const removals = labels.map((label) => ({ op: 'remove', path: `/metadata/labels/${label.replace('/', '~1')}` }))
  await api.patch(refOf(live), [{ op: 'test', path: '/metadata/uid', value: live.metadata.uid }, ...removals], {
    type: 'json',
    ...calling(signal),
  })
}
