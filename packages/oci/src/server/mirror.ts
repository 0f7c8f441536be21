import { OciError } from '../errors.ts'
import { isHost, mirrorRepository } from '../reference.ts'
import { Refusal } from './refusal.ts'

/**
 * The repository that a containerd mirror request means: it asks for the path that an image has at its own host and names that host in
 * `ns` (containerd, "Registry Host Namespace"). Another host's images are under `mirror/`; there is no way from another host's name to a
 * repository of our own, or any image here could be had under a foreign name.
 */
export function mirrored(ns: string, repository: string, ownHosts: readonly string[]): string {
  if (!isHost(ns)) throw new Refusal(400, 'NAME_INVALID', 'ns is not a host name')
  if (ownHosts.some((host) => host.toLowerCase() === ns.toLowerCase())) return repository
  try {
    return mirrorRepository({ host: ns, repository })
  } catch (error) {
    if (error instanceof OciError) throw new Refusal(400, 'NAME_INVALID', 'the image name cannot be mirrored')
    throw error
  }
}
