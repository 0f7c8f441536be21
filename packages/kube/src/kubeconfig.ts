import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { parse } from 'yaml'
import type { ClientConfig, ExecConfig, Impersonation, PemSource, UserConfig } from './config.ts'
import { KubeError } from './error.ts'
import { isRecord } from './object.ts'

/** A kubeconfig is never larger than this, in bytes. */
const sizeLimit = 4 * 1024 * 1024

export interface KubeconfigOptions {
  /** The context to use instead of `current-context`. */
  readonly context?: string
  /** Where relative paths in the file start. */
  readonly baseDir?: string
  /** The environment that credential plugins inherit (PATH, HOME, …). Without it they get only what the file gives them. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** Reads a kubeconfig file. Throws `Config`. */
export async function loadKubeconfig(file: string, options: KubeconfigOptions = {}): Promise<ClientConfig> {
  const text = await readText(file)
  return parseKubeconfig(text, { baseDir: path.dirname(path.resolve(file)), ...options })
}

/**
 * Takes one context out of a kubeconfig. Files that it names are not read yet. Throws `Config`.
 * Source: Kubernetes reference, kubeconfig (v1).
 */
export function parseKubeconfig(text: string, options: KubeconfigOptions = {}): ClientConfig {
  const root = parseYaml(text)
  const contextName = options.context ?? optionalText(root, 'current-context', 'kubeconfig')
  if (!contextName) throw wrong('it has no current-context; name a context')
  const context = entry(root, 'contexts', 'context', contextName)
  const clusterName = optionalText(context, 'cluster', `context "${contextName}"`)
  if (!clusterName) throw wrong(`context "${contextName}" names no cluster`)
  const cluster = entry(root, 'clusters', 'cluster', clusterName)
  const userName = optionalText(context, 'user', `context "${contextName}"`)
  const user = userName ? entry(root, 'users', 'user', userName) : {}
  const at = `cluster "${clusterName}"`
  const server = readServer(optionalText(cluster, 'server', at), at)
  const ca = pemSource(cluster, 'certificate-authority', at, options)
  const insecure = cluster['insecure-skip-tls-verify'] === true
  if (insecure && ca) throw wrong(`${at} has both a certificate authority and insecure-skip-tls-verify; keep one`)
  const serverName = optionalText(cluster, 'tls-server-name', at)
  const proxyUrl = optionalText(cluster, 'proxy-url', at)
  const namespace = optionalText(context, 'namespace', `context "${contextName}"`)
  const impersonate = readImpersonation(user, `user "${userName}"`)
  return {
    server,
    ...(namespace ? { namespace } : {}),
    ...(ca ? { ca } : {}),
    ...(serverName ? { serverName } : {}),
    ...(insecure ? { insecureSkipTlsVerify: true } : {}),
    ...(proxyUrl ? { proxyUrl: readProxy(proxyUrl, at) } : {}),
    user: readUser(user, `user "${userName}"`, options),
    ...(impersonate ? { impersonate } : {}),
  }
}

async function readText(file: string): Promise<string> {
  try {
    const { size } = await stat(file)
    if (size > sizeLimit) throw wrong(`${file} is larger than ${sizeLimit} bytes`)
    return await readFile(file, 'utf8')
  } catch (cause) {
    if (cause instanceof KubeError) throw cause
    throw new KubeError('Config', `Could not read the kubeconfig ${file}. Check the path and that you may read it.`, { cause })
  }
}

function parseYaml(text: string): Record<string, unknown> {
  if (text.length > sizeLimit) throw wrong(`it is larger than ${sizeLimit} characters`)
  let value: unknown
  try {
    // no warnings either: they quote the text too
    value = parse(text, { logLevel: 'error' })
  } catch (cause) {
    // no cause: the parser's message quotes the text, which may hold a secret
    const line =
      isRecord(cause) && Array.isArray(cause['linePos']) && isRecord(cause['linePos'][0]) ? cause['linePos'][0]['line'] : undefined
    throw wrong(`it is not YAML${typeof line === 'number' ? ` (line ${line})` : ''}`)
  }
  if (!isRecord(value)) throw wrong('it is not a mapping')
  return value
}

function entry(root: Record<string, unknown>, list: string, field: string, name: string): Record<string, unknown> {
  const entries = Array.isArray(root[list]) ? root[list].filter(isRecord) : []
  const found = entries.find((one) => one['name'] === name)
  if (!found) throw wrong(`it has no ${field} "${name}"; it has ${entries.map((one) => `"${String(one['name'])}"`).join(', ') || 'none'}`)
  const value = found[field] ?? {}
  if (!isRecord(value)) throw wrong(`${field} "${name}" is not a mapping`)
  return value
}

function readUser(user: Record<string, unknown>, at: string, options: KubeconfigOptions): UserConfig {
  const certificate = pemSource(user, 'client-certificate', at, options)
  const key = pemSource(user, 'client-key', at, options)
  if (!certificate !== !key) throw wrong(`${at} has only one of client-certificate and client-key`)
  const token = optionalText(user, 'token', at)
  const tokenFile = optionalText(user, 'tokenFile', at)
  const username = optionalText(user, 'username', at)
  const password = optionalText(user, 'password', at)
  if (user['auth-provider'] !== undefined) throw wrong(`${at} uses an auth-provider, which Kubernetes removed; use an exec plugin`)
  const exec = user['exec'] === undefined || user['exec'] === null ? undefined : readExec(user['exec'], at, options)
  return {
    ...(certificate && key ? { certificate, key } : {}),
    // a token file wins over a token, as in client-go
    ...(tokenFile ? { tokenFile: resolve(tokenFile, options) } : token ? { token } : {}),
    ...(username !== undefined ? { username, password: password ?? '' } : {}),
    ...(exec ? { exec } : {}),
  }
}

function readExec(value: unknown, at: string, options: KubeconfigOptions): ExecConfig {
  if (!isRecord(value)) throw wrong(`exec of ${at} is not a mapping`)
  const command = optionalText(value, 'command', at)
  if (!command) throw wrong(`exec of ${at} has no command`)
  const apiVersion = optionalText(value, 'apiVersion', at) ?? ''
  if (!/^client\.authentication\.k8s\.io\/v1(beta1)?$/.test(apiVersion)) {
    throw wrong(`exec of ${at} wants "${apiVersion}"; client.authentication.k8s.io/v1 and v1beta1 are known`)
  }
  const env: Record<string, string | undefined> = { ...options.env }
  for (const one of Array.isArray(value['env']) ? value['env'].filter(isRecord) : []) env[String(one['name'])] = String(one['value'] ?? '')
  const installHint = optionalText(value, 'installHint', at)
  return {
    apiVersion,
    // a path is relative to the file, a bare name is looked for in PATH
    command: command.includes('/') ? resolve(command, options) : command,
    args: Array.isArray(value['args']) ? value['args'].map(String) : [],
    env,
    provideClusterInfo: value['provideClusterInfo'] === true,
    ...(installHint ? { installHint } : {}),
  }
}

function readImpersonation(user: Record<string, unknown>, at: string): Impersonation | undefined {
  const name = optionalText(user, 'as', at)
  if (!name) return undefined
  const uid = optionalText(user, 'as-uid', at)
  const groups = Array.isArray(user['as-groups']) ? user['as-groups'].map(String) : undefined
  const extra: Record<string, readonly string[]> = {}
  if (isRecord(user['as-user-extra'])) {
    for (const [key, values] of Object.entries(user['as-user-extra'])) extra[key] = Array.isArray(values) ? values.map(String) : []
  }
  return { user: name, extra, ...(uid ? { uid } : {}), ...(groups ? { groups } : {}) }
}

function readServer(server: string | undefined, at: string): string {
  const url = URL.canParse(server ?? '') ? new URL(server ?? '') : undefined
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:')) throw wrong(`${at} has no usable server address`)
  return url.href.replace(/\/+$/, '')
}

function readProxy(proxy: string, at: string): string {
  const url = URL.canParse(proxy) ? new URL(proxy) : undefined
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') throw wrong(`${at} has a proxy-url that is neither http nor https`)
  return url.href
}

function pemSource(from: Record<string, unknown>, field: string, at: string, options: KubeconfigOptions): PemSource | undefined {
  const data = optionalText(from, `${field}-data`, at)
  if (data) {
    const pem = Buffer.from(data, 'base64').toString('utf8')
    if (!pem.includes('-----BEGIN ')) throw wrong(`${field}-data of ${at} is not base64 of PEM`)
    return { pem }
  }
  const file = optionalText(from, field, at)
  return file ? { file: resolve(file, options) } : undefined
}

function resolve(file: string, options: KubeconfigOptions): string {
  return path.resolve(options.baseDir ?? '.', file)
}

function optionalText(from: Record<string, unknown>, field: string, at: string): string | undefined {
  const value = from[field]
  if (value === undefined || value === null || value === '') return undefined
  if (typeof value !== 'string') throw wrong(`${field} of ${at} is not text`)
  return value
}

function wrong(what: string): KubeError {
  return new KubeError('Config', `The kubeconfig cannot be used: ${what}.`)
}
