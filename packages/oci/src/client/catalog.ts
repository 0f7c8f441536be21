import type { CallOptions } from '../content.ts'
import { OciError } from '../errors.ts'
import { isRepository } from '../reference.ts'
import { namesIn, pages } from './pages.ts'
import type { Transport } from './transport.ts'

const maximumRepositories = 100_000

/** All repositories of a registry that tells them (`/v2/_catalog`); what is no name of a repository is left out. */
export async function listRepositories(transport: Transport, { signal }: CallOptions): Promise<string[]> {
  const found: string[] = []
  const call = { scope: 'registry:catalog:*', headers: {}, signal, path: '/v2/_catalog?n=1000', orMissing: false }
  for await (const page of pages(transport, call)) {
    found.push(...namesIn(page ?? new Uint8Array(), 'repositories', `repositories of ${transport.options.host}`, isRepository))
    if (found.length > maximumRepositories)
      throw new OciError('TooLarge', `${transport.options.host} has more than ${maximumRepositories} repositories.`)
  }
  return found
}
