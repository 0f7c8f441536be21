import { unmet } from '@muster/host'
import type { Context } from '../context.ts'
import { checkHost } from '../host.ts'
import { table } from '../table.ts'

/** `muster doctor`: what embedded clusters need of the host, and what of it is there. Exit code 1 when something is missing. */
export async function doctor(context: Context): Promise<void> {
  const { requirements } = await checkHost(context)
  const rows = requirements.map((one) => [one.ok ? 'ok' : 'MISSING', one.id, one.found, one.ok ? '' : one.fix])
  context.stdout.write(`${table(['', 'REQUIREMENT', 'FOUND', 'WHAT TO DO'], rows)}\n`)
  const missing = unmet(requirements)
  if (missing.length > 0) throw new Error(`This host lacks ${missing.length} of what embedded clusters need: see above.`)
}
