import { apiVersion, type Release } from '@muster/api'
import { unknownRelease } from '@muster/fleet'
import type { KubeObject } from '@muster/kube'
import type { Context } from '../context.ts'
import { Failure, UsageError } from '../errors.ts'
import { demandReleaseName, isAtSite, type WhereOptions, withSite } from '../releases.ts'
import { table } from '../table.ts'
import { now, said } from './release-site.ts'

export interface ConsentOptions extends WhereOptions {
  readonly reason?: string
}

/** `muster release consent NAME --cluster C`: shows what waits to be deleted, and with a reason lets it go: these objects and no others. */
export async function releaseConsent(context: Context, name: string, options: ConsentOptions): Promise<void> {
  demandReleaseName(name)
  if (!isAtSite(options))
    throw new UsageError('Say where: consent is for the objects of one cluster. Add --cluster NAME, or --kubeconfig FILE.')
  await withSite(context, options, async (member) => {
    const release = await member.find<Release & KubeObject>({ apiVersion, kind: 'Release', name }, { signal: context.signal })
    if (release === undefined) throw await unknownRelease(member, name, context.signal)
    const waits = release.status?.needsConsent
    if (waits === undefined) {
      if (options.reason !== undefined) throw new Failure(`Nothing of ${name} waits for consent here.`)
      context.stdout.write(`Nothing of ${name} waits for consent here.\n`)
      return
    }
    const rows = waits.objects.map((one) => [one.kind, one.namespace ?? '-', one.name, one.uid ?? '-'])
    context.stdout.write(`${table(['KIND', 'NAMESPACE', 'NAME', 'UID'], rows)}\n`)
    if (waits.count > waits.objects.length) context.stdout.write(`and ${waits.count - waits.objects.length} more\n`)
    const { reason } = options
    if (reason === undefined) {
      context.stdout.write('\nNothing is consented to yet. To let them be deleted, say why: --reason TEXT.\n')
      return
    }
    const uids = waits.objects.flatMap(({ uid }) => (uid === undefined ? [] : [uid]))
    const consent = {
      reason,
      since: now(),
      ...(waits.digest === undefined ? { uids } : { digest: waits.digest }),
    }
    await said(context, member, name, { consent })
    context.stdout.write('\nThey may be deleted now.\n')
  })
}
