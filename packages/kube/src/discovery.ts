import type { Clock } from './clock.ts'
import { isKubeError, KubeError } from './error.ts'
import { isRecord } from './object.ts'

/** How a kind is served. */
export interface Resource {
  /** Name in paths, such as `deployments`. */
  readonly plural: string
  readonly namespaced: boolean
  readonly verbs: readonly string[]
  /** Subresources, such as `status` and `scale`. */
  readonly subresources: readonly string[]
}

/** A kind that was not there is asked for again after this time, in milliseconds. */
const missMs = 500

interface Group {
  readonly askedAt: number
  readonly kinds: ReadonlyMap<string, Resource>
}

/** Finds how kinds are served, one question per apiVersion, and asks again when a kind is not there. */
export class Discovery {
  readonly #ask: (path: string) => Promise<unknown>
  readonly #clock: Clock
  readonly #groups = new Map<string, Group>()
  readonly #asking = new Map<string, Promise<Group>>()

  constructor(ask: (path: string) => Promise<unknown>, clock: Clock) {
    this.#ask = ask
    this.#clock = clock
  }

  /** Throws `UnknownKind` (transient: its CRD may still come) and what asking throws. */
  async resource(apiVersion: string, kind: string): Promise<Resource> {
    const known = this.#groups.get(apiVersion)
    const found = known?.kinds.get(kind)
    if (found) return found
    const group = known && this.#clock.now() - known.askedAt < missMs ? known : await this.#load(apiVersion)
    const resource = group.kinds.get(kind)
    if (resource) return resource
    throw new KubeError(
      'UnknownKind',
      `The server serves no ${kind} of ${apiVersion}. Install its CustomResourceDefinition, or correct apiVersion and kind.`,
    )
  }

  /** Forgets what was said of an apiVersion, for when a path of it turned out to be gone. */
  forget(apiVersion: string): void {
    this.#groups.delete(apiVersion)
  }

  #load(apiVersion: string): Promise<Group> {
    const running = this.#asking.get(apiVersion)
    if (running) return running
    const asking = this.#read(apiVersion).finally(() => this.#asking.delete(apiVersion))
    this.#asking.set(apiVersion, asking)
    return asking
  }

  async #read(apiVersion: string): Promise<Group> {
    const path = groupPath(apiVersion)
    const answer = await this.#ask(path).catch(async (error: unknown) => {
      if (!isKubeError(error) || error.status !== 404) throw error
      await this.#confirmUnserved(apiVersion, error)
      return { resources: [] }
    })
    if (!isRecord(answer) || !Array.isArray(answer['resources'])) {
      throw new KubeError(
        'BadResponse',
        `${path} did not answer with a list of resources. Check that the address is that of an API server.`,
      )
    }
    const group = { askedAt: this.#clock.now(), kinds: readResources(answer['resources'].filter(isRecord)) }
    this.#groups.set(apiVersion, group)
    return group
  }

  /**
   * For an apiVersion that it does not serve the server answers with a page, as any proxy in front of a failing server may. So it is asked for all
   * that it serves too: an outage must not read as a kind that went away, with all that there was of it.
   */
  async #confirmUnserved(apiVersion: string, cause: KubeError): Promise<void> {
    const nothing = (error: unknown): undefined => {
      if (!isKubeError(error) || error.status !== 404) throw error
    }
    const answer = apiVersion.includes('/') ? await this.#ask('/apis').catch(nothing) : undefined
    const groups = isRecord(answer) && Array.isArray(answer['groups']) ? answer['groups'].filter(isRecord) : undefined
    const versions = groups?.flatMap((group) => (Array.isArray(group['versions']) ? group['versions'].filter(isRecord) : []))
    if (versions !== undefined && !versions.some((version) => version['groupVersion'] === apiVersion)) return
    throw new KubeError(
      'BadResponse',
      `The server says nothing of ${apiVersion} (HTTP status 404), which is no word that it does not serve it. Check the server and what is in front of it.`,
      { cause, transient: true },
    )
  }
}

/** Path of an API version. Throws `Invalid` at what cannot be one. */
export function groupPath(apiVersion: string): string {
  if (!/^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[a-z0-9]+$/.test(apiVersion)) {
    throw new KubeError('Invalid', `"${apiVersion}" is no apiVersion. Write group/version, or v1.`)
  }
  return apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
}

function readResources(entries: readonly Record<string, unknown>[]): Map<string, Resource> {
  const kinds = new Map<string, Resource>()
  for (const entry of entries) {
    const { name, kind, namespaced, verbs } = entry
    if (typeof name !== 'string' || typeof kind !== 'string' || name.includes('/') || kinds.has(kind)) continue
    const prefix = `${name}/`
    const subresources = entries.flatMap((other) =>
      typeof other['name'] === 'string' && other['name'].startsWith(prefix) ? [other['name'].slice(prefix.length)] : [],
    )
    kinds.set(kind, { plural: name, namespaced: namespaced === true, verbs: Array.isArray(verbs) ? verbs.map(String) : [], subresources })
  }
  return kinds
}
