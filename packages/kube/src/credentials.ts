import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import type { Clock } from './clock.ts'
import type { ClientConfig, PemSource } from './config.ts'
import { KubeError } from './error.ts'
import { type PluginCredential, runPlugin } from './exec-plugin.ts'

/** Files are looked at again after this time, in milliseconds. The kubelet renews tokens at 80 % of their life. */
const refreshMs = 60_000
/** A plugin is asked again this long before its credential ends. */
const earlyMs = 10_000
/** A PEM or token file is never larger than this, in bytes. */
const fileLimit = 1024 * 1024

/** What goes into a connection and a request. */
export interface Material {
  readonly ca?: string
  readonly certificate?: string
  readonly key?: string
  /** Value of the header `Authorization`. */
  readonly authorization?: string
}

/** Keeps the client's secrets fresh. They are read when first needed, and again when they may have changed. */
export class Credentials {
  readonly #config: ClientConfig
  readonly #clock: Clock
  readonly #reread: (() => Promise<ClientConfig>) | undefined
  /** What is used now, also while a renewal is not whole yet. */
  #material: Material | undefined
  #plugin: PluginCredential | undefined
  #readAt = 0
  #stale = false
  #reading: Promise<Material> | undefined

  constructor(config: ClientConfig, clock: Clock, reread?: () => Promise<ClientConfig>) {
    this.#config = config
    this.#clock = clock
    this.#reread = reread
  }

  /** Throws `Config` where a file cannot be read, `Unauthorized` where a plugin gives nothing. */
  async current(): Promise<Material> {
    if (this.#material && !this.#stale && this.#clock.now() - this.#readAt < refreshMs && !this.#pluginEnds()) return this.#material
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    return await this.#reading
  }

  /** After a refusal: the next `current` reads everything again. False where that cannot change anything. */
  refresh(): boolean {
    const { ca, user } = this.#config
    this.#stale = true
    this.#plugin = undefined
    const inFiles = [ca, user?.certificate, user?.key].some((source) => source !== undefined && 'file' in source)
    return inFiles || user?.tokenFile !== undefined || user?.exec !== undefined || this.#reread !== undefined
  }

  async #read(): Promise<Material> {
    let next: Material
    try {
      next = await this.#gather((await this.#reread?.()) ?? this.#config)
      if (!this.#plugin?.certificate) checkPair(next)
    } catch (error) {
      // somebody may be writing just now: what was good a moment ago is used on, and the files are looked at again next time
      if (this.#material && !this.#stale && error instanceof KubeError && error.code === 'Config') return this.#material
      throw error
    }
    this.#readAt = this.#clock.now()
    this.#stale = false
    this.#material = next
    return next
  }

  async #gather({ ca: authority, user }: ClientConfig): Promise<Material> {
    const ca = await readPem(authority)
    if (user?.exec && (!this.#plugin || this.#pluginEnds())) this.#plugin = await runPlugin(user.exec, { server: this.#config.server, ca })
    const certificate = this.#plugin?.certificate ?? (await readPem(user?.certificate))
    const key = this.#plugin?.key ?? (await readPem(user?.key))
    const token = this.#plugin?.token ?? (user?.tokenFile ? (await readSecret(user.tokenFile)).trim() : user?.token)
    const authorization = token ? `Bearer ${token}` : user?.username !== undefined ? basic(user.username, user.password ?? '') : undefined
    return {
      ...(ca === undefined ? {} : { ca }),
      ...(certificate === undefined ? {} : { certificate }),
      ...(key === undefined ? {} : { key }),
      ...(authorization === undefined ? {} : { authorization }),
    }
  }

  #pluginEnds(): boolean {
    const ends = this.#plugin?.expiresAt
    return ends !== undefined && ends - earlyMs <= this.#clock.date().getTime()
  }
}

/** A certificate and a key that are not of one pair: one of the two files is not renewed yet. */
function checkPair({ certificate, key }: Material): void {
  if (certificate === undefined || key === undefined) return
  let belong: boolean
  try {
    belong = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))
  } catch (cause) {
    throw new KubeError('Config', 'The client certificate or its key cannot be read. Check that both are PEM.', { cause })
  }
  if (!belong) throw new KubeError('Config', 'The client certificate and its key do not belong together. Renew both.')
}

function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

async function readPem(source: PemSource | undefined): Promise<string | undefined> {
  if (source === undefined) return undefined
  return 'pem' in source ? source.pem : await readSecret(source.file)
}

async function readSecret(file: string): Promise<string> {
  try {
    const { size } = await stat(file)
    if (size > fileLimit) throw new RangeError(`larger than ${fileLimit} bytes`)
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new KubeError('Config', `Could not read the credential file ${file}. Check that it exists and that you may read it.`, { cause })
  }
}
