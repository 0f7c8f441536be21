import type { Context } from '../context.ts'
import { administering, printed } from '../registry-administration.ts'
import { table } from '../table.ts'

/** `muster registry audit` */
export async function audit(context: Context, options: { readonly lines: number; readonly output: 'table' | 'json' }): Promise<void> {
  const records = await administering(context, (administration) => administration.audit(options.lines, { signal: context.signal }))
  printed(context, options.output, records, () =>
    table(
      ['TIME', 'WHO', 'FROM', 'WHAT', 'WHERE', 'DIGEST', 'ANSWER'],
      records.map(({ time, who, from, action, repository, reference, digest, status, detail }) => [
        time.slice(0, 19).replace('T', ' '),
        who,
        from,
        action,
        repository === undefined ? (detail ?? '-') : placeOf(repository, reference),
        digest?.slice(0, 'sha256:'.length + 12) ?? '-',
        status === undefined ? '-' : String(status),
      ]),
    ),
  )
}

function placeOf(repository: string, reference: string | undefined): string {
  return reference === undefined || reference.startsWith('sha256:') ? repository : `${repository}:${reference}`
}
