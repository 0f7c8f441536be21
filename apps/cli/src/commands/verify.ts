import type { OpenOptions } from '../artifact.ts'
import type { Context } from '../context.ts'
import { ExitCode, UsageError } from '../errors.ts'
import { Places } from '../verification/places.ts'
import { loadPolicy, type PolicyOptions } from '../verification/policy-file.ts'
import { reportOf, reportText } from '../verification/report.ts'
import { Verifier } from '../verification/verify-artifact.ts'

export interface VerifyOptions extends PolicyOptions, OpenOptions {
  readonly output: 'table' | 'json'
}

const refused = 3
const maxReferences = 10_000

/**
 * `muster verify REF… --policy F`: verifies bundles, each with its images, and images. Of layouts and archives nothing is asked of the
 * network. Exit code 3 where anything is refused.
 */
export async function verify(context: Context, references: readonly string[], options: VerifyOptions): Promise<void> {
  if (references.length > maxReferences) throw new UsageError(`At most ${maxReferences} artifacts are verified in one call.`)
  const { policy, names } = await loadPolicy(options)
  const now = new Date()
  const places = new Places(context, options)
  try {
    const verifier = new Verifier({ policy, now, signal: context.signal })
    const verdicts = await Promise.all(references.map((reference) => verifier.verify(reference, () => places.open(reference))))
    const report = reportOf(verdicts, names, now)
    context.stdout.write(options.output === 'json' ? `${JSON.stringify(report, null, 2)}\n` : reportText(report))
    if (!report.accepted) throw new ExitCode(refused)
  } finally {
    await places.close()
  }
}
