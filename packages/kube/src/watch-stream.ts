import type { Readable } from 'node:stream'
import type { Clock } from './clock.ts'
import { KubeError } from './error.ts'
import { LineParser } from './line-parser.ts'
import { isObject, isRecord, type KubeObject, type TypedObject } from './object.ts'
import { errorFromWatch } from './status.ts'

/** What a watch tells. A bookmark says up to which version nothing was missed, and where the initial events end. */
export type WatchEvent<T extends TypedObject = KubeObject> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string; readonly initialEventsEnd: boolean }

export interface WatchStreamOptions {
  /** What is watched, for messages. */
  readonly doing: string
  /** Longest event, in bytes. */
  readonly lineLimit: number
  /** Longest time without a byte, in milliseconds; asked again after each one. */
  readonly silenceMs: () => number
  readonly clock: Clock
  readonly signal?: AbortSignal | undefined
}

/**
 * Reads the events of a watch. Ends when the server ends it. Throws `Silent`, `BadResponse`, `Unreachable` (cut off), `Aborted`,
 * and what an ERROR event says, mostly `Gone`. Source: API concepts, "Efficient detection of changes".
 */
export async function* readWatch<T extends TypedObject>(
  stream: Readable,
  options: WatchStreamOptions,
): AsyncGenerator<WatchEvent<T>, void> {
  const parser = new LineParser(options.lineLimit)
  const listen = () => {
    const ms = options.silenceMs()
    const fail = () => stream.destroy(new KubeError('Silent', `${options.doing} said nothing for ${ms} ms. It is started again.`))
    return options.clock.after(ms, fail)
  }
  let cancel = listen()
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      cancel()
      for (const line of parser.push(chunk)) if (line !== '') yield readEvent<T>(line, options.doing)
      cancel = listen()
    }
    if (parser.pending > 0) throw new KubeError('Unreachable', `${options.doing} was cut off within an event. It is started again.`)
  } catch (cause) {
    if (cause instanceof KubeError) throw cause
    if (options.signal?.aborted)
      throw new KubeError('Aborted', `${options.doing} was stopped by its caller.`, { cause: options.signal.reason })
    throw new KubeError('Unreachable', `${options.doing} was cut off. It is started again.`, { cause })
  } finally {
    cancel()
    stream.destroy()
  }
}

function readEvent<T extends TypedObject>(line: string, doing: string): WatchEvent<T> {
  let event: unknown
  try {
    event = JSON.parse(line)
  } catch {
    event = undefined
  }
  if (!isRecord(event)) throw new KubeError('BadResponse', `${doing} gave a line that is no event. Check what answers at this address.`)
  const { type, object } = event
  if (type === 'ERROR') throw errorFromWatch(doing, object)
  if (type === 'BOOKMARK' && isRecord(object) && isRecord(object['metadata'])) {
    const { resourceVersion, annotations } = object['metadata']
    if (typeof resourceVersion === 'string') {
      return { type, resourceVersion, initialEventsEnd: isRecord(annotations) && annotations['k8s.io/initial-events-end'] === 'true' }
    }
  }
  if ((type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED') && isObject(object))
    return { type, object: object as TypedObject as T }
  throw new KubeError('BadResponse', `${doing} gave an event of an unknown form. Check what answers at this address.`)
}
