import { chmod, readFile, rename, writeFile } from 'node:fs/promises'
import { parseRegistrySettings, registryOptions, settingsFile } from '@muster/host'
import type { Context } from '../context.ts'
import { daemonOf } from '../daemon.ts'
import { UsageError } from '../errors.ts'
import { registryAccess } from '../registry.ts'

/** `muster registry configure` */
export async function configure(context: Context, file: string | undefined, { check }: { readonly check: boolean }): Promise<void> {
  if (file === undefined) {
    if (check) throw new UsageError('Say which file to check.')
    context.stdout.write((await readSettings(settingsFile(context.state))) ?? '# Nothing is set.\n')
    return
  }
  const text = await readSettings(file)
  if (text === undefined) throw new UsageError(`${file} is not there. Give the path of a file of settings.`)
  const settings = parseRegistrySettings(text, file)
  const { quotas, retention, upstreams, mirrors } = settings
  // Passwords and certificates that it names must be there: a registry that cannot read them does not start.
  await registryOptions(settings)
  const what = `${quotas.length} quotas, ${retention?.rules.length ?? 0} rules of retention, ${upstreams.length} upstreams, ${mirrors.length} mirrors`
  if (check) {
    context.stdout.write(`${file} is valid: ${what}.\n`)
    return
  }
  await registryAccess(context)
  const target = settingsFile(context.state)
  await writeFile(`${target}.new`, text, { mode: 0o600 })
  await chmod(`${target}.new`, 0o600)
  await rename(`${target}.new`, target)
  await daemonOf(context, (host) => host.component('registry', 'restart', { signal: context.signal }))
  context.stdout.write(`The registry runs by ${file}: ${what}.\n`)
}

/** Undefined: it is not there. */
export async function readSettings(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw cause
  }
}
