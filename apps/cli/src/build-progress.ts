import type { DistributionProgress } from '@muster/host'

const barWidth = 24

/** One line for a person: what is built, how far it is, how long it takes. */
export function buildLine(progress: DistributionProgress): string {
  const { part, partNumber, parts, step, file, detail, done, total, elapsedMs, remainingMs } = progress
  if (step === 'waiting') return detail ?? 'waiting'
  const share = done !== undefined && total !== undefined && total > 0 ? Math.min(1, done / total) : undefined
  const bar = share === undefined ? '' : ` ${'█'.repeat(Math.round(share * barWidth)).padEnd(barWidth, '░')} ${done}/${total}`
  const rest = remainingMs === undefined ? '' : `, about ${duration(remainingMs)} left for this`
  const what = file && file !== part ? `${part}: ${file}` : part
  return `${partNumber}/${parts} ${what}, ${step}${bar}  ${duration(elapsedMs)} so far${rest}`
}

export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000)
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`
}
