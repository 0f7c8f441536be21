import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { RegistryAccess } from '@muster/fleet'
import { Registry } from '@muster/oci'
import type { Context } from './context.ts'
import { Failure } from './errors.ts'

/** How the instance's registry is reached, as the host daemon wrote it down. */
export async function registryAccess(context: Context): Promise<RegistryAccess> {
  const file = path.join(context.state, 'registry', 'access.json')
  const access = parsed(await readAccess(context, file))
  if (access === undefined) throw new Failure(`${file} is damaged. Run "muster up", which writes it anew.`)
  return access
}

/** The same, or undefined where the instance has no registry: other registries can be used without one. */
export async function findRegistryAccess(context: Context): Promise<RegistryAccess | undefined> {
  try {
    return parsed(await readFile(path.join(context.state, 'registry', 'access.json'), 'utf8'))
  } catch {
    return undefined
  }
}

async function readAccess(context: Context, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
    throw new Failure(`Instance "${context.instance}" has no registry yet: run "muster up" first.`, { cause })
  }
}

function parsed(text: string): RegistryAccess | undefined {
  try {
    const value = JSON.parse(text) as Partial<RegistryAccess> | null
    const whole = [value?.host, value?.ca, value?.writer?.username, value?.writer?.password].every((one) => typeof one === 'string')
    return whole ? (value as RegistryAccess) : undefined
  } catch {
    return undefined
  }
}

/** The instance's registry, with the right to write. */
export function writableRegistry(access: RegistryAccess): Registry {
  return new Registry({ host: access.host, ca: access.ca, credentials: access.writer, userAgent: 'muster' })
}
