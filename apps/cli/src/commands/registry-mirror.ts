import { setTimeout as pause } from 'node:timers/promises'
import type { MirrorEntry } from '@muster/oci'
import type { Context } from '../context.ts'
import { Failure } from '../errors.ts'
import { administering, printed, readableBytes, readableTime } from '../registry-administration.ts'
import { table } from '../table.ts'

const pollMs = 500

/** `muster registry mirror list` */
export async function listMirrors(context: Context, { output }: { readonly output: 'table' | 'json' }): Promise<void> {
  const mirrors = await administering(context, (administration) => administration.mirrors({ signal: context.signal }))
  printed(context, output, mirrors, () =>
    [
      table(
        ['NAME', 'DIRECTION', 'REGISTRY', 'REPOSITORIES', 'STATE', 'LAST SUCCESS', 'TAGS', 'SENT'],
        mirrors.map((one) => [
          one.name,
          one.direction,
          one.registry,
          one.patterns.join(' '),
          one.state,
          readableTime(one.succeededMs),
          String(one.tags),
          readableBytes(one.bytes),
        ]),
      ),
      ...mirrors.flatMap(({ name, errors }) => errors.map((error) => `${name}: ${error}`)),
    ].join('\n'),
  )
}

/** `muster registry mirror run`: waits; Ctrl-C ends the waiting, not the mirror. */
export async function runMirror(context: Context, name: string): Promise<void> {
  const { signal } = context
  const last = await administering(context, async (administration) => {
    const before = entryOf(await administration.mirrors({ signal }), name)?.startedMs
    if (!(await administration.runMirror(name, { signal })))
      throw new Failure(`The registry has no mirror ${name}. Its settings name mirrors: "muster registry configure" prints them.`)
    for (;;) {
      const now = entryOf(await administration.mirrors({ signal }), name)
      if (now !== undefined && now.state !== 'running' && (now.startedMs !== before || now.finishedMs !== undefined)) return now
      await pause(pollMs, undefined, { signal })
    }
  })
  const sent = `${last.tags} tags in ${last.repositories} repositories; ${last.blobs} blobs and ${last.manifests} manifests (${readableBytes(last.bytes)}) moved, ${last.skipped} were there`
  if (last.state === 'done') context.stdout.write(`Mirror ${name} is up to date: ${sent}.\n`)
  else throw new Failure(`Mirror ${name} failed in part: ${last.errors.join('; ')} (${sent}). What was sent stays; run it again to go on.`)
}

function entryOf(mirrors: readonly MirrorEntry[], name: string): MirrorEntry | undefined {
  return mirrors.find((one) => one.name === name)
}
