import * as z from 'zod'
import { OciError } from '../../errors.ts'
import type { Principal } from '../access/principal.ts'
import { newTokenSchema, type Tokens } from '../access/tokens.ts'
import type { Collected } from '../collector.ts'
import { Refusal } from '../refusal.ts'
import type { Mirrors } from '../replication/mirrors.ts'
import type { AuditLog, AuditRecord } from '../upkeep/audit.ts'
import type { QuotaUsage } from '../upkeep/quotas.ts'
import type { Retained } from '../upkeep/retention.ts'
import type { Need, RetentionRule } from '../upkeep/retention-plan.ts'
import { retentionRulesSchema } from '../upkeep/retention-rules.ts'
import type { Usage } from '../upkeep/usage.ts'
import { answer, answerJson, methodNotAllowed, readRequest, type Visit } from '../visit.ts'

/** What the administrator's paths stand on. */
export interface Admin {
  readonly tokens: Tokens
  readonly mirrors: Mirrors
  readonly audit: AuditLog
  readonly now: () => number
  usage(): Promise<Usage & { readonly quotas: readonly QuotaUsage[] }>
  collectGarbage(): Promise<Collected>
  retain(call: { rules: readonly RetentionRule[]; needed: readonly Need[]; dryRun: boolean }): Promise<Retained>
  /** Brings up to date what is measured rather than counted. */
  refreshMetrics(): Promise<void>
}

const maximumBody = 8 * 1024 * 1024
const maximumAudit = 10_000
const retainSchema = z.strictObject({
  rules: retentionRulesSchema,
  needed: z.array(z.strictObject({ digest: z.string().regex(/^sha256:[0-9a-f]{64}$/), why: z.string().max(500) })).max(50_000),
  dryRun: z.boolean(),
})

/** `/_muster/v1/…`: what keeps a registry in order. For administrators only. */
export async function serveAdmin(admin: Admin, visit: Visit, path: string, principal: Principal): Promise<void> {
  if (!principal.admin) throw new Refusal(403, 'DENIED', `${principal.name} is no administrator of this registry`)
  const [what = '', name = '', more = ''] = path.replace(/^\/_muster\/v1\//, '').split('/')
  const call = `${visit.method} ${[what, name && '*', more].filter((part) => part !== '').join('/')}`
  try {
    const done = await handle(admin, visit, call, name)
    const from = visit.request.socket.remoteAddress ?? ''
    if (done !== undefined) admin.audit.record({ time: new Date(admin.now()).toISOString(), who: principal.name, from, ...done })
  } catch (error) {
    if (!(error instanceof OciError)) throw error
    throw new Refusal(409, 'UNSUPPORTED', error.message)
  }
}

/** What of it is a change, for the audit. */
async function handle(admin: Admin, visit: Visit, call: string, name: string): Promise<Pick<AuditRecord, 'action' | 'detail'> | undefined> {
  switch (call) {
    case 'GET usage':
      answerJson(visit, {}, await admin.usage())
      return undefined
    case 'POST gc': {
      const collected = await admin.collectGarbage()
      answerJson(visit, {}, collected)
      return { action: 'collect garbage', detail: `${collected.removed} pieces, ${collected.bytes} bytes` }
    }
    case 'POST retain': {
      const retained = await admin.retain(await body(visit, retainSchema))
      answerJson(visit, {}, retained)
      return retained.done ? { action: 'retain', detail: `${retained.remove.length} repositories changed` } : undefined
    }
    case 'GET tokens':
      answerJson(visit, {}, { tokens: admin.tokens.list() })
      return undefined
    case 'POST tokens': {
      const created = await admin.tokens.create(await body(visit, newTokenSchema))
      answerJson(visit, {}, created)
      return { action: 'create token', detail: `${created.record.name}: ${created.record.scopes.join(' ')}` }
    }
    case 'DELETE tokens/*':
      if (!(await admin.tokens.revoke(name))) throw new Refusal(404, 'NAME_UNKNOWN', 'there is no such token')
      answer(visit, 204, {})
      return { action: 'revoke token', detail: name }
    case 'GET mirrors':
      answerJson(visit, {}, { mirrors: admin.mirrors.list() })
      return undefined
    case 'POST mirrors/*/run':
      if (!admin.mirrors.start(name)) throw new Refusal(404, 'NAME_UNKNOWN', 'there is no such mirror in the settings')
      answer(visit, 202, {})
      return { action: 'run mirror', detail: name }
    case 'GET audit':
      answerJson(visit, {}, { records: await admin.audit.tail(limitOf(visit)) })
      return undefined
    default:
      if (['GET', 'POST', 'DELETE'].includes(visit.method)) throw new Refusal(404, 'UNSUPPORTED', 'no such endpoint')
      throw methodNotAllowed('GET, POST, DELETE')
  }
}

function limitOf({ query }: Visit): number {
  const limit = Number(query.get('limit') ?? 100)
  if (Number.isInteger(limit) && limit >= 1 && limit <= maximumAudit) return limit
  throw new Refusal(400, 'UNSUPPORTED', `limit is a number up to ${maximumAudit}`)
}

async function body<T>(visit: Visit, schema: z.ZodType<T>): Promise<T> {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder().decode(await readRequest(visit, maximumBody)))
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw new Refusal(400, 'UNSUPPORTED', 'the request is not JSON')
  }
  const read = schema.safeParse(json)
  if (!read.success) throw new Refusal(400, 'UNSUPPORTED', z.prettifyError(read.error).slice(0, 2000))
  return read.data
}
