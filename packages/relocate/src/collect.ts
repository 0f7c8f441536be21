import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const defaultBytes = 8 * 1024 * 1024
/** So much is there always, where chunks are in memory that is used again; then there is nothing to collect. */
const calmBytes = 16 * 1024 * 1024
/** So much may be in flight; what is more was kept through several collections, and needs a whole one. */
const inFlightBytes = 32 * 1024 * 1024

type Collect = (options: { readonly type: 'minor' | 'major'; readonly flavor?: 'last-resort' }) => void

/**
 * Gives back the memory of chunks that have passed. The engine sees their small heads and not the 64 KiB behind each, so by itself it
 * waits for hundreds of MiB, and then does all at once: with this, a copy takes half the memory and half the time of the processor.
 * @param everyBytes after how many it looks; more often means less memory and more work
 * @returns call it with the bytes of each chunk
 */
export function collector(everyBytes = defaultBytes): (bytes: number) => void {
  const collect = minorCollection()
  let since = 0
  let begun = false
  return (bytes) => {
    since += bytes
    if (since < everyBytes) return
    since = 0
    const { arrayBuffers } = process.memoryUsage()
    if (arrayBuffers < calmBytes) return
    // What starting the program took is given back once.
    collect?.(begun ? { type: arrayBuffers > inFlightBytes ? 'major' : 'minor' } : { type: 'major', flavor: 'last-resort' })
    begun = true
  }
}

/** Undefined where the engine does not offer it: then all still works, with more memory. */
function minorCollection(): Collect | undefined {
  try {
    setFlagsFromString('--expose-gc')
    setFlagsFromString('--semi-space-growth-factor=1')
    const found: unknown = runInNewContext('typeof gc === "function" ? gc : undefined')
    return typeof found === 'function' ? (found as Collect) : undefined
  } catch {
    return undefined
  }
}
