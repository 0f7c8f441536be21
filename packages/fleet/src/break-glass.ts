import { apiVersion, type BreakGlass, breakGlassReasons, type Release } from '@muster/api'
import { isKubeError, type KubeClient, type KubeObject } from '@muster/kube'
import { FleetError } from './errors.ts'
import { until, type WaitOptions } from './install.ts'
import { installer, systemNamespace } from './names.ts'
import { demandRelease } from './unknown-release.ts'

const kind = { apiVersion, kind: 'BreakGlass' } as const
type LiveBreakGlass = BreakGlass & KubeObject

/** What somebody asked for in a cluster, open or not. By release. @throws FleetError `NoBreakGlass` */
export async function breakGlasses(member: KubeClient, signal: AbortSignal): Promise<BreakGlass[]> {
  return (await member.list<LiveBreakGlass>(kind, { signal }).catch(notServed)).items
}

/** What was asked for a release; nothing where nobody did. @throws FleetError `NoBreakGlass` */
export async function breakGlassOf(member: KubeClient, release: string, signal: AbortSignal): Promise<BreakGlass | undefined> {
  return member.find<LiveBreakGlass>({ ...kind, name: release }, { signal }).catch(notServed)
}

/**
 * Puts signatures into a cluster that open the write guard for a release, and waits until it is open.
 * @param signatures Sigstore bundles over the same statement, JSON
 * @throws FleetError `UnknownRelease` at once, `BreakGlassRefused` with the agent's reason, `NotReady` where it does not answer, `NoBreakGlass`
 */
export async function breakGlass(
  member: KubeClient,
  release: string,
  signatures: readonly string[],
  wait: WaitOptions,
): Promise<BreakGlass> {
  await demandRelease(member, release, wait.signal)
  const asked = { ...kind, metadata: { name: release }, spec: { signatures: [...signatures] } } as KubeObject
  const { generation } = (await member.apply(asked, { fieldManager: installer, force: true, signal: wait.signal }).catch(notServed))
    .metadata
  let found: BreakGlass | undefined
  await until(
    wait,
    `the answer of the agent on ${release}`,
    () => 'it has not looked at it; is it running?',
    async (signal) => {
      found = await member.get<LiveBreakGlass>({ ...kind, name: release }, { signal })
      return found.status?.observedGeneration === generation
    },
  )
  const answer = found as unknown as BreakGlass
  const open = answer.status?.conditions?.find(({ type }) => type === 'Open')
  if (open?.status !== 'True')
    throw new FleetError('BreakGlassRefused', `The agent does not open ${release} (${open?.reason ?? 'Unknown'}). ${open?.message ?? ''}`)
  await guardKnows(member, release, wait)
  return answer
}

/** The guard is told a moment after the agent has decided. */
async function guardKnows(member: KubeClient, release: string, wait: WaitOptions): Promise<void> {
  await until(
    wait,
    `the write guard of ${release}`,
    () => 'it was not told yet that it is open',
    async (signal) => {
      const { status } = await member.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: release }, { signal })
      if (status?.drift?.mode !== 'prevent') return true
      const guard = { apiVersion: 'v1', kind: 'ConfigMap', namespace: systemNamespace, name: 'muster-guard' }
      const parameter = await member.find<KubeObject & { data?: Record<string, string> }>(guard, { signal })
      return parameter === undefined || parameter.data?.[`open.${release}`] !== undefined
    },
  )
}

/**
 * Takes back what opens the write guard for a release, and waits until the agent has closed it.
 * @returns false where there was nothing
 * @throws FleetError `UnknownRelease` where there is no such release, and nobody asked anything for it
 */
export async function endBreakGlass(member: KubeClient, release: string, wait: WaitOptions): Promise<boolean> {
  const there = await breakGlassOf(member, release, wait.signal)
  if (there === undefined) await demandRelease(member, release, wait.signal)
  const open = there?.status?.conditions?.some(({ type, reason }) => type === 'Open' && reason === breakGlassReasons.open) === true
  if (there !== undefined) await member.delete({ ...kind, name: release }, { signal: wait.signal })
  await until(
    wait,
    `the end of what opened ${release}`,
    () => 'the agent has not closed it; is it running?',
    async (signal) => {
      const found = await member.find<Release & KubeObject>({ apiVersion, kind: 'Release', name: release }, { signal })
      return found?.status?.breakGlass === undefined || found.status.breakGlass.endedAt !== undefined
    },
  )
  return open
}

function notServed(error: unknown): never {
  if (!isKubeError(error, 'UnknownKind')) throw error
  throw new FleetError(
    'NoBreakGlass',
    'This cluster joined before its write guard could be opened. Bring its agent up to date: "muster join".',
    {
      cause: error,
    },
  )
}
