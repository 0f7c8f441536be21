import path from 'node:path'
import type { RegistryAccess } from './api/join.ts'
import { HubError } from './errors.ts'

/** All that the hub is told from outside. */
export interface Settings {
  readonly namespace: string
  readonly trustDomain: string
  readonly listen: { readonly host: string; readonly port: number }
  readonly tls: { readonly certificate: string; readonly privateKey: string }
  /** The authority that signs cluster identities. */
  readonly authority: { readonly certificate: string; readonly privateKey: string }
  /** Certificates (PEM) that are trusted beside it while it changes. */
  readonly otherAuthorities?: string
  readonly timings: { readonly identityDays?: number; readonly renewGraceDays?: number }
  readonly channelKey: string
  /** Trust roots, oldest first. */
  readonly roots: readonly string[]
  readonly registry: RegistryAccess
  readonly reader: { readonly username: string; readonly password: string }
}

/** A folder of mounted files, read by name; undefined for one that is not there. */
export interface Files {
  read(file: string): Promise<string | undefined>
  list(folder: string): Promise<readonly string[]>
}

/** File names of trust roots: `root.json` is the newest; `1.root.json` and so on are those before, for clusters that were away. */
const rootFile = /^(?:([1-9][0-9]{0,8})\.)?root\.json$/

/**
 * Reads the settings from the environment and the mounted Secrets, which are in `MUSTER_SECRETS`, a folder each.
 * @throws HubError `SettingsInvalid`
 */
export async function readSettings(env: Readonly<Record<string, string | undefined>>, files: Files): Promise<Settings> {
  const folder = required(env, 'MUSTER_SECRETS')
  const secret = async (name: string, key: string): Promise<string> => {
    const content = await files.read(path.join(folder, name, key))
    if (!content?.trim())
      throw new HubError('SettingsInvalid', `The Secret ${name} has no ${key}. Install the hub again, or restore the Secret.`)
    return content
  }
  const port = Number(env['MUSTER_PORT'] ?? 8443)
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new HubError('SettingsInvalid', 'MUSTER_PORT is not a port.')
  const others = await files.read(path.join(folder, 'muster-hub-ca', 'others.crt'))
  const word = async (name: string, key: string) => (await secret(name, key)).trim()
  return {
    namespace: required(env, 'MUSTER_NAMESPACE'),
    trustDomain: required(env, 'MUSTER_TRUST_DOMAIN'),
    listen: { host: env['MUSTER_HOST'] ?? '0.0.0.0', port },
    tls: { certificate: await secret('muster-hub-tls', 'tls.crt'), privateKey: await secret('muster-hub-tls', 'tls.key') },
    authority: { certificate: await secret('muster-hub-ca', 'ca.crt'), privateKey: await secret('muster-hub-ca', 'ca.key') },
    ...(others?.trim() ? { otherAuthorities: others } : {}),
    timings: {
      ...days(env, 'MUSTER_IDENTITY_DAYS', 'identityDays'),
      ...days(env, 'MUSTER_RENEW_GRACE_DAYS', 'renewGraceDays'),
    },
    channelKey: await secret('muster-hub-channel', 'channel.key'),
    roots: await readRoots(path.join(folder, 'muster-hub-channel'), files, secret),
    registry: {
      host: await word('muster-registry', 'host'),
      ca: await secret('muster-registry', 'ca.crt'),
      username: await word('muster-registry', 'writer-username'),
      password: await word('muster-registry', 'writer-password'),
    },
    reader: {
      username: await word('muster-registry', 'reader-username'),
      password: await word('muster-registry', 'reader-password'),
    },
  }
}

async function readRoots(folder: string, files: Files, secret: (name: string, key: string) => Promise<string>): Promise<string[]> {
  const older = (await files.list(folder))
    .flatMap((name) => {
      const version = rootFile.exec(name)?.[1]
      return version === undefined ? [] : [{ name, version: Number(version) }]
    })
    .sort((a, b) => a.version - b.version)
  const names = [...older.map(({ name }) => name), 'root.json']
  return Promise.all(names.map((name) => secret('muster-hub-channel', name)))
}

/** A setting in days, which may be a fraction; nothing where it is left to the default. */
function days<K extends string>(env: Readonly<Record<string, string | undefined>>, name: string, key: K): { readonly [key in K]?: number } {
  const text = env[name]?.trim()
  if (!text) return {}
  const value = Number(text)
  if (!(value > 0 && value <= 3650)) throw new HubError('SettingsInvalid', `${name} is not a number of days above 0 and up to 3650.`)
  return { [key]: value } as { readonly [key in K]?: number }
}

function required(env: Readonly<Record<string, string | undefined>>, name: string): string {
  const value = env[name]?.trim()
  if (!value) throw new HubError('SettingsInvalid', `The environment variable ${name} is not set.`)
  return value
}
