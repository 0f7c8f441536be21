import { type KubeObject, keyOf } from './object.ts'

/** A change of the view. `raw` is the object as the server sent it, with managedFields; not there for what came with a whole list. */
export interface InformerEvent<T> {
  readonly type: 'added' | 'modified' | 'deleted'
  readonly key: string
  /** The object as it is kept; at `deleted`, as it was last seen. */
  readonly object: T
  readonly raw?: KubeObject
  /** Part of the first fill of the view: nothing happened to it now. */
  readonly initial?: true
}

interface Entry<T> {
  readonly object: T
  readonly uid: string
  /** Opaque: only compared for equality. */
  readonly resourceVersion: string
}

/** The objects of a view by key. Each change gives the events that describe it. */
export class Store<T> {
  readonly #project: (object: KubeObject) => T
  #entries = new Map<string, Entry<T>>()

  constructor(project: (object: KubeObject) => T) {
    this.#project = project
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string): T | undefined {
    return this.#entries.get(key)?.object
  }

  *entries(): IterableIterator<[string, T]> {
    for (const [key, entry] of this.#entries) yield [key, entry.object]
  }

  /** Takes in an object; gives nothing where it is known in this version. */
  put(raw: KubeObject): InformerEvent<T>[] {
    const key = keyOf(raw)
    const old = this.#entries.get(key)
    const entry = { object: this.#project(raw), uid: raw.metadata.uid ?? '', resourceVersion: raw.metadata.resourceVersion ?? '' }
    this.#entries.set(key, entry)
    return difference(key, old, entry).map((event) => (event.type === 'deleted' ? event : { ...event, raw }))
  }

  remove(raw: KubeObject): InformerEvent<T>[] {
    const key = keyOf(raw)
    return this.#entries.delete(key) ? [{ type: 'deleted', key, object: this.#project(raw), raw }] : []
  }

  /** Takes the objects of a complete list at once. What is not in it was deleted. */
  swap(next: Store<T>): InformerEvent<T>[] {
    const old = this.#entries
    this.#entries = next.#entries
    const events: InformerEvent<T>[] = []
    for (const [key, entry] of old) if (!this.#entries.has(key)) events.push({ type: 'deleted', key, object: entry.object })
    for (const [key, entry] of this.#entries) events.push(...difference(key, old.get(key), entry))
    return events
  }
}

function difference<T>(key: string, old: Entry<T> | undefined, entry: Entry<T>): InformerEvent<T>[] {
  const { object } = entry
  if (!old) return [{ type: 'added', key, object }]
  // the same name, another object: the first one is gone
  if (old.uid !== entry.uid) {
    return [
      { type: 'deleted', key, object: old.object },
      { type: 'added', key, object },
    ]
  }
  return old.resourceVersion === entry.resourceVersion ? [] : [{ type: 'modified', key, object }]
}
