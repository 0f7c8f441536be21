import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import type { Cgroups } from './cgroup.ts'
import { readJson, readText, writeIfChanged } from './files.ts'
import { type Instance, kernelNames, paths, ports, registryAddress } from './instance.ts'
import { type CertificateFiles, fingerprint } from './pki.ts'
import { ask } from './probe.ts'
import { Component } from './process.ts'

/**
 * How the registry's process is started. The buffers that content comes in are small, many and soon of no use: a small young generation
 * frees them early, where the default lets a hundred megabytes of them pile up.
 */
export const registryArgs = [
  '--max-semi-space-size=1',
  '--disable-warning=ExperimentalWarning',
  join(import.meta.dirname, 'registry-main.ts'),
] as const

/** The registry's configuration: a file, since arguments can be read by every user of the machine. */
export const registryConfigSchema = z.object({
  root: z.string(),
  host: z.string(),
  port: z.number(),
  certificate: z.string(),
  key: z.string(),
  users: z.array(z.object({ name: z.string(), password: z.string(), access: z.enum(['read', 'write', 'admin']) })),
  /** What people set: a file that need not be there. */
  settings: z.string(),
})

const credentialsSchema = z.object({ username: z.string(), password: z.string() })
const accessSchema = z.object({
  host: z.string(),
  ca: z.string(),
  writer: credentialsSchema,
  reader: credentialsSchema,
  admin: credentialsSchema.optional(),
})

/** How the registry is reached: for the command line (writer, admin) and for nodes (reader). Kept in registry/access.json. */
export type RegistryAccess = z.infer<typeof accessSchema>

/** What people set about the registry: quotas, caches, mirrors and the like. */
export function settingsFile(state: string): string {
  return join(paths(state).registry, 'settings.yaml')
}

/** Makes the registry's credentials once, and writes down how it is reached. */
export async function ensureRegistryAccess(instance: Instance, ca: string): Promise<RegistryAccess> {
  const file = join(paths(instance.state).registry, 'access.json')
  const held = await readJson(file, accessSchema)
  const user = (username: string) => ({ username, password: randomBytes(24).toString('base64url') })
  const access = {
    host: `${registryAddress(instance)}:${ports.registry}`,
    ca: await readFile(ca, 'utf8'),
    writer: held?.writer ?? user('writer'),
    reader: held?.reader ?? user('reader'),
    admin: held?.admin ?? user('admin'),
  }
  await writeIfChanged(file, JSON.stringify(access, undefined, 2))
  return access
}

/** The registry as a supervised process of its own. */
export async function createRegistry(options: {
  readonly instance: Instance
  readonly access: RegistryAccess
  readonly pki: { readonly ca: CertificateFiles; readonly registry: CertificateFiles }
  readonly cgroups: Cgroups
  readonly log: (message: string) => void
}): Promise<Component> {
  const { instance, access, pki } = options
  const places = paths(instance.state)
  const config = join(places.registry, 'config.json')
  const root = join(places.registry, 'data')
  await mkdir(root, { recursive: true, mode: 0o700 })
  const content = {
    root,
    host: registryAddress(instance),
    port: ports.registry,
    certificate: pki.registry.certificate,
    key: pki.registry.key,
    users: [
      { name: access.writer.username, password: access.writer.password, access: 'write' },
      { name: access.reader.username, password: access.reader.password, access: 'read' },
      ...(access.admin === undefined ? [] : [{ name: access.admin.username, password: access.admin.password, access: 'admin' as const }]),
    ],
    settings: settingsFile(instance.state),
  } satisfies z.infer<typeof registryConfigSchema>
  await writeIfChanged(config, JSON.stringify(content))
  return new Component(
    {
      name: 'registry',
      cgroup: `${kernelNames(instance).cgroup}/registry`,
      logFile: join(places.logs, 'registry.log'),
      recordFile: join(places.run, 'registry.json'),
      command: async () => ({
        file: process.execPath,
        args: [...registryArgs, config],
        // What was compiled is read at the next start, not made again: it then rests at 92 MiB instead of 117.
        env: { NODE_COMPILE_CACHE: join(places.registry, 'compiled') },
        // A registry whose certificate or settings changed is started again.
        fingerprint: `${fingerprint(await readFile(pki.registry.certificate, 'utf8'))} ${hashOf(`${await readText(config)} ${await readText(settingsFile(instance.state))}`)}`,
      }),
      probe: async (signal) => {
        // Whoever names no user is turned away: that is an answer.
        const answer = await ask(`https://${access.host}/v2/`, { ca: pki.ca.certificate, signal })
        if (answer.status !== 401) throw new Error(`the registry answered ${answer.status}`)
      },
      readyTimeoutMs: 30_000,
      stopTimeoutMs: 12_000,
    },
    options.cgroups,
    options.log,
  )
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
