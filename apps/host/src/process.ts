import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, open, realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import * as z from 'zod'
import type { Cgroups } from './cgroup.ts'
import { HostError, messageOf } from './errors.ts'
import { readJson, remove, writeAtomic } from './files.ts'
import { childrenOf, commandLine, executableOf, identify, isAlive, type ProcessIdentity, residentBytes, signalTo } from './proc.ts'

/** What of control groups a component needs. */
export type ComponentGroups = Pick<Cgroups, 'ensure' | 'joinFiles' | 'pids'>

/** What to run. `fingerprint` stands for files it reads only at its start: when it changes, the component is started anew. */
export interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly fingerprint?: string
}

/** A component that is kept running. */
export interface ComponentSpec {
  /** "registry", "hub/etcd", "hub-1/kubelet". */
  readonly name: string
  readonly cgroup: string
  readonly logFile: string
  readonly recordFile: string
  /** Asked before each start. Throws when what the component needs is not there: it is asked again after the backoff. */
  readonly command: (signal: AbortSignal) => Promise<Command>
  /** Done before a new start only, not when a running process is taken over. */
  readonly prepare?: (signal: AbortSignal) => Promise<void>
  /** True when the program started (nsenter, unshare) only waits for its child, which is the component. */
  readonly wrapped?: boolean
  /** Throws the reason while it is not ready. */
  readonly probe: (signal: AbortSignal) => Promise<void>
  readonly readyTimeoutMs: number
  readonly stopTimeoutMs: number
  /** The longest pause between an end and the next start; 20 s unless given. */
  readonly longestPauseMs?: number
  /** Of what an earlier run left in the group, only this executable is ended before a new start (containerd's shims live on). */
  readonly strays?: string
}

/** `waiting`: down, to be started again after the backoff. `unready`: runs, and its probe fails. */
export type ComponentState = 'stopped' | 'waiting' | 'starting' | 'ready' | 'unready' | 'stopping'

export interface ComponentStatus {
  readonly name: string
  readonly state: ComponentState
  readonly pid?: number
  /** Start of this run, RFC 3339. */
  readonly since?: string
  /** Resident memory of the process, in bytes. */
  readonly memoryBytes?: number
  readonly restarts: number
  readonly message?: string
}

const backoff = { firstMs: 250, maxMs: 20_000, stableMs: 30_000 } as const
const probing = { everyMs: 150, timeoutMs: 5_000, whenReadyEveryMs: 10_000 } as const
const pollMs = 250

/** How a child ends, once it does: in words. */
function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`could not be started: ${error.message}`))
    child.once('exit', (code, by) => resolve(by === null ? `ended with status ${code}` : `ended by ${by}`))
  })
}

/** Joins the control groups named before "--", then becomes the command after it. */
const joinScript = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 70; shift; done; shift; umask 022; exec "$@"'

const recordSchema = z.object({
  pid: z.number(),
  startTime: z.string(),
  bootId: z.string(),
  hash: z.string(),
  startedAt: z.string(),
  restarts: z.number(),
})

interface Run {
  readonly identity: ProcessIdentity
  readonly startedAt: Date
  /** Resolves with how it ended. */
  readonly ended: Promise<string>
}

/**
 * Keeps one process running: starts it in a session and control group of its own, waits until its probe passes, starts it
 * again with backoff when it ends, and stops it by SIGTERM, then SIGKILL. A record on disk lets a new daemon take over what
 * still runs, so that nothing runs twice and nothing is restarted without need.
 */
export class Component {
  readonly spec: ComponentSpec
  readonly #cgroups: ComponentGroups
  readonly #log: (message: string) => void
  #state: ComponentState = 'stopped'
  #message: string | undefined
  #restarts = 0
  #run: Run | undefined
  #loop: { readonly abort: AbortController; readonly done: Promise<void> } | undefined
  readonly #listeners = new Set<() => void>()

  constructor(spec: ComponentSpec, cgroups: ComponentGroups, log: (message: string) => void) {
    this.spec = spec
    this.#cgroups = cgroups
    this.#log = log
  }

  async status(): Promise<ComponentStatus> {
    const pid = await this.pid()
    const memoryBytes = pid === undefined ? 0 : await residentBytes(pid)
    // From here on nothing waits: state and count belong together.
    const run = this.#run
    return {
      name: this.spec.name,
      state: this.#state,
      ...(run === undefined || pid === undefined ? {} : { pid, since: run.startedAt.toISOString(), memoryBytes }),
      restarts: this.#restarts,
      ...(this.#message === undefined ? {} : { message: this.#message }),
    }
  }

  /** The pid of the component itself (not of the program that entered its namespaces for it). */
  async pid(): Promise<number | undefined> {
    return this.#run === undefined ? undefined : await this.#target(this.#run.identity.pid)
  }

  get state(): ComponentState {
    return this.#state
  }

  start(): void {
    if (this.#loop !== undefined) return
    const abort = new AbortController()
    this.#loop = { abort, done: this.#keepRunning(abort.signal) }
  }

  /**
   * Waits until the component is ready.
   * @throws HostError `NotReady` after `timeoutMs`
   */
  async whenReady(signal: AbortSignal, timeoutMs = this.spec.readyTimeoutMs * 2): Promise<void> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    while (this.#state !== 'ready') {
      if (limit.aborted) {
        signal.throwIfAborted()
        throw new HostError(
          'NotReady',
          `${this.spec.name} was not ready within ${Math.round(timeoutMs / 1000)} s (${this.#message ?? this.#state}); see \`muster logs ${this.spec.name}\`.`,
        )
      }
      await this.#changed(limit)
    }
  }

  /** Ends the component and waits until it is gone. */
  async stop(): Promise<void> {
    const loop = this.#loop
    this.#set('stopping')
    loop?.abort.abort()
    await loop?.done
    this.#loop = undefined
    const left = this.#run?.identity ?? (await this.#recorded())?.identity
    if (left !== undefined) await this.#end(left)
    await this.#endStrays()
    await remove(this.spec.recordFile)
    this.#run = undefined
    this.#set('stopped')
  }

  /** Lets go of the component without ending it: another owner takes it over by its record. */
  async release(): Promise<void> {
    this.#loop?.abort.abort()
    await this.#loop?.done
    this.#loop = undefined
    this.#run = undefined
    this.#set('stopped')
  }

  async #keepRunning(signal: AbortSignal): Promise<void> {
    const longest = this.spec.longestPauseMs ?? backoff.maxMs
    const first = Math.min(backoff.firstMs, longest)
    let wait: number = first
    while (!signal.aborted) {
      const began = Date.now()
      try {
        this.#set('starting')
        const command = await this.spec.command(signal)
        const hash = await hashOf(command)
        this.#run = await this.#adopt(hash)
        if (this.#run === undefined) {
          await this.spec.prepare?.(signal)
          this.#run = await this.#spawn(command, hash)
        }
        await this.#attend(this.#run, signal)
      } catch (error) {
        if (signal.aborted) return
        this.#set('waiting', messageOf(error))
        if (this.#run !== undefined) await this.#end(this.#run.identity)
      }
      if (signal.aborted) return
      this.#run = undefined
      this.#restarts++
      if (Date.now() - began > backoff.stableMs) wait = first
      this.#log(`${this.spec.name}: ${this.#message ?? 'ended'}; starts again in ${wait} ms`)
      await delay(wait, undefined, { signal }).catch(() => undefined)
      wait = Math.min(wait * 2, longest)
    }
  }

  /** Stays with a run until it ends or the component is to stop. */
  async #attend(run: Run, signal: AbortSignal): Promise<void> {
    const over = new AbortController()
    const ended = run.ended.then((how) => {
      over.abort()
      return how
    })
    const live = AbortSignal.any([signal, over.signal])
    const deadline = Date.now() + this.spec.readyTimeoutMs
    while (!live.aborted) {
      const failure = await this.#probe(live)
      if (live.aborted) break
      if (failure === undefined) this.#set('ready')
      else if (this.#state === 'ready' || this.#state === 'unready') this.#set('unready', failure)
      else if (Date.now() > deadline) throw new Error(`not ready after ${this.spec.readyTimeoutMs / 1000} s: ${failure}`)
      else this.#message = failure
      await delay(failure === undefined ? probing.whenReadyEveryMs : probing.everyMs, undefined, { signal: live }).catch(() => undefined)
    }
    if (!signal.aborted) this.#set('waiting', await ended)
  }

  async #probe(signal: AbortSignal): Promise<string | undefined> {
    try {
      await this.spec.probe(AbortSignal.any([signal, AbortSignal.timeout(probing.timeoutMs)]))
      return undefined
    } catch (error) {
      return messageOf(error)
    }
  }

  async #spawn(command: Command, hash: string): Promise<Run> {
    await this.#endStrays()
    await this.#cgroups.ensure(this.spec.cgroup)
    await mkdir(dirname(this.spec.logFile), { recursive: true, mode: 0o700 })
    const log = await open(this.spec.logFile, 'a', 0o600)
    let child: ChildProcess
    let ended: Promise<string>
    try {
      child = spawn(
        '/bin/sh',
        ['-c', joinScript, 'join', ...this.#cgroups.joinFiles(this.spec.cgroup), '--', command.file, ...command.args],
        {
          detached: true,
          stdio: ['ignore', log.fd, log.fd],
          env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...command.env },
          cwd: '/',
        },
      )
      // Before anything waits: one that ends at once would have ended unseen.
      ended = endOf(child)
    } finally {
      await log.close()
    }
    const identity = child.pid === undefined ? undefined : await identify(child.pid)
    if (identity === undefined) throw new Error(await ended)
    child.unref()
    const startedAt = new Date()
    await writeAtomic(
      this.spec.recordFile,
      JSON.stringify({ ...identity, hash, startedAt: startedAt.toISOString(), restarts: this.#restarts }),
    )
    return { identity, startedAt, ended }
  }

  /** Takes over what an earlier daemon left running, when it is what would be started now; otherwise ends it. */
  async #adopt(hash: string): Promise<Run | undefined> {
    const recorded = await this.#recorded()
    if (recorded === undefined) return undefined
    if (recorded.hash !== hash) {
      await this.#end(recorded.identity)
      return undefined
    }
    this.#restarts = Math.max(this.#restarts, recorded.restarts)
    this.#log(`${this.spec.name}: took over process ${recorded.identity.pid}`)
    return { identity: recorded.identity, startedAt: new Date(recorded.startedAt), ended: untilGone(recorded.identity) }
  }

  /** The recorded process, when it lives and is ours. */
  async #recorded(): Promise<{ identity: ProcessIdentity; hash: string; startedAt: string; restarts: number } | undefined> {
    const record = await readJson(this.spec.recordFile, recordSchema).catch(() => undefined)
    if (record === undefined || !(await isAlive(record)) || (await commandLine(record.pid)).length === 0) return undefined
    if (!(await this.#cgroups.pids(this.spec.cgroup)).includes(record.pid)) return undefined
    const { pid, startTime, bootId, hash, startedAt, restarts } = record
    return { identity: { pid, startTime, bootId }, hash, startedAt, restarts }
  }

  async #end(identity: ProcessIdentity): Promise<void> {
    const target = await this.#target(identity.pid)
    const deadline = Date.now() + this.spec.stopTimeoutMs
    if (await isAlive(identity)) signalTo(target, 'SIGTERM')
    while ((await isAlive(identity)) && Date.now() < deadline) await delay(25)
    if (await isAlive(identity)) {
      signalTo(await this.#target(identity.pid), 'SIGKILL')
      if (target !== identity.pid) await delay(100)
      if (await isAlive(identity)) signalTo(identity.pid, 'SIGKILL')
    }
    while (await isAlive(identity)) await delay(25)
  }

  /** The child of a wrapper; the process itself otherwise. */
  async #target(pid: number): Promise<number> {
    if (this.spec.wrapped !== true) return pid
    return (await childrenOf(pid, await this.#cgroups.pids(this.spec.cgroup)))[0] ?? pid
  }

  /** Ends what an earlier run, or a daemon killed between starting and recording it, left in the group. */
  async #endStrays(): Promise<void> {
    const deadline = Date.now() + 10_000
    for (;;) {
      const pids = await this.#cgroups.pids(this.spec.cgroup)
      const strays: number[] = []
      for (const pid of pids) {
        if (this.spec.strays === undefined || (await executableOf(pid)) === this.spec.strays) strays.push(pid)
      }
      if (strays.length === 0) return
      if (Date.now() > deadline) throw new Error(`processes ${strays.join(', ')} of an earlier run do not end`)
      for (const pid of strays) signalTo(pid, 'SIGKILL')
      await delay(25)
    }
  }

  #set(state: ComponentState, message?: string): void {
    if (state === this.#state && message === this.#message) return
    this.#state = state
    this.#message = state === 'starting' ? this.#message : message
    for (const listener of [...this.#listeners]) listener()
  }

  async #changed(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#listeners.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.#listeners.add(done)
      signal.addEventListener('abort', done)
    })
  }
}

/** A process that this daemon did not start cannot be waited for, only looked at. */
async function untilGone(identity: ProcessIdentity): Promise<string> {
  while (await isAlive(identity)) await delay(pollMs, undefined, { ref: false })
  return 'ended'
}

/** Stands for what would run: the command, what it reads at start, and the very file. */
async function hashOf(command: Command): Promise<string> {
  const file = await realpath(command.file).catch(() => command.file)
  const held = await stat(file).catch(() => undefined)
  return createHash('sha256')
    .update(JSON.stringify([file, held?.size, held?.mtimeMs, command.args, command.env, command.fingerprint]))
    .digest('hex')
}
