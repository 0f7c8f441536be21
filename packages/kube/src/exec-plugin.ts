import { spawn } from 'node:child_process'
import type { ExecConfig } from './config.ts'
import { KubeError } from './error.ts'
import { isRecord } from './object.ts'

/** What a plugin may print, in bytes. */
const outputLimit = 1024 * 1024
/** How long a plugin may take, in milliseconds. */
const timeLimit = 60_000

/** What a plugin gave. */
export interface PluginCredential {
  readonly token?: string
  readonly certificate?: string
  readonly key?: string
  /** Epoch milliseconds after which the plugin is asked again. */
  readonly expiresAt?: number
}

export interface ClusterInfo {
  readonly server: string
  readonly ca?: string | undefined
}

/** Runs a credential plugin, without a shell and without a terminal. Throws `Config` or `Unauthorized`. */
export async function runPlugin(config: ExecConfig, cluster: ClusterInfo, signal?: AbortSignal): Promise<PluginCredential> {
  const info = {
    apiVersion: config.apiVersion,
    kind: 'ExecCredential',
    spec: { interactive: false, ...(config.provideClusterInfo ? { cluster: clusterSpec(cluster) } : {}) },
  }
  const output = await capture(config, JSON.stringify(info), signal)
  return readCredential(output, config)
}

function clusterSpec(cluster: ClusterInfo): Record<string, string> {
  const ca = cluster.ca === undefined ? {} : { 'certificate-authority-data': Buffer.from(cluster.ca).toString('base64') }
  return { server: cluster.server, ...ca }
}

function capture(config: ExecConfig, info: string, signal: AbortSignal | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(config.command, [...config.args], {
      env: { ...config.env, KUBERNETES_EXEC_INFO: info },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeLimit,
      killSignal: 'SIGKILL',
      ...(signal ? { signal } : {}),
    })
    const chunks: Buffer[] = []
    let size = 0
    let complaint = ''
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > outputLimit) child.kill('SIGKILL')
      else chunks.push(chunk)
    })
    child.stderr.on('data', (chunk: Buffer) => {
      if (complaint.length < 500) complaint += chunk.toString('utf8', 0, 500)
    })
    child.on('error', (cause) => {
      if (signal?.aborted) return reject(new KubeError('Aborted', `The credential plugin ${config.command} was stopped.`, { cause }))
      const hint = config.installHint ? ` ${config.installHint}` : ' Install it or correct the kubeconfig.'
      reject(new KubeError('Config', `Could not run the credential plugin ${config.command}.${hint}`, { cause }))
    })
    child.on('close', (code) => {
      if (code === 0 && size <= outputLimit) return resolve(Buffer.concat(chunks).toString('utf8'))
      const why = size > outputLimit ? 'printed too much' : code === null ? 'took too long' : `ended with ${code}: ${complaint.trim()}`
      reject(new KubeError('Unauthorized', `The credential plugin ${config.command} ${why}. Log in again with its own tool.`))
    })
  })
}

function readCredential(output: string, config: ExecConfig): PluginCredential {
  let value: unknown
  try {
    value = JSON.parse(output)
  } catch {
    value = undefined
  }
  const status =
    isRecord(value) && value['kind'] === 'ExecCredential' && value['apiVersion'] === config.apiVersion ? value['status'] : undefined
  if (!isRecord(status)) {
    throw new KubeError(
      'Unauthorized',
      `The credential plugin ${config.command} gave no ExecCredential of ${config.apiVersion}. Update the plugin.`,
    )
  }
  const { token, clientCertificateData: certificate, clientKeyData: key, expirationTimestamp } = status
  const expiresAt = typeof expirationTimestamp === 'string' ? Date.parse(expirationTimestamp) : Number.NaN
  const hasKeyPair = typeof certificate === 'string' && typeof key === 'string'
  if (typeof token !== 'string' && !hasKeyPair) {
    throw new KubeError(
      'Unauthorized',
      `The credential plugin ${config.command} gave neither a token nor a key pair. Log in again with its own tool.`,
    )
  }
  return {
    ...(typeof token === 'string' ? { token } : {}),
    ...(hasKeyPair ? { certificate, key } : {}),
    ...(Number.isNaN(expiresAt) ? {} : { expiresAt }),
  }
}
