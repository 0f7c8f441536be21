import { diffBundles, diffText } from '@muster/bundle'
import type { OpenOptions } from '../artifact.ts'
import { readNamedBundle } from '../bundles.ts'
import type { Context } from '../context.ts'

export interface BundleDiffOptions extends OpenOptions {
  readonly output: 'text' | 'json'
}

/** `muster bundle diff A B`: what is another in B, as release notes or as data. */
export async function bundleDiff(context: Context, from: string, to: string, options: BundleDiffOptions): Promise<void> {
  const { bundle: old } = await readNamedBundle(context, from, options)
  const { bundle: now } = await readNamedBundle(context, to, options)
  const diff = diffBundles(old, now)
  context.stdout.write(options.output === 'json' ? `${JSON.stringify(diff, undefined, 2)}\n` : diffText(diff))
}
