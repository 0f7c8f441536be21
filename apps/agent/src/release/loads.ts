import { releaseReasons } from '@muster/api'
import type { Runnable } from '@muster/kube'
import { BundleRefusal, type LoadedBundle } from '../bundle-loader.ts'
import type { Clock } from '../clock.ts'

/** How long work on a release waits for its bundle, in milliseconds. What takes longer goes on beside it. */
const patienceMs = 10_000
/** What nobody has asked for in so long, in milliseconds, is not wanted any more. */
const forgottenMs = 60_000

interface Loading {
  readonly bundle: Promise<LoadedBundle>
  readonly stop: AbortController
  readonly since: Date
  askedAtMs: number
  waited: boolean
}

/** What a load is: bundles of the same key are the same, verified by the same. */
export interface LoadKey {
  readonly release: string
  readonly version: string
  readonly key: string
}

/**
 * Bundles on their way. A registry that is slow holds up nothing but the release whose bundle it is: those who work on releases are few,
 * and none of them waits for it for long.
 */
export class Loads implements Runnable {
  readonly name = 'loads'
  readonly #clock: Clock
  readonly #wake: (release: string) => void
  readonly #loading = new Map<string, Loading>()

  /** @param wake has a release looked at again, when what it did not wait for is there */
  constructor(clock: Clock, wake: (release: string) => void) {
    this.#clock = clock
    this.#wake = wake
  }

  /**
   * Gives the bundle, or says that it takes its time: the next call with this key has it, when it is there.
   * @throws BundleRefusal
   */
  async load(wanted: LoadKey, start: (signal: AbortSignal) => Promise<LoadedBundle>, signal: AbortSignal): Promise<LoadedBundle> {
    const id = `${wanted.release} ${wanted.key}`
    const now = this.#clock.now()
    this.#forget(now.getTime())
    const loading = this.#loading.get(id) ?? begin(start, now)
    loading.askedAtMs = now.getTime()
    this.#loading.set(id, loading)
    const calm = new AbortController()
    try {
      const waited = this.#clock.sleep(this.#left(loading, now), AbortSignal.any([signal, calm.signal]))
      const bundle = await Promise.race([loading.bundle, waited])
      if (bundle !== undefined) {
        this.#loading.delete(id)
        return bundle
      }
    } catch (error) {
      this.#loading.delete(id)
      loading.stop.abort(signal.reason)
      throw error
    } finally {
      calm.abort()
    }
    this.#tellWhenThere(loading, wanted.release)
    const { version } = wanted
    const message = `The registry has been giving version ${version} since ${loading.since.toISOString()} and is not done: it is slow. It goes on, and nothing else waits for it.`
    throw new BundleRefusal(releaseReasons.registryUnreachable, message, true, undefined)
  }

  /** Runs until stopped; then all loads end. */
  async run(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    for (const { stop } of this.#loading.values()) stop.abort(signal.reason)
    this.#loading.clear()
  }

  /** Who has waited for long does not wait again, but looks whether it is there. */
  #left({ since }: Loading, now: Date): number {
    const passed = now.getTime() - since.getTime()
    return passed < 0 || passed >= patienceMs ? 1 : patienceMs - passed
  }

  #tellWhenThere(loading: Loading, release: string): void {
    if (loading.waited) return
    loading.waited = true
    const wake = (): void => this.#wake(release)
    loading.bundle.then(wake, wake)
  }

  #forget(nowMs: number): void {
    for (const [id, { askedAtMs, stop }] of this.#loading) {
      if (Math.abs(nowMs - askedAtMs) < forgottenMs) continue
      stop.abort(new DOMException('nobody wants it any more', 'AbortError'))
      this.#loading.delete(id)
    }
  }
}

function begin(start: (signal: AbortSignal) => Promise<LoadedBundle>, since: Date): Loading {
  const stop = new AbortController()
  const bundle = start(stop.signal)
  // Its failure is looked at by who asks for it.
  bundle.catch(() => undefined)
  return { bundle, stop, since, askedAtMs: since.getTime(), waited: false }
}
