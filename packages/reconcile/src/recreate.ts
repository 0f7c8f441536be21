import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { KubeError, KubeObject } from '@muster/kube'
import { type ClusterApi, calling, fieldManager } from './cluster.ts'
import { nameOf, refOf } from './identity.ts'
import { isProtected } from './plan.ts'
import { ApplyRefusal } from './refusal.ts'

/** On an object of a bundle: where a field cannot be changed, the object may be deleted and made again. */
const recreateAnnotation = 'muster.dev/recreate'

const goneTimeoutMs = 60_000
const gonePollMs = 100

export interface RemakeOptions {
  /** What the API server said of the change. */
  readonly error: KubeError
  /** Undefined where an object is there again. */
  readonly create: () => Promise<KubeObject | undefined>
  readonly signal?: AbortSignal | undefined
}

/**
 * What becomes of an object whose change the API server refuses: where the object alone would be valid, the change is what is not
 * allowed. Then it is deleted (exactly this one) and made again, where it says that it may be and its kind holds nothing but itself.
 * @throws the server's own error where the content is at fault; ApplyRefusal `Immutable`, `Terminating`
 */
export async function remake(
  api: ClusterApi,
  before: KubeObject,
  desired: KubeObject,
  { error, create, signal }: RemakeOptions,
): Promise<KubeObject> {
  if (!(await wouldBeValid(api, desired, signal))) throw error
  const ref = refOf(desired)
  if (isProtected(desired)) {
    throw new ApplyRefusal(
      'Immutable',
      `${nameOf(ref)} cannot be changed like this, and is never deleted to be made again: ${fieldsOf(error)}. Give the new one another name.`,
    )
  }
  if (!isRecreatable(desired)) {
    throw new ApplyRefusal(
      'Immutable',
      `${nameOf(ref)} cannot be changed like this: ${fieldsOf(error)}. Give it the annotation ${recreateAnnotation}: "true" in the bundle to have it deleted and made again, or give the new one another name.`,
    )
  }
  const { uid } = before.metadata
  await api.delete(ref, { propagation: 'Background', ...(uid === undefined ? {} : { uid }), ...calling(signal) })
  await gone(api, before, signal)
  const made = await create()
  if (made === undefined) {
    throw new ApplyRefusal('Terminating', `${nameOf(ref)} was made by somebody else while it was to be made again; it is looked at anew.`)
  }
  return made
}

/** Whether an object may be deleted to be made again: it declares so, and its kind holds nothing but itself. */
export function isRecreatable(object: KubeObject): boolean {
  return !isProtected(object) && object.metadata.annotations?.[recreateAnnotation] === 'true'
}

/** Asked of the server, without writing: would it take the content under a name that nothing has? */
export async function wouldBeValid(api: ClusterApi, object: KubeObject, signal: AbortSignal | undefined): Promise<boolean> {
  const name = `muster-check-${createHash('sha256').update(object.metadata.name).digest('hex').slice(0, 16)}`
  const copy = { ...object, metadata: { ...object.metadata, name } }
  return api.apply(copy, { fieldManager, force: true, dryRun: true, ...calling(signal) }).then(
    () => true,
    (error: unknown) => {
      if (signal?.aborted) throw error
      return false
    },
  )
}

async function gone(api: ClusterApi, before: KubeObject, signal: AbortSignal | undefined): Promise<void> {
  const deadline = AbortSignal.timeout(goneTimeoutMs)
  const either = signal === undefined ? deadline : AbortSignal.any([signal, deadline])
  try {
    for (;;) {
      const live = await api.find(refOf(before), { signal: either })
      if (live === undefined || live.metadata.uid !== before.metadata.uid) return
      await pause(gonePollMs, undefined, { signal: either })
    }
  } catch (error) {
    if (!deadline.aborted || signal?.aborted) throw error
    throw new ApplyRefusal('Terminating', `${nameOf(refOf(before))} is being deleted to be made again, and is not gone yet.`)
  }
}

const maxFields = 5

/** The fields that the server named, with what it said of each. */
function fieldsOf({ details, message }: KubeError): string {
  const causes = (details?.causes ?? []).slice(0, maxFields)
  if (causes.length === 0) return message
  return causes.map(({ field, message: said }) => `${field ?? 'a field'} (${shortened(said ?? 'refused')})`).join(', ')
}

/** The server repeats the whole value, a pod template or a Secret's content, before it says what is wrong with it. */
function shortened(text: string): string {
  const end = text.lastIndexOf(': ')
  return text.startsWith('Invalid value') && end > 0 ? text.slice(end + 2) : text.slice(0, 200)
}
