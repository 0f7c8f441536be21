import type { RegistryServerOptions } from './options.ts'
import type { RegistryServer } from './serve.ts'

/**
 * Serves an OCI registry (distribution-spec 1.1): pull, push in one or in chunks with resume, mounts, tags, referrers, deletion. Its code
 * is loaded here: whoever only speaks to registries is spared a fifth of the memory.
 * @throws OciError `Storage` when the directory cannot be used, `Unreachable` when the address cannot be listened on
 */
export async function serveRegistry(options: RegistryServerOptions): Promise<RegistryServer> {
  const loaded = await import('./serve.ts')
  return loaded.serveRegistry(options)
}
