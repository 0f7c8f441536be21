import { createHash } from 'node:crypto'
import { apiVersion, type Cluster, type ClusterSealing, type Placement, selects } from '@muster/api'
import { isKubeError, type KubeClient, type KubeObject } from '@muster/kube'
import { type Place, type PublicSealingKey, readPublicKey, readSealed, SealError } from '@muster/seal'
import { FleetError } from './errors.ts'
import { until, type WaitOptions } from './install.ts'

const manager = 'muster-seal'

/**
 * The key that values for a cluster are sealed to, as its agent reported it.
 * @throws FleetError `UnknownCluster`, `NoSealingKey`; SealError `KeyInvalid` where what is reported is no such key
 */
export async function sealingKeyOf(hub: KubeClient, cluster: string, signal: AbortSignal): Promise<PublicSealingKey> {
  return readPublicKey((await sealingOf(hub, cluster, signal)).key)
}

async function sealingOf(hub: KubeClient, cluster: string, signal: AbortSignal): Promise<ClusterSealing> {
  const found = await hub.find<Cluster & KubeObject>({ apiVersion, kind: 'Cluster', name: cluster }, { signal })
  if (found === undefined) throw new FleetError('UnknownCluster', `The fleet has no cluster ${cluster}. "muster status" lists what it has.`)
  const sealing = found.status?.report?.sealing
  if (sealing === undefined)
    throw new FleetError('NoSealingKey', `Cluster ${cluster} has not reported a sealing key. It does when its agent has joined.`, {
      transient: true,
    })
  return sealing
}

/**
 * The placement that a sealed value is for.
 * @throws FleetError `UnknownPlacement`
 */
export async function sealedPlacement(hub: KubeClient, release: string, signal: AbortSignal): Promise<Placement> {
  const found = await hub.find<Placement & KubeObject>({ apiVersion, kind: 'Placement', name: release }, { signal })
  if (found === undefined) throw unknownPlacement(release)
  return found
}

function unknownPlacement(release: string): FleetError {
  return new FleetError(
    'UnknownPlacement',
    `There is no placement ${release} to put the value into. Place it first, or print the value with --print and put it into the placement's file.`,
  )
}

/**
 * Writes a sealed value into the placement of its release, or with null takes one out of it.
 * @throws FleetError `UnknownPlacement`
 */
export async function placeSealed(
  hub: KubeClient,
  { cluster, release, parameter }: Place,
  value: string | null,
  signal: AbortSignal,
): Promise<void> {
  const patch = { spec: { sealed: { [cluster]: { [parameter]: value } } } }
  try {
    await hub.patch({ apiVersion, kind: 'Placement', name: release }, patch, { type: 'merge', fieldManager: manager, signal })
  } catch (error) {
    if (!isKubeError(error, 'NotFound')) throw error
    throw unknownPlacement(release)
  }
}

export interface Rotation {
  /** Thumbprint of the key that is sealed to from now on. */
  readonly key: string
  /** How many values were sealed anew, in the placements. */
  readonly resealed: number
  /** Values that are still sealed to an old key, or that cannot be read: they are to be sealed again by hand. */
  readonly left: readonly Place[]
  /** The same of placements that do not go to the cluster now: to be sealed again before they do. */
  readonly unplaced: readonly Place[]
}

/**
 * Asks a cluster for a new sealing key, waits until it is there, and takes over what the cluster sealed anew to it. Nobody sees a value
 * meanwhile: the cluster alone can read them. A value that somebody changes in the same moment is left as it is.
 * @throws FleetError `UnknownCluster`, `NoSealingKey`, `NotReady`
 */
export async function rotateSealingKey(hub: KubeClient, cluster: string, now: Date, wait: WaitOptions): Promise<Rotation> {
  const before = await sealingOf(hub, cluster, wait.signal)
  // By a clock that is behind that of the cluster, its present key would seem to be new enough.
  const asked = new Date(Math.max(now.getTime(), Date.parse(before.createdAt) + 1)).toISOString()
  const spec = { sealing: { newKeyAfter: asked } }
  await hub.patch({ apiVersion, kind: 'Cluster', name: cluster }, { spec }, { type: 'merge', fieldManager: manager, signal: wait.signal })
  let present = before
  await until(
    wait,
    `a new sealing key of ${cluster}`,
    () => `it still reports the one of ${present.createdAt}`,
    async (signal) => {
      present = await sealingOf(hub, cluster, signal)
      return present.key.kid !== before.key.kid
    },
  )
  let resealed = 0
  let left: readonly Place[] = []
  let unplaced: readonly Place[] = []
  const takeOver = async (signal: AbortSignal): Promise<boolean> => {
    const found = await hub.find<Cluster & KubeObject>({ apiVersion, kind: 'Cluster', name: cluster }, { signal })
    const report = found?.status?.report
    const old = await sealedToOthers(hub, cluster, present.key.kid, signal)
    const goesThere = ({ placement }: { readonly placement: Placement }) => found !== undefined && selects(placement, found)
    unplaced = old.filter((one) => !goesThere(one)).map(({ place }) => place)
    left = old.filter(goesThere).map(({ place }) => place)
    let taken = 0
    for (const { place, sealed } of old) {
      const offer = report?.sealing?.resealed?.find(
        ({ release, parameter, was }) => release === place.release && parameter === place.parameter && was === digestOf(sealed),
      )
      if (offer === undefined || !(await takeOne(hub, place, sealed, offer.value, signal))) continue
      taken += 1
      left = left.filter((one) => one !== place)
    }
    resealed += taken
    // What the cluster does not hold, or cannot read, it will never offer.
    const held = new Set(report?.releases.map(({ name }) => name))
    return left.every(({ release }) => !held.has(release))
  }
  try {
    await until(wait, `values sealed anew by ${cluster}`, () => `${left.length} are left`, takeOver)
  } catch (error) {
    if (!(error instanceof FleetError)) throw error
  }
  return { key: present.key.kid, resealed, left, unplaced }
}

async function sealedToOthers(
  hub: KubeClient,
  cluster: string,
  kid: string,
  signal: AbortSignal,
): Promise<{ readonly placement: Placement; readonly place: Place; readonly sealed: string }[]> {
  const { items } = await hub.list<Placement & KubeObject>({ apiVersion, kind: 'Placement' }, { signal })
  return items.flatMap((placement) =>
    Object.entries(placement.spec.sealed?.[cluster] ?? {}).flatMap(([parameter, sealed]) =>
      keyOf(sealed) === kid ? [] : [{ placement, place: { cluster, release: placement.metadata.name, parameter }, sealed }],
    ),
  )
}

function keyOf(sealed: string): string | undefined {
  try {
    return readSealed(sealed).kid
  } catch (error) {
    if (error instanceof SealError) return undefined
    throw error
  }
}

/** Replaces exactly the value that was sealed anew. */
async function takeOne(
  hub: KubeClient,
  { cluster, release, parameter }: Place,
  old: string,
  value: string,
  signal: AbortSignal,
): Promise<boolean> {
  const path = `/spec/sealed/${pointer(cluster)}/${pointer(parameter)}`
  const patch = [
    { op: 'test', path, value: old },
    { op: 'replace', path, value },
  ]
  try {
    await hub.patch({ apiVersion, kind: 'Placement', name: release }, patch, { type: 'json', fieldManager: manager, signal })
    return true
  } catch (error) {
    if (isKubeError(error, 'Invalid') || isKubeError(error, 'NotFound')) return false
    throw error
  }
}

/** A part of a JSON pointer (RFC 6901). */
function pointer(part: string): string {
  return part.replaceAll('~', '~0').replaceAll('/', '~1')
}

function digestOf(sealed: string): string {
  return `sha256:${createHash('sha256').update(sealed).digest('hex')}`
}
