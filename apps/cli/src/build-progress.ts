import type { DistributionProgress } from '@muster/host'

const barWidth = 24

/** One line for a person: what is built, how far it is, how long it takes. A bar is for terminals. */
export function buildLine(progress: DistributionProgress, options: { readonly bar: boolean }): string {
  const { part, partNumber, parts, step, file, detail, done, total, elapsedMs, remainingMs } = progress
  if (step === 'waiting') return detail ?? 'waiting'
  const share = done !== undefined && total !== undefined && total > 0 ? Math.min(1, done / total) : undefined
  const drawn = options.bar && share !== undefined ? ` ${'█'.repeat(Math.round(share * barWidth)).padEnd(barWidth, '░')}` : ''
  const count = share === undefined ? '' : ` ${done}/${total}`
  const rest = remainingMs === undefined ? '' : `, about ${duration(remainingMs)} left for this`
  const what = file && file !== part ? `${part}: ${file}` : part
  return `${partNumber}/${parts} ${what}, ${step}${drawn}${count}  ${duration(elapsedMs)} so far${rest}`
}

export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000)
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`
}
