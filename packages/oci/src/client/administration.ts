import { once } from '../artifact.ts'
import type { CallOptions } from '../content.ts'
import { OciError } from '../errors.ts'
import type { NewToken, TokenRecord } from '../server/access/tokens.ts'
import type { Collected } from '../server/collector.ts'
import type { MirrorEntry } from '../server/replication/mirror-status.ts'
import type { AuditRecord } from '../server/upkeep/audit.ts'
import type { QuotaUsage } from '../server/upkeep/quotas.ts'
import type { Retained } from '../server/upkeep/retention.ts'
import type { Need, RetentionRule } from '../server/upkeep/retention-plan.ts'
import type { Usage } from '../server/upkeep/usage.ts'
import { readAll, type Transport } from './transport.ts'

const maximumAnswer = 256 * 1024 * 1024

/** The administrator's side of Muster's own registry. Made by `Registry.administration`; every call throws OciError. */
export class Administration {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  usage(options: CallOptions = {}): Promise<Usage & { readonly quotas: readonly QuotaUsage[] }> {
    return this.#call('GET', 'usage', undefined, options)
  }

  collectGarbage(options: CallOptions = {}): Promise<Collected> {
    return this.#call('POST', 'gc', {}, options)
  }

  /** Removes, or with `dryRun` tells, what rules let go and nothing needs. */
  retain(
    call: { readonly rules: readonly RetentionRule[]; readonly needed: readonly Need[]; readonly dryRun: boolean },
    options: CallOptions = {},
  ): Promise<Retained> {
    return this.#call('POST', 'retain', call, options)
  }

  async tokens(options: CallOptions = {}): Promise<readonly TokenRecord[]> {
    return (await this.#call<{ tokens: TokenRecord[] }>('GET', 'tokens', undefined, options)).tokens
  }

  /** The token's text is told this once. */
  createToken(wanted: NewToken, options: CallOptions = {}): Promise<{ readonly token: string; readonly record: TokenRecord }> {
    return this.#call('POST', 'tokens', wanted, options)
  }

  /** False: there was none of this name. */
  async revokeToken(name: string, options: CallOptions = {}): Promise<boolean> {
    return this.#found(this.#call('DELETE', `tokens/${encodeURIComponent(name)}`, undefined, options))
  }

  async mirrors(options: CallOptions = {}): Promise<readonly MirrorEntry[]> {
    return (await this.#call<{ mirrors: MirrorEntry[] }>('GET', 'mirrors', undefined, options)).mirrors
  }

  /** Begins a run, or joins the one that goes on. False: there is no mirror of this name. */
  async runMirror(name: string, options: CallOptions = {}): Promise<boolean> {
    return this.#found(this.#call('POST', `mirrors/${encodeURIComponent(name)}/run`, {}, options))
  }

  /** The newest records, oldest first. */
  async audit(limit: number, options: CallOptions = {}): Promise<readonly AuditRecord[]> {
    return (await this.#call<{ records: AuditRecord[] }>('GET', `audit?limit=${limit}`, undefined, options)).records
  }

  async #found(call: Promise<unknown>): Promise<boolean> {
    try {
      await call
      return true
    } catch (error) {
      if (error instanceof OciError && error.code === 'NotFound') return false
      throw error
    }
  }

  async #call<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body: unknown, { signal }: CallOptions): Promise<T> {
    const bytes = body === undefined ? undefined : new TextEncoder().encode(JSON.stringify(body))
    const sent = bytes === undefined ? {} : { body: { length: bytes.length, open: () => once(bytes) } }
    return this.#transport.call(
      { method, to: `/_muster/v1/${path}`, scope: '', accept: [200, 202, 204], signal, ...sent },
      async (answer) => {
        const text = new TextDecoder().decode(await readAll(answer, maximumAnswer))
        // The registry is ours, and was authenticated: its answers are in our own form.
        return (text === '' ? undefined : JSON.parse(text)) as T
      },
    )
  }
}
