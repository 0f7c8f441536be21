import type { ContentSource, Descriptor } from '@muster/oci'
import type { SignedEnvelope } from '../signature/envelope.ts'
import { readEnvelopes } from '../signature/read-envelopes.ts'
import type { Evidence } from './evaluate.ts'

/**
 * Reads what hangs on an artifact, in each of the places where it is kept, such as a bundle's repository and the image's own.
 * What cannot be read is in `problems`; nothing is passed over.
 */
export async function readEvidence(
  places: readonly ContentSource[],
  subject: Pick<Descriptor, 'digest' | 'mediaType' | 'size'>,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Evidence> {
  const found = await Promise.all(places.map((place) => readEnvelopes(place, subject, options)))
  const envelopes = new Map<string, SignedEnvelope>()
  for (const envelope of found.flatMap((one) => one.envelopes)) {
    const signature = Buffer.from(envelope.signatures[0]?.sig ?? []).toString('base64')
    envelopes.set(`${envelope.referrer} ${signature}`, envelope)
  }
  const problems = new Map(found.flatMap((one) => one.problems).map((problem) => [`${problem.code} ${problem.message}`, problem]))
  return { envelopes: [...envelopes.values()], problems: [...problems.values()] }
}
