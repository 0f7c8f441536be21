import type { CallOptions } from '../content.ts'
import { OciError } from '../errors.ts'
import { isRepository } from '../reference.ts'
import { pages } from './pages.ts'
import type { Transport } from './transport.ts'

const maximumRepositories = 100_000

/** All repositories of a registry that tells them (`/v2/_catalog`); what is no name of a repository is left out. */
export async function listRepositories(transport: Transport, { signal }: CallOptions): Promise<string[]> {
  const found: string[] = []
  const call = { scope: 'registry:catalog:*', headers: {}, signal, path: '/v2/_catalog?n=1000', orMissing: false }
  for await (const page of pages(transport, call)) {
    found.push(...namesIn(page ?? new Uint8Array(), transport.options.host))
    if (found.length > maximumRepositories)
      throw new OciError('TooLarge', `${transport.options.host} has more than ${maximumRepositories} repositories.`)
  }
  return found
}

function namesIn(bytes: Uint8Array, host: string): string[] {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder().decode(bytes))
  } catch (cause) {
    throw new OciError('BadResponse', `The list of repositories of ${host} is not JSON.`, { cause })
  }
  const names: unknown = typeof json === 'object' && json !== null && 'repositories' in json ? json.repositories : undefined
  if (names === null) return []
  if (!Array.isArray(names)) throw new OciError('BadResponse', `The list of repositories of ${host} has no "repositories".`)
  return names.filter((name: unknown): name is string => typeof name === 'string' && isRepository(name))
}
