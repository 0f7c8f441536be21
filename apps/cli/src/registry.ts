import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { RegistryAccess } from '@muster/fleet'
import { Registry } from '@muster/oci'
import type { Context } from './context.ts'

/** How the instance's registry is reached, as the host daemon wrote it down. */
export async function registryAccess(context: Context): Promise<RegistryAccess> {
  try {
    return JSON.parse(await readFile(path.join(context.state, 'registry', 'access.json'), 'utf8')) as RegistryAccess
  } catch (cause) {
    throw new Error(`Instance "${context.instance}" has no registry yet: "muster up" makes it.`, { cause })
  }
}

/** The instance's registry, with the right to write. */
export function writableRegistry(access: RegistryAccess): Registry {
  return new Registry({ host: access.host, ca: access.ca, credentials: access.writer, userAgent: 'muster' })
}
