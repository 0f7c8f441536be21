import type { DriftMode, LeftToOthers, Release, ReleaseReport } from '@muster/api'

/** What is done about drift of a release, and what there was of it. */
export interface ReleaseDrift {
  readonly mode?: DriftMode
  /** How often something was put back. */
  readonly corrected: number
  /** How many differences were told and left. */
  readonly detected: number
  /** What the placement leaves to others, who answers for it, and until when. */
  readonly left: readonly LeftToOthers[]
}

/** By the cluster's own word where it is there, else by the last report. */
export function driftOf({
  release,
  report,
}: {
  readonly release?: Release | undefined
  readonly report?: ReleaseReport | undefined
}): ReleaseDrift {
  const own = release?.status?.drift
  const mode = own?.mode ?? report?.drift?.mode
  return {
    ...(mode === undefined ? {} : { mode }),
    corrected: own?.corrected ?? report?.driftCorrected ?? 0,
    detected: own?.detected ?? report?.drift?.detected ?? 0,
    left: own?.left ?? report?.drift?.left ?? [],
  }
}

/** `prevent`, `correct, 3× put back`, `detect, 1× told`. */
export function driftText({ mode, corrected, detected }: ReleaseDrift): string {
  const parts = [...(corrected === 0 ? [] : [`${corrected}× put back`]), ...(detected === 0 ? [] : [`${detected}× told`])]
  return [mode ?? '-', ...parts].join(', ')
}

const meaning: Readonly<Record<DriftMode, string>> = {
  prevent: 'What others write of it is refused by the API server, and put back where it gets past that (drift.mode: prevent).',
  correct: 'What others change of it is put back (drift.mode: correct).',
  detect: 'What others change of it is told and left as it is (drift.mode: detect).',
}

/** What is done about drift, and what is left to whom, in sentences. */
export function driftSentences({ mode, left }: ReleaseDrift): string[] {
  return [...(mode === undefined ? [] : [meaning[mode]]), ...left.map(leftSentence)]
}

function leftSentence({ what, owner, until }: LeftToOthers): string {
  return `${what} is left to others: ${owner} answers for that${until === undefined ? '' : `, until ${until}`}.`
}

/** What deserves a sentence in the status of a fleet. */
export function driftRemarks({ drift }: Pick<ReleaseReport, 'drift'>): string[] {
  const { mode, left = [] } = drift ?? {}
  return [...(mode === 'detect' ? [meaning.detect] : []), ...left.map(leftSentence)]
}
