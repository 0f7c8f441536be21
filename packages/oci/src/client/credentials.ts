import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { getCACertificates } from 'node:tls'
import { readBounded } from '../disk.ts'
import { OciError } from '../errors.ts'
import type { Credentials } from './authorizer.ts'
import { askHelper } from './credential-helper.ts'

/** Where credentials are looked for; of the process's surroundings, so that nothing here reads them by itself. */
export interface CredentialOptions {
  /** DOCKER_CONFIG, REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR, HOME and PATH are looked at; helpers get all of it. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** For more specific entries, such as `registry.example/team`, as containers-auth.json(5) has them. */
  readonly repository?: string | undefined
  readonly signal?: AbortSignal | undefined
}

const maximumConfigBytes = 4 * 1024 * 1024
const maximumCaBytes = 1024 * 1024
const maximumCaFiles = 100
const dockerHubKey = 'https://index.docker.io/v1/'

/**
 * The credentials for a registry, as docker and podman keep them: REGISTRY_AUTH_FILE, `config.json` in DOCKER_CONFIG or
 * `~/.docker`, `containers/auth.json` in XDG_RUNTIME_DIR. In each: `credHelpers` for the host, then `auths`, then `credsStore`; the
 * first file that has some wins. Undefined: there are none, and the registry is asked anonymously.
 * @throws OciError `InvalidJson` for a damaged file, `Unauthorized` when a helper fails, `Timeout` when it hangs
 */
export async function findCredentials(host: string, options: CredentialOptions): Promise<Credentials | undefined> {
  for (const file of configFiles(options.environment)) {
    const config = await readConfig(file)
    const found = config === undefined ? undefined : await credentialsIn(config, file, host, options)
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * The certificates to trust for a host: `certs.d/HOST/*.crt` under /etc/containers, /etc/docker and their folders at home, besides
 * those that are trusted anyway. Undefined where there are none for this host.
 * @throws OciError `Storage`, `TooLarge`
 */
export async function findCertificates(
  host: string,
  options: { readonly environment: Readonly<Record<string, string | undefined>>; readonly folders?: readonly string[] },
): Promise<string | undefined> {
  const home = options.environment['HOME']
  const own = home === undefined ? [] : [join(home, '.config/containers/certs.d'), join(home, '.config/docker/certs.d')]
  const found: string[] = []
  for (const folder of options.folders ?? [...own, '/etc/containers/certs.d', '/etc/docker/certs.d']) {
    const names = await readdir(join(folder, host)).catch(() => [])
    for (const name of names.filter((one) => one.endsWith('.crt')).sort()) {
      const bytes = await readBounded(join(folder, host, name), maximumCaBytes)
      if (bytes !== undefined) found.push(new TextDecoder().decode(bytes))
      if (found.length > maximumCaFiles)
        throw new OciError('TooLarge', `${join(folder, host)} has more than ${maximumCaFiles} certificates.`)
    }
  }
  return found.length === 0 ? undefined : [...found, ...getCACertificates('default')].join('\n')
}

function configFiles(environment: CredentialOptions['environment']): string[] {
  const { REGISTRY_AUTH_FILE: own, DOCKER_CONFIG: docker, XDG_RUNTIME_DIR: runtime, HOME: home } = environment
  const folder = docker !== undefined && docker !== '' ? docker : home === undefined ? undefined : join(home, '.docker')
  return [
    ...(own === undefined || own === '' ? [] : [own]),
    ...(folder === undefined ? [] : [join(folder, 'config.json')]),
    ...(runtime === undefined || runtime === '' ? [] : [join(runtime, 'containers', 'auth.json')]),
  ]
}

async function readConfig(file: string): Promise<Record<string, unknown> | undefined> {
  const bytes = await readBounded(file, maximumConfigBytes)
  if (bytes === undefined || bytes.length === 0) return undefined
  try {
    return record(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
  } catch (cause) {
    // Not the cause itself: it would quote from a file with passwords.
    const why = cause instanceof Error ? cause.name : 'unknown'
    throw new OciError('InvalidJson', `${file} with the credentials for registries is not JSON (${why}). Correct it, or log in again.`)
  }
}

async function credentialsIn(
  config: Record<string, unknown>,
  file: string,
  host: string,
  options: CredentialOptions,
): Promise<Credentials | undefined> {
  const keys = keysOf(host, options.repository)
  const helpers = record(config['credHelpers'])
  for (const key of keys) {
    const helper = helpers?.[key]
    if (typeof helper === 'string' && helper !== '') return askHelper(helper, key, options)
  }
  const auths = record(config['auths']) ?? {}
  for (const [key, value] of byKey(auths, keys)) {
    const found = entryOf(record(value) ?? {}, file, key)
    if (found !== undefined) return found
  }
  const store = config['credsStore']
  if (typeof store !== 'string' || store === '') return undefined
  // A store lists by what was logged in to; with Docker Hub that is an address.
  return askHelper(store, host === 'docker.io' ? dockerHubKey : host, options)
}

/** From the most to the least specific: `host/team/app`, `host/team`, `host`; and what Docker Hub is called. */
function keysOf(host: string, repository: string | undefined): string[] {
  const folders = repository === undefined ? [] : repository.split('/')
  const nested = folders.map((_, at) => `${host}/${folders.slice(0, folders.length - at).join('/')}`)
  return [...nested, host, ...(host === 'docker.io' ? [dockerHubKey, 'index.docker.io', 'registry-1.docker.io'] : [])]
}

/** Old entries are addresses: `https://registry.example/v1/` is the host's. */
function* byKey(auths: Record<string, unknown>, keys: readonly string[]): Generator<[string, unknown]> {
  const plain = new Map(
    Object.entries(auths).map(([key, value]) => [key.replace(/^https?:\/\//, '').replace(/\/(?:v[12]\/?)?$/, ''), value]),
  )
  for (const key of keys) {
    if (Object.hasOwn(auths, key)) yield [key, auths[key]]
    else if (plain.has(key)) yield [key, plain.get(key)]
  }
}

function entryOf(entry: Record<string, unknown>, file: string, key: string): Credentials | undefined {
  const { identitytoken, auth, username, password } = entry
  const decoded = typeof auth === 'string' && auth !== '' ? decodeAuth(auth, file, key) : undefined
  const name = decoded?.username ?? (typeof username === 'string' ? username : '')
  if (typeof identitytoken === 'string' && identitytoken !== '') return { username: name, password: '', identityToken: identitytoken }
  if (decoded !== undefined) return decoded
  return name !== '' && typeof password === 'string' ? { username: name, password } : undefined
}

function decodeAuth(auth: string, file: string, key: string): Credentials {
  const text = Buffer.from(auth, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  if (colon < 1) throw new OciError('InvalidJson', `The entry for ${key} in ${file} is not base64 of user:password. Log in again.`)
  // Docker pads with zero bytes.
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') }
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined
}
