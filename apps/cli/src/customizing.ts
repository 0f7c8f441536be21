import { apiVersion, type Cluster, customizationsFor, type EnclavePolicy, type Placement, type SiteOverlay } from '@muster/api'
import type { KubeObjectLike, ReadBundle } from '@muster/bundle'
import { isKubeError, type KubeClient, type KubeObject, type Ref } from '@muster/kube'
import { type Customized, type CustomizedObject, customize, type Layer, siteBounds } from '@muster/overlay'
import { printable } from './bundles.ts'
import { Failure } from './errors.ts'

/** Of which release a bundle is, and what is said of it for one cluster. */
export interface Circumstances {
  readonly name: string
  readonly namespace: string
  readonly cluster: Pick<Cluster, 'metadata'>
  readonly said: Partial<Pick<Placement['spec'], 'customize' | 'sealed'>>
  /** Overlays of the site itself. */
  readonly site: readonly Layer[]
}

/** The bundle as it is in a cluster; a sealed value, which only the cluster can read, has a stand-in. @throws Failure with every problem */
export function customizedFor(bundle: ReadBundle, { namespace, cluster, said, site }: Circumstances): Customized {
  const made = customize(bundle.objects, {
    parameters: bundle.parameters,
    layers: [...customizationsFor(cluster, said.customize ?? []), ...site],
    hidden: Object.keys(said.sealed?.[cluster.metadata.name] ?? {}),
    namespace,
    imageFields: bundle.config.imageFields,
  })
  if (made.problems.length === 0) return made
  throw new Failure(`This cannot be applied:\n${made.problems.map(({ message }) => `  ${printable(message)}`).join('\n')}`)
}

/** Overlays of the site for a release that hold now, with what bounds them, as the cluster itself has them. */
export async function siteLayersOf(client: KubeClient, bundle: ReadBundle, release: string, signal: AbortSignal): Promise<Layer[]> {
  const list = async <T>(kind: string): Promise<(T & KubeObject)[]> => {
    try {
      return (await client.list<T & KubeObject>({ apiVersion, kind }, { signal })).items
    } catch (error) {
      // A cluster that joined before there was such a kind.
      if (isKubeError(error, 'UnknownKind')) return []
      throw error
    }
  }
  const now = Date.now()
  const overlays = (await list<SiteOverlay>('SiteOverlay'))
    .filter(({ spec }) => spec.release === release && (spec.until === undefined || Date.parse(spec.until) > now))
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  if (overlays.length === 0) return []
  const within = siteBounds(bundle, await list<EnclavePolicy>('EnclavePolicy'))
  return overlays.map(({ metadata: { name }, spec: { values, overlay } }) => ({ name, level: 'site', values, overlay, within }))
}

/** Where a stand-in is, what the cluster has there: a value that cannot be read is no difference. */
export async function withLiveSealed(
  client: { readonly find: (ref: Ref, options: { readonly signal: AbortSignal }) => Promise<KubeObject | undefined> },
  { objects, namespace }: Customized,
  signal: AbortSignal,
): Promise<KubeObject[]> {
  const filled = async ({ object, origins }: CustomizedObject): Promise<KubeObjectLike> => {
    const places = origins.filter(({ origin }) => origin.level === 'sealed')
    if (places.length === 0) return object
    const { apiVersion: version, kind, metadata } = object
    const ref = { apiVersion: version, kind, name: metadata.name, namespace: metadata.namespace ?? namespace }
    const live = await client.find(ref, { signal })
    const copy = structuredClone(object)
    for (const { keys } of places) {
      const value = keys.reduce<unknown>(childOf, live)
      const holder = keys.slice(0, -1).reduce<unknown>(childOf, copy)
      if (value !== undefined && typeof holder === 'object' && holder !== null) Reflect.set(holder, keys.at(-1) ?? '', value)
    }
    return copy
  }
  return (await Promise.all(objects.map(filled))) as KubeObject[]
}

function childOf(value: unknown, key: string | number): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
}
