import type { Context } from '../context.ts'
import { administering, printed, readableBytes } from '../registry-administration.ts'
import { table } from '../table.ts'

/** `muster registry usage` */
export async function usage(context: Context, { output }: { readonly output: 'table' | 'json' }): Promise<void> {
  const found = await administering(context, (administration) => administration.usage({ signal: context.signal }))
  printed(context, output, found, () => {
    const repositories = [...found.repositories].sort((a, b) => b.bytes - a.bytes)
    const rows = repositories.map(({ name, tags, manifests, bytes }) => [name, String(tags), String(manifests), readableBytes(bytes)])
    const quotas = found.quotas.map(({ repositories: of, used, bytes }) => [
      of,
      readableBytes(used),
      readableBytes(bytes),
      bytes === 0 ? '-' : `${Math.round((100 * used) / bytes)}%`,
    ])
    return [
      table(['REPOSITORY', 'TAGS', 'MANIFESTS', 'SIZE'], rows),
      ...(quotas.length > 0 ? ['', table(['QUOTA', 'USED', 'OF', 'SHARE'], quotas)] : []),
      '',
      `On disk: ${readableBytes(found.content.bytes)} in ${found.content.count} pieces; what several repositories hold is there once.`,
    ].join('\n')
  })
}

/** `muster registry gc` */
export async function collect(context: Context): Promise<void> {
  const { unlinked, removed, bytes, damaged } = await administering(context, (administration) =>
    administration.collectGarbage({ signal: context.signal }),
  )
  context.stdout.write(
    `Removed ${removed} pieces of content (${readableBytes(bytes)}); ${unlinked} blobs were named by nothing any more.\n`,
  )
  if (damaged.length > 0)
    context.stderr.write(`Left alone, because a manifest there cannot be read: ${damaged.join(', ')}. Push what is damaged again.\n`)
}
