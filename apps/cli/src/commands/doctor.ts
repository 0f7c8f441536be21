import { unmet } from '@muster/host'
import type { Context } from '../context.ts'
import { Failure } from '../errors.ts'
import { checkHost } from '../host.ts'
import { checkSpeed } from '../speed.ts'
import { table } from '../table.ts'

/**
 * `muster doctor`: what embedded clusters need of the host, and what of it is there; what only makes them slow is a warning.
 * Exit code 1 when something is missing.
 */
export async function doctor(context: Context): Promise<void> {
  const { requirements } = await checkHost(context)
  const all = [...requirements, ...(await checkSpeed(context))]
  const rows = all.map((one) => [one.ok ? 'ok' : one.warning ? 'warning' : 'MISSING', one.id, one.found, one.ok ? '' : one.fix])
  context.stdout.write(`${table(['', 'REQUIREMENT', 'FOUND', 'WHAT TO DO'], rows)}\n`)
  const missing = unmet(all)
  if (missing.length > 0) {
    throw new Failure(`This host lacks what embedded clusters need: ${missing.map(({ id }) => id).join(', ')}. The table says what to do.`)
  }
  const warnings = all.filter(({ ok }) => !ok).length
  const slow = warnings > 0 ? ` ${warnings === 1 ? 'One thing makes' : `${warnings} things make`} them slower than they could be.` : ''
  context.stdout.write(`\nThis host can run embedded clusters.${slow}\n`)
}
