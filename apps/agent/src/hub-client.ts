import { X509Certificate } from 'node:crypto'
import { Agent, type AgentOptions, type RequestOptions, request } from 'node:https'
import { type ClusterReport, type Heartbeat, type ReportAnswer, reportAnswerSchema } from '@muster/api'
import * as z from 'zod'
import { AgentError } from './error.ts'

/** Where the hub is and by what its certificate is checked. */
export interface HubAddress {
  readonly url: string
  /** Certificates of the hub's authority, PEM. */
  readonly ca: string
}

/** The cluster's certificate and key, PEM. */
export interface ClientIdentity {
  readonly certificate: string
  readonly privateKey: string
}

const registrySchema = z.object({
  host: z.string().min(1).max(261),
  ca: z.string().max(65_536).optional(),
  username: z.string().max(255).optional(),
  password: z.string().max(4096).optional(),
})
export type RegistryAccess = z.infer<typeof registrySchema>

const certificate = z.string().min(1).max(65_536)
const joinedSchema = z.object({ certificate, registry: registrySchema, channelRepository: z.string().min(1).max(255) })
export type Joined = z.infer<typeof joinedSchema>
const maxAuthorities = 8
/** A bundle of authorities (PEM): each a certificate of an authority, and few. */
const authorities = z
  .string()
  .max(65_536)
  .refine((bundle) => {
    const found = bundle.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
    try {
      return found.length > 0 && found.length <= maxAuthorities && found.every((pem) => new X509Certificate(pem).ca)
    } catch {
      return false
    }
  }, 'not certificates of authorities')
/** What may have changed since the cluster joined comes with each renewal. */
const renewedSchema = z.object({
  certificate,
  hubCa: authorities.optional(),
  registry: registrySchema.optional(),
  channelRepository: z.string().min(1).max(255).optional(),
})
export type Renewed = z.infer<typeof renewedSchema>
const refusalSchema = z.object({ code: z.string().max(64), message: z.string().max(2000) })

/** Reads access to the registry as it was stored. */
export function parseRegistryAccess(text: string): RegistryAccess {
  return registrySchema.parse(JSON.parse(text))
}

const maxAnswerBytes = 256 * 1024
const timeoutMs = 15_000

/** What the agent asks of the hub. Each call has a deadline, and none is repeated here: the caller knows how long to wait. */
export class HubClient {
  readonly #address: HubAddress
  readonly #userAgent: string
  /** Those of the identity that reported last: a renewed one begins new ones. */
  #connections: { readonly of: ClientIdentity; readonly agent: Agent } | undefined

  constructor(address: HubAddress, userAgent: string) {
    this.#address = address
    this.#userAgent = userAgent
  }

  /** @throws AgentError `HubUnreachable`, `HubRefused`, `HubBadResponse` */
  async join(
    body: { readonly cluster: string; readonly token: string; readonly csr: string; readonly agentVersion: string },
    signal: AbortSignal,
  ): Promise<Joined> {
    return this.#parse(joinedSchema, await this.#post('/v1/join', body, this.#once(undefined), signal))
  }

  /** @throws AgentError `HubUnreachable`, `HubRefused`, `HubBadResponse` */
  async renew(cluster: string, csr: string, identity: ClientIdentity, signal: AbortSignal): Promise<Renewed> {
    return this.#parse(
      renewedSchema,
      await this.#post(`/v1/clusters/${encodeURIComponent(cluster)}/renew`, { csr }, this.#once(identity), signal),
    )
  }

  /** @throws AgentError `HubUnreachable`, `HubRefused`, `HubBadResponse` */
  async report(report: ClusterReport, identity: ClientIdentity, signal: AbortSignal): Promise<ReportAnswer> {
    return this.#tell('report', report, identity, signal)
  }

  /**
   * Says that a report still holds. Undefined: the hub does not know it, or no heartbeats at all; the next report goes in full.
   * @throws AgentError `HubUnreachable`, `HubBadResponse`
   */
  async heartbeat(heartbeat: Heartbeat, identity: ClientIdentity, signal: AbortSignal): Promise<ReportAnswer | undefined> {
    try {
      return await this.#tell('heartbeat', heartbeat, identity, signal)
    } catch (error) {
      // Whatever it refuses besides, it will refuse the report in full too, and say why.
      if (error instanceof AgentError && error.code === 'HubRefused') return undefined
      throw error
    }
  }

  async #tell(
    what: 'report' | 'heartbeat',
    body: ClusterReport | Heartbeat,
    identity: ClientIdentity,
    signal: AbortSignal,
  ): Promise<ReportAnswer> {
    if (this.#connections?.of !== identity) {
      this.close()
      this.#connections = { of: identity, agent: new Agent({ keepAlive: true, maxFreeSockets: 1, ...this.#tls(identity) }) }
    }
    const { agent } = this.#connections
    const text = await this.#post(`/v1/clusters/${encodeURIComponent(body.cluster)}/${what}`, body, { agent }, signal)
    return text === '' ? {} : this.#parse(reportAnswerSchema, text)
  }

  #parse<T>(schema: z.ZodType<T>, text: string): T {
    try {
      return schema.parse(JSON.parse(text))
    } catch (cause) {
      throw new AgentError('HubBadResponse', `The hub at ${this.#address.url} answered in a form that this agent does not know.`, cause)
    }
  }

  /** A connection for one call. */
  #once(identity: ClientIdentity | undefined): RequestOptions {
    return { ...this.#tls(identity), agent: false }
  }

  /** Ends the connections that are kept. */
  close(): void {
    this.#connections?.agent.destroy()
    this.#connections = undefined
  }

  #tls(identity: ClientIdentity | undefined): AgentOptions {
    const { ca } = this.#address
    return { ca, ...(identity === undefined ? {} : { cert: identity.certificate, key: identity.privateKey }), minVersion: 'TLSv1.2' }
  }

  async #post(path: string, body: unknown, connection: RequestOptions, signal: AbortSignal): Promise<string> {
    const { url } = this.#address
    const target = new URL(path, url)
    const limited = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
      const fail = (cause: unknown): void => {
        const why = cause instanceof Error ? cause.message : String(cause)
        reject(
          signal.aborted ? signal.reason : new AgentError('HubUnreachable', `The hub at ${target.host} does not answer: ${why}.`, cause),
        )
      }
      const payload = Buffer.from(JSON.stringify(body))
      const call = request(
        target,
        {
          method: 'POST',
          ...connection,
          headers: { 'content-type': 'application/json', 'content-length': payload.length, 'user-agent': this.#userAgent },
          signal: limited,
        },
        (answer) => {
          const chunks: Buffer[] = []
          let size = 0
          answer.on('data', (chunk: Buffer) => {
            size += chunk.length
            if (size > maxAnswerBytes) answer.destroy(new Error(`its answer is larger than ${maxAnswerBytes} bytes`))
            else chunks.push(chunk)
          })
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }))
          answer.on('error', fail)
        },
      )
      call.on('error', fail)
      call.end(payload)
    })
    if (status >= 200 && status < 300) return text
    throw refused(target, status, text)
  }
}

function refused(target: URL, status: number, text: string): AgentError {
  let said = `status ${status}`
  let refusal: string | undefined
  try {
    const { code, message } = refusalSchema.parse(JSON.parse(text))
    said = `${code}: ${message}`
    refusal = code
  } catch {
    // Not in the API's form, so it comes from something in between; the status says enough.
  }
  const passing = status >= 500 || status === 429 || status === 408
  return new AgentError(
    passing ? 'HubUnreachable' : 'HubRefused',
    `The hub at ${target.host} refused ${target.pathname} (${said}).`,
    undefined,
    refusal,
  )
}
