import type { SourceArtifact } from '@muster/relocate'
import type { OpenOptions } from '../artifact.ts'
import type { Context } from '../context.ts'
import { Places } from '../verification/places.ts'
import { loadPolicy, type PolicyOptions } from '../verification/policy-file.ts'
import { Verifier } from '../verification/verify-artifact.ts'

/** Something does not satisfy the policy that it was to be relocated by. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly transient = false
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

type Verify = NonNullable<SourceArtifact['verify']>

/** What looks at signatures before and after, by the same rules and names; undefined where nobody gave rules. */
export async function verification(
  context: Context,
  options: PolicyOptions & OpenOptions,
): Promise<{ of(text: string): Verify; close(): Promise<void> } | undefined> {
  if ((options.policy ?? []).length === 0 && options.key === undefined) return undefined
  const { policy } = await loadPolicy(options)
  const places = new Places(context, options)
  return {
    of: (text) => async (store, descriptor) => {
      // Anew each time: what was read before is not what is there now.
      const verifier = new Verifier({ policy, now: new Date(), signal: context.signal })
      const verdict = await verifier.verify(text, async () => ({ ...(await places.open(text)), source: store, descriptor }))
      if (verdict.accepted) return
      const why = verdict.message ?? 'It was refused.'
      throw new Refused(verdict.reason ?? 'NoneFound', `${text} is refused by the policy: ${why}`)
    },
    close: () => places.close(),
  }
}
