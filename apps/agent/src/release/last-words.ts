import type { KubeObject } from '@muster/kube'
import type { ReleaseServices } from './context.ts'

const maxLines = 10
const maxBytes = 2_048
const readMs = 5_000
/** Shorter values are no secrets, and words of every text. */
const minSecret = 4

interface PodStatus {
  readonly containerStatuses?: readonly ContainerStatus[]
  readonly initContainerStatuses?: readonly ContainerStatus[]
}
interface ContainerStatus {
  readonly name: string
  readonly state?: { readonly terminated?: Terminated }
  readonly lastState?: { readonly terminated?: Terminated }
}
interface Terminated {
  readonly exitCode: number
  readonly reason?: string
  readonly finishedAt?: string
}

/**
 * How the newest pod of a failed job ended, and the end of what it wrote, without values of any Secret that a release brought. Undefined where
 * there is no pod any more; why it cannot be read is no reason to fail otherwise than the job did.
 */
export async function lastWords(
  { client, releases }: Pick<ReleaseServices, 'client' | 'releases'>,
  job: KubeObject,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { namespace = 'default', name, uid } = job.metadata
  const soon = AbortSignal.any([signal, AbortSignal.timeout(readMs)])
  try {
    const labelSelector = `batch.kubernetes.io/controller-uid=${uid ?? name}`
    const { items } = await client.list({ apiVersion: 'v1', kind: 'Pod', namespace, labelSelector }, { signal: soon })
    const [ended] = items.flatMap(endsOf).sort((a, b) => (a.at < b.at ? 1 : -1))
    if (ended === undefined) return undefined
    const how = `Container ${ended.container} ended with ${ended.exitCode}${ended.reason === undefined ? '' : ` (${ended.reason})`}`
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(ended.pod)}/log`
    const query = { container: ended.container, tailLines: maxLines, limitBytes: maxBytes }
    const log = await client
      .raw('GET', path, { query, headers: { accept: '*/*' }, signal: soon })
      .then((text) => printable(typeof text === 'string' ? text : JSON.stringify(text)))
      .catch(() => '')
    return log === '' ? `${how}.` : `${how}, and wrote last: ${masked(log, secretsOf(releases))}`
  } catch (error) {
    if (signal.aborted) throw error
    return undefined
  }
}

interface End {
  readonly pod: string
  readonly container: string
  readonly exitCode: number
  readonly reason: string | undefined
  readonly at: string
}

function endsOf(pod: KubeObject): End[] {
  const { containerStatuses = [], initContainerStatuses = [] } = (pod['status'] ?? {}) as PodStatus
  return [...initContainerStatuses, ...containerStatuses].flatMap(({ name, state, lastState }) => {
    const terminated = state?.terminated ?? lastState?.terminated
    if (terminated === undefined || terminated.exitCode === 0) return []
    const { exitCode, reason, finishedAt = '' } = terminated
    return [{ pod: pod.metadata.name, container: name, exitCode, reason, at: finishedAt }]
  })
}

/** Without what a terminal would act on. */
function printable(text: string): string {
  return text
    .split('\n')
    .map((line) => line.replaceAll(/\p{Cc}/gu, ' ').trim())
    .filter((line) => line !== '')
    .join(' | ')
}

/** Values of the Secrets that releases bring, sealed ones among them. */
function secretsOf(releases: Pick<ReleaseServices['releases'], 'all'>): string[] {
  const values = releases.all().flatMap((runtime) =>
    [...runtime.tracked.values()].flatMap(({ planned: { object } }) => {
      if (object.kind !== 'Secret') return []
      const data = Object.values((object['data'] ?? {}) as Record<string, string>).map((text) => Buffer.from(text, 'base64').toString())
      return [...data, ...Object.values((object['stringData'] ?? {}) as Record<string, string>)]
    }),
  )
  return values.flatMap((value) => [value, value.trim()]).filter((value) => value.length >= minSecret)
}

/** Longer ones first, as one may hold another. */
function masked(text: string, secrets: readonly string[]): string {
  return [...new Set(secrets)].sort((a, b) => b.length - a.length).reduce((rest, secret) => rest.replaceAll(secret, '****'), text)
}
