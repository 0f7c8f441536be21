import type {
  ApplyOptions,
  CallOptions,
  ClientOptions,
  DeleteOptions,
  ListOptions,
  ListResult,
  PatchOptions,
  RawOptions,
  WatchOptions,
  WriteOptions,
} from './call-options.ts'
import { type Clock, pause, systemClock } from './clock.ts'
import type { ClientConfig } from './config.ts'
import { startDeadline } from './deadline.ts'
import { Discovery, type Resource } from './discovery.ts'
import { isKubeError, KubeError } from './error.ts'
import { describe, isObject, isRecord, type KubeObject, type Ref, refOf, type Selection, type TypedObject } from './object.ts'
import { orAborted } from './or-aborted.ts'
import { type Query, resourcePath, withQuery } from './resource-path.ts'
import { retryDelay } from './retry.ts'
import { errorFromAnswer, isFieldConflict } from './status.ts'
import { Transport } from './transport.ts'
import type { View } from './view.ts'
import { readWatch, type WatchEvent } from './watch-stream.ts'

/** Time for one request with its repetitions, in milliseconds. */
const defaultTimeoutMs = 30_000
/** Largest answer, in bytes. */
const bodyLimit = 64 * 1024 * 1024
/** Largest event of a watch, in bytes. The server's own limit for an object is 3 MiB. */
const lineLimit = 8 * 1024 * 1024
/** Objects per page of a list. */
const pageSize = 500
/** The server sends bookmarks about once a minute. */
export const defaultSilenceMs = 150_000
/** A watch is renewed after 5 to 10 minutes, not all at once. */
const watchSeconds = 300

interface Call extends RawOptions {
  readonly method: string
  readonly path: string
  /** What is done, for messages: `get Deployment default/web`. */
  readonly doing: string
  readonly safeToRepeat: boolean
}

const patchTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
} as const

/**
 * A client of one API server. Cheap to make; connections open with the first request. Every method throws {@link KubeError}.
 * Objects that name no namespace are in the configuration's own.
 */
export class KubeClient {
  readonly #transport: Transport
  readonly #discovery: Discovery
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #fieldManager: string
  /** Namespace for objects that name none. */
  readonly namespace: string
  /** Longest time that a watch may be silent, in milliseconds. */
  readonly silenceMs: number
  /** Views that are kept by way of this client, each as long as it runs. */
  readonly views = new Set<View>()

  constructor(config: ClientConfig, options: ClientOptions = {}) {
    this.#clock = options.clock ?? systemClock
    this.#timeoutMs = options.timeoutMs ?? defaultTimeoutMs
    this.#fieldManager = options.fieldManager ?? 'muster'
    this.namespace = config.namespace ?? 'default'
    this.silenceMs = options.silenceMs ?? defaultSilenceMs
    const { userAgent = 'muster', reread } = options
    this.#transport = new Transport(config, { userAgent, clock: this.#clock, bodyLimit, reread })
    this.#discovery = new Discovery((path) => this.raw('GET', path), this.#clock)
  }

  /** Reads an object. Throws `NotFound` where it is not there. */
  async get<T extends TypedObject = KubeObject>(ref: Ref, options: CallOptions & { subresource?: string } = {}): Promise<T> {
    const path = (resource: Resource) => this.#path(ref, resource, { subresource: options.subresource })
    return this.#object<T>(
      await this.#call(ref, path, { ...options, method: 'GET', doing: `get ${describe(ref)}`, safeToRepeat: true }),
      ref,
    )
  }

  /** Reads an object that may not be there: `undefined` only where the server says so of this very object. */
  async find<T extends TypedObject = KubeObject>(ref: Ref, options: CallOptions = {}): Promise<T | undefined> {
    try {
      return await this.get<T>(ref, options)
    } catch (error) {
      if (isKubeError(error, 'NotFound')) return undefined
      throw error
    }
  }

  /** Lists objects, page by page, as one. Starts again where the server forgot the version in between. */
  async list<T extends TypedObject = KubeObject>(what: Selection, options: ListOptions = {}): Promise<ListResult<T>> {
    for (let tried = 0; ; tried += 1) {
      try {
        let resourceVersion = ''
        const items: T[] = []
        for await (const page of this.pages<T>(what, options)) {
          resourceVersion = page.resourceVersion
          for (const item of page.items) items.push(item)
        }
        return { items, resourceVersion }
      } catch (error) {
        if (!isKubeError(error, 'Gone') || tried >= 3) throw error
      }
    }
  }

  /** Lists objects in pages, all of one version. Throws `Gone` where the server forgot that version in between. */
  async *pages<T extends TypedObject = KubeObject>(what: Selection, options: ListOptions = {}): AsyncGenerator<ListResult<T>, void> {
    let next = ''
    do {
      const query = { limit: options.limit ?? pageSize, continue: next }
      const path = (resource: Resource) => this.#collection(what, resource, query)
      const page = await this.#call(what, path, { ...options, method: 'GET', doing: `list ${what.kind}`, safeToRepeat: true })
      const metadata = isRecord(page) && isRecord(page['metadata']) ? page['metadata'] : undefined
      if (!isRecord(page) || !Array.isArray(page['items']) || typeof metadata?.['resourceVersion'] !== 'string') {
        throw new KubeError(
          'BadResponse',
          `The server did not answer with a list of ${what.kind}. Check that the address is that of an API server.`,
        )
      }
      // items of a typed list do not repeat what they are
      const { apiVersion, kind } = what
      const items = page['items'].map((item) => this.#object<T>(isRecord(item) ? { apiVersion, kind, ...item } : item, what))
      yield { items, resourceVersion: metadata['resourceVersion'] }
      next = typeof metadata['continue'] === 'string' ? metadata['continue'] : ''
    } while (next !== '')
  }

  async create<T extends TypedObject = KubeObject>(object: T, options: WriteOptions = {}): Promise<T> {
    const ref = refOf(object)
    const path = (resource: Resource) =>
      resourcePath(
        {
          apiVersion: ref.apiVersion,
          resource,
          namespace: ref.namespace ?? this.namespace,
          ...(options.subresource ? { name: ref.name, subresource: options.subresource } : {}),
        },
        this.#writeQuery(options),
      )
    return this.#object<T>(
      await this.#call(ref, path, { ...options, method: 'POST', body: object, doing: `create ${describe(ref)}`, safeToRepeat: false }),
      ref,
    )
  }

  /** Writes a whole object. Throws `Conflict` where it was changed since it was read. */
  async replace<T extends TypedObject = KubeObject>(object: T, options: WriteOptions = {}): Promise<T> {
    const ref = refOf(object)
    const path = (resource: Resource) => this.#path(ref, resource, options, this.#writeQuery(options))
    return this.#object<T>(
      await this.#call(ref, path, { ...options, method: 'PUT', body: object, doing: `replace ${describe(ref)}`, safeToRepeat: false }),
      ref,
    )
  }

  /**
   * Server-side apply: the object gets what is written here, and the field manager owns it. Safe to repeat, and repeated
   * by itself where the server failed or somebody created the object in the same moment.
   * Throws `Conflict` (not transient) where another manager owns a field and `force` is not set.
   */
  async apply<T extends TypedObject = KubeObject>(object: TypedObject, options: ApplyOptions = {}): Promise<T> {
    const ref = refOf(object)
    const { managedFields: _, ...metadata } = object.metadata
    const path = (resource: Resource) =>
      this.#path(ref, resource, options, { ...this.#writeQuery(options), ...(options.force ? { force: true } : {}) })
    const call = {
      ...options,
      method: 'PATCH',
      headers: { 'content-type': 'application/apply-patch+yaml' },
      body: { ...object, metadata },
      doing: `apply ${describe(ref)}`,
      safeToRepeat: true,
    }
    for (let tried = 0; ; tried += 1) {
      try {
        return this.#object<T>(await this.#call(ref, path, call), ref)
      } catch (error) {
        const raced = isKubeError(error, 'AlreadyExists') || (isKubeError(error, 'Conflict') && !isFieldConflict(error.details))
        if (!raced || metadata.resourceVersion !== undefined || tried >= 3) throw error
      }
    }
  }

  async patch<T extends TypedObject = KubeObject>(ref: Ref, patch: unknown, options: PatchOptions): Promise<T> {
    const path = (resource: Resource) => this.#path(ref, resource, options, this.#writeQuery(options))
    const headers = { 'content-type': patchTypes[options.type] }
    return this.#object<T>(
      await this.#call(ref, path, {
        ...options,
        method: 'PATCH',
        headers,
        body: patch,
        doing: `patch ${describe(ref)}`,
        safeToRepeat: false,
      }),
      ref,
    )
  }

  /** Deletes an object. `gone`: it is not there any more (or never was). `deleting`: its finalizers or its grace period still run. */
  async delete(ref: Ref, options: DeleteOptions = {}): Promise<'gone' | 'deleting'> {
    const { uid, resourceVersion, gracePeriodSeconds } = options
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      ...(options.propagation ? { propagationPolicy: options.propagation } : {}),
      ...(uid || resourceVersion ? { preconditions: { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) } } : {}),
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      ...(options.dryRun ? { dryRun: ['All'] } : {}),
    }
    const path = (resource: Resource) => this.#path(ref, resource, {})
    try {
      // with a uid it cannot hit a successor of the same name
      const call = { ...options, method: 'DELETE', body, doing: `delete ${describe(ref)}`, safeToRepeat: uid !== undefined }
      const answer = await this.#call(ref, path, call)
      return isObject(answer) && answer.metadata.deletionTimestamp ? 'deleting' : 'gone'
    } catch (error) {
      if (isKubeError(error, 'NotFound')) return 'gone'
      throw error
    }
  }

  /**
   * Watches objects until the server ends it (a few minutes), the signal is aborted or it fails. For a view that lasts use an Informer.
   * Throws `Gone` where the version is too old, `Silent`, `Unreachable`, `Invalid` where the server does not know `sendInitialEvents`.
   */
  async *watch<T extends TypedObject = KubeObject>(what: Selection, options: WatchOptions = {}): AsyncGenerator<WatchEvent<T>, void> {
    const doing = `watch ${describe({ kind: what.kind })}`
    const resource = await this.resource(what.apiVersion, what.kind, options)
    const path = this.#collection(what, resource, {
      watch: 1,
      allowWatchBookmarks: true,
      resourceVersion: options.resourceVersion,
      ...(options.sendInitialEvents ? { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' } : {}),
      timeoutSeconds: options.timeoutSeconds ?? Math.floor(watchSeconds * (1 + this.#clock.random())),
    })
    const response = await this.#transport.open({ method: 'GET', path, signal: options.signal, timeoutMs: this.#timeoutMs })
    if (response.statusCode !== 200) {
      const body = parseBody(await this.#transport.rest(response, this.#timeoutMs))
      await this.#throwIfUnserved(what, response.statusCode ?? 0, body)
      throw errorFromAnswer({ doing, status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'], body })
    }
    const silenceMs = options.silenceMs ?? (() => this.silenceMs)
    yield* readWatch<T>(response, { doing, lineLimit, silenceMs, clock: this.#clock, signal: options.signal })
  }

  /** How a kind is served, from the server's discovery. Throws `UnknownKind`. */
  async resource(apiVersion: string, kind: string, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Resource> {
    // others may wait for the same answer: the question itself goes on
    return await orAborted(this.#discovery.resource(apiVersion, kind), options.signal, `the discovery of ${kind}`)
  }

  /** Any request. Gives JSON as a value and anything else as text. Repeated only if it reads. */
  async raw(method: string, path: string, options: RawOptions = {}): Promise<unknown> {
    return await this.#request({ ...options, method, path, doing: `${method} ${path.split('?')[0]}`, safeToRepeat: method === 'GET' })
  }

  async version(options: CallOptions = {}): Promise<{ gitVersion: string; [key: string]: unknown }> {
    const version = await this.raw('GET', '/version', options)
    if (isRecord(version) && typeof version['gitVersion'] === 'string') return { ...version, gitVersion: version['gitVersion'] }
    throw new KubeError('BadResponse', 'The server did not tell its version. Check that the address is that of an API server.')
  }

  /** Ends all connections; requests under way fail. */
  close(): void {
    this.#transport.close()
  }

  async #call(what: Ref | Selection, path: (resource: Resource) => string, call: Omit<Call, 'path'>): Promise<unknown> {
    const resource = await this.resource(what.apiVersion, what.kind, call)
    try {
      return await this.#request({ ...call, path: path(resource) })
    } catch (error) {
      if (isKubeError(error, 'BadResponse') && error.status === 404) await this.#throwIfUnserved(what, 404, undefined)
      throw error
    }
  }

  /** A 404 that is not about an object may mean that the kind went away since it was discovered. */
  async #throwIfUnserved(what: { apiVersion: string; kind: string }, status: number, body: unknown): Promise<void> {
    if (status !== 404 || isRecord(body)) return
    this.#discovery.forget(what.apiVersion)
    await this.resource(what.apiVersion, what.kind)
  }

  async #request(call: Call): Promise<unknown> {
    const deadline = startDeadline(call.timeoutMs ?? this.#timeoutMs, call.signal, this.#clock)
    try {
      for (let tried = 0; ; tried += 1) {
        try {
          return await this.#once(call, deadline.remainingMs())
        } catch (error) {
          if (!(error instanceof KubeError)) throw error
          const wait = retryDelay(error, tried, call.safeToRepeat, this.#clock.random)
          if (wait === undefined || wait > deadline.remainingMs()) throw error
          await pause(wait, deadline.signal, this.#clock)
          if (deadline.signal.aborted) throw error
        }
      }
    } finally {
      deadline.release()
    }
  }

  async #once(call: Call, timeoutMs: number): Promise<unknown> {
    const { method, body: content, signal } = call
    const body = content === undefined ? undefined : typeof content === 'string' ? content : JSON.stringify(content)
    const headers = { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...call.headers }
    const path = withQuery(call.path, call.query ?? {})
    const answer = await this.#transport.send({ method, path, headers, body, signal, timeoutMs, as: call.as })
    const value = parseBody(answer.body)
    if (answer.status >= 200 && answer.status < 300) return value
    throw errorFromAnswer({ doing: call.doing, status: answer.status, retryAfter: answer.headers['retry-after'], body: value })
  }

  #path(ref: Ref, resource: Resource, options: { subresource?: string | undefined }, query: Query = {}): string {
    const { apiVersion, name } = ref
    return resourcePath({ apiVersion, resource, name, namespace: ref.namespace ?? this.namespace, subresource: options.subresource }, query)
  }

  #collection(what: Selection, resource: Resource, query: Query): string {
    const { apiVersion, namespace, labelSelector, fieldSelector } = what
    return resourcePath({ apiVersion, resource, namespace }, { ...query, labelSelector, fieldSelector })
  }

  #writeQuery(options: WriteOptions): Query {
    const { dryRun, fieldValidation } = options
    return { fieldManager: options.fieldManager ?? this.#fieldManager, fieldValidation, ...(dryRun ? { dryRun: 'All' } : {}) }
  }

  #object<T extends TypedObject>(value: unknown, what: { kind: string }): T {
    if (isObject(value)) return value as TypedObject as T
    throw new KubeError('BadResponse', `The server did not answer with a ${what.kind}. Check that the address is that of an API server.`)
  }
}

function parseBody(body: Buffer): unknown {
  const text = body.toString('utf8')
  if (!/^\s*[{["\d]/.test(text)) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
