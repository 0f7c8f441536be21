import type { KubeObject, Ref } from '@muster/kube'

/** What this package asks of a Kubernetes client. `KubeClient` satisfies it; tests of the pure parts need none. */
export interface ClusterApi {
  find(ref: Ref, options?: CallOptions): Promise<KubeObject | undefined>
  apply(
    object: KubeObject,
    options: { readonly fieldManager: string; readonly force: boolean; readonly dryRun?: boolean; readonly signal?: AbortSignal },
  ): Promise<KubeObject>
  /** Throws `Conflict` where the object changed since it was read. */
  replace(
    object: KubeObject,
    options: { readonly fieldManager: string; readonly fieldValidation: 'Strict'; readonly signal?: AbortSignal },
  ): Promise<KubeObject>
  patch(ref: Ref, patch: unknown, options: { readonly type: 'json'; readonly signal?: AbortSignal }): Promise<KubeObject>
  delete(
    ref: Ref,
    options: { readonly propagation: 'Background'; readonly uid?: string; readonly signal?: AbortSignal },
  ): Promise<'gone' | 'deleting'>
  raw(
    method: 'GET',
    path: string,
    options: CallOptions & {
      readonly headers?: Readonly<Record<string, string>>
      readonly query?: Readonly<Record<string, string | number>>
    },
  ): Promise<unknown>
  resource(apiVersion: string, kind: string, options?: CallOptions): Promise<{ readonly namespaced: boolean }>
}

export interface CallOptions {
  readonly signal?: AbortSignal
}

/** Label on every object of a release; its value is the release's name. */
export const releaseLabel = 'muster.dev/release'

/**
 * Label of what the write guard keeps others from changing; its value is the cluster's name, so that two agents on one API server do not
 * meet. What nobody keeps any more must not bear it.
 */
export const guardLabel = 'muster.dev/guard'

/** Field manager of everything that a release applies: who owns a field is the whole question of drift. */
export const fieldManager = 'muster-agent'

/** Options for a call, without an undefined signal. */
export function calling(signal: AbortSignal | undefined): CallOptions {
  return signal === undefined ? {} : { signal }
}
