import type { KubeObject } from '@muster/kube'
import type { ReleaseServices } from './context.ts'
import { withoutSecrets } from './masking.ts'

const maxLines = 10
const maxBytes = 2_048
const readMs = 5_000

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
 * How the newest pod of a failed job ended, and the end of what it wrote, without values of Secrets: those that releases brought, and those that the
 * pod was given, whoever made them. Undefined where there is no pod any more; why it cannot be read is no reason to fail otherwise than the job did.
 * Where it is not known what is secret, nothing of what it wrote is told.
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
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(ended.pod.metadata.name)}/log`
    const query = { container: ended.container, tailLines: maxLines, limitBytes: maxBytes }
    const log = await client
      .raw('GET', path, { query, headers: { accept: '*/*' }, signal: soon })
      .then(async (text) => {
        const given = await givenTo(client, ended.pod, namespace, soon)
        return printable(withoutSecrets(typeof text === 'string' ? text : JSON.stringify(text), [...given, ...broughtBy(releases)]))
      })
      .catch(() => '')
    return log === '' ? `${how}.` : `${how}, and wrote last: ${log}`
  } catch (error) {
    if (signal.aborted) throw error
    return undefined
  }
}

interface End {
  readonly pod: KubeObject
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
    return [{ pod, container: name, exitCode, reason, at: finishedAt }]
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

/** Values that were unsealed for releases, and of the Secrets that they bring. */
function broughtBy(releases: Pick<ReleaseServices['releases'], 'all'>): string[] {
  return releases
    .all()
    .flatMap(({ secrets, tracked }) => [...secrets, ...[...tracked.values()].flatMap(({ planned }) => valuesOf(planned.object))])
}

interface PodSpec {
  readonly containers?: readonly Container[]
  readonly initContainers?: readonly Container[]
  readonly volumes?: readonly {
    readonly secret?: { readonly secretName?: string }
    readonly projected?: { readonly sources?: readonly { readonly secret?: { readonly name?: string } }[] }
  }[]
}
interface Container {
  readonly env?: readonly { readonly valueFrom?: { readonly secretKeyRef?: { readonly name?: string } } }[]
  readonly envFrom?: readonly { readonly secretRef?: { readonly name?: string } }[]
}

/** Values of the Secrets that a pod was given. @throws where one cannot be read */
async function givenTo(client: ReleaseServices['client'], pod: KubeObject, namespace: string, signal: AbortSignal): Promise<string[]> {
  const { containers = [], initContainers = [], volumes = [] } = (pod['spec'] ?? {}) as PodSpec
  const names = new Set([
    ...[...initContainers, ...containers].flatMap(({ env = [], envFrom = [] }) => [
      ...env.map(({ valueFrom }) => valueFrom?.secretKeyRef?.name),
      ...envFrom.map(({ secretRef }) => secretRef?.name),
    ]),
    ...volumes.flatMap(({ secret, projected }) => [secret?.secretName, ...(projected?.sources ?? []).map((source) => source.secret?.name)]),
  ])
  names.delete(undefined)
  const values: string[] = []
  for (const name of names) {
    const secret = await client.find({ apiVersion: 'v1', kind: 'Secret', namespace, name: name ?? '' }, { signal })
    if (secret !== undefined) values.push(...valuesOf(secret))
  }
  return values
}

function valuesOf(object: KubeObject): string[] {
  if (object.kind !== 'Secret') return []
  const data = Object.values((object['data'] ?? {}) as Record<string, string>).map((text) => Buffer.from(text, 'base64').toString())
  return [...data, ...Object.values((object['stringData'] ?? {}) as Record<string, string>)]
}
