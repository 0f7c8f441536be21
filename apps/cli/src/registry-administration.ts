import type { Administration } from '@muster/oci'
import { Registry } from '@muster/oci'
import type { Context } from './context.ts'
import { Failure } from './errors.ts'
import { registryAccess } from './registry.ts'

/** Looking through a large registry takes as long as it takes. */
const patienceMs = 30 * 60_000

/** Lets `use` keep the instance's registry. @throws Failure where this instance knows no administrator of it */
export async function administering<T>(context: Context, use: (administration: Administration) => Promise<T>): Promise<T> {
  const { host, ca, admin } = await registryAccess(context)
  if (admin === undefined)
    throw new Failure(`The registry of instance "${context.instance}" has no administrator yet. Run "muster up", which makes one.`)
  const registry = new Registry({ host, ca, credentials: admin, userAgent: 'muster', timeoutMs: patienceMs })
  try {
    return await use(registry.administration)
  } finally {
    registry.close()
  }
}

/** `1.5 GiB` */
export function readableBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** power
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power] ?? 'B'}`
}

/** A moment as people write it, to the second, or a dash. */
export function readableTime(ms: number | undefined): string {
  return ms === undefined || ms === 0 ? '-' : new Date(ms).toISOString().replace('T', ' ').slice(0, 19)
}

export function printed(context: Context, output: 'table' | 'json', value: unknown, text: () => string): void {
  context.stdout.write(output === 'json' ? `${JSON.stringify(value, undefined, 2)}\n` : `${text()}\n`)
}
