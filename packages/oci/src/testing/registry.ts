import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { Registry, type RegistryOptions } from '../client/registry.ts'
import type { RegistryServerOptions } from '../server/options.ts'
import { type RegistryServer, serveRegistry } from '../server/serve.ts'

export const writer = { username: 'writer', password: 'write:me' }
export const reader = { username: 'reader', password: 'read me' }
export const administrator = { username: 'admin', password: 'keep me' }

export const users = [
  { name: writer.username, password: writer.password, access: 'write' as const },
  { name: reader.username, password: reader.password, access: 'read' as const },
  { name: administrator.username, password: administrator.password, access: 'admin' as const },
]

/** A directory that is gone after the test. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-oci-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

export interface RunningRegistry {
  readonly server: RegistryServer
  readonly root: string
  readonly host: string
  client(credentials?: { username: string; password: string }, options?: Partial<RegistryOptions>): Registry
  /** A request as a client that we did not write would send it. */
  raw(
    method: string,
    path: string,
    options?: { headers?: Record<string, string>; body?: string | Uint8Array<ArrayBuffer> },
  ): Promise<Response>
}

/** A registry on a free port of loopback that is closed after the test. */
export async function startRegistry(options: Partial<RegistryServerOptions> = {}): Promise<RunningRegistry> {
  const root = options.root ?? (await temporaryDirectory())
  const server = await serveRegistry({ graceMs: 100, listen: { host: '127.0.0.1', port: 0 }, users, ...options, root })
  onTestFinished(() => server.close())
  const host = `127.0.0.1:${server.port}`
  return {
    server,
    root,
    host,
    client: (credentials = writer, extra = {}) => client({ host, plainHttp: true, credentials, ...extra }),
    raw: (method, path, request = {}) =>
      fetch(`${server.url}${path}`, {
        method,
        redirect: 'manual',
        headers: { authorization: basic(writer), ...request.headers },
        ...(request.body === undefined ? {} : { body: request.body }),
      }),
  }
}

/** A client that does not wait long between tries, closed after the test. */
export function client(options: RegistryOptions): Registry {
  const registry = new Registry({ retry: { baseMs: 1 }, ...options })
  onTestFinished(() => registry.close())
  return registry
}

export function basic(credentials: { username: string; password: string }): string {
  return `Basic ${btoa(`${credentials.username}:${credentials.password}`)}`
}
