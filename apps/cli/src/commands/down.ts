import { takeDown } from '@muster/host'
import type { Context } from '../context.ts'
import { requireRoot } from '../root.ts'

/** `muster down`: stops everything of the instance; with `--purge`, forgets its state too. */
export async function down(context: Context, options: { readonly purge: boolean }): Promise<void> {
  requireRoot()
  await takeDown({
    instance: context.instance,
    state: context.state,
    purge: options.purge,
    signal: context.signal,
    onProgress: (line) => context.stderr.write(`${line}\n`),
  })
  context.stdout.write(
    options.purge
      ? `Instance "${context.instance}" is down and forgotten. Builds stay in ${context.cache}.\n`
      : `Instance "${context.instance}" is down. Its state stays in ${context.state}; "muster up" resumes it, "muster down --purge" forgets it.\n`,
  )
}
