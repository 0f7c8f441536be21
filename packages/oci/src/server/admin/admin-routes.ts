import * as z from 'zod'
import { OciError } from '../../errors.ts'
import type { Principal } from '../access/principal.ts'
import { newTokenSchema, type Tokens } from '../access/tokens.ts'
import type { Collected } from '../collector.ts'
import { Refusal } from '../refusal.ts'
import type { Mirrors } from '../replication/mirrors.ts'
import type { AuditLog } from '../upkeep/audit.ts'
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
    await handle(admin, visit, call, decodeURIComponent(name))
  } catch (error) {
    if (!(error instanceof OciError)) throw error
    throw new Refusal(error.code === 'Storage' ? 500 : 409, 'UNSUPPORTED', error.message)
  }
}

async function handle(admin: Admin, visit: Visit, call: string, name: string): Promise<void> {
  switch (call) {
    case 'GET usage':
      return answerJson(visit, {}, await admin.usage())
    case 'POST gc':
      return answerJson(visit, {}, await admin.collectGarbage())
    case 'POST retain':
      return answerJson(visit, {}, await admin.retain(await body(visit, retainSchema)))
    case 'GET tokens':
      return answerJson(visit, {}, { tokens: admin.tokens.list() })
    case 'POST tokens':
      return answerJson(visit, {}, await admin.tokens.create(await body(visit, newTokenSchema)))
    case 'DELETE tokens/*':
      if (!(await admin.tokens.revoke(name))) throw new Refusal(404, 'NAME_UNKNOWN', 'there is no such token')
      return answer(visit, 204, {})
    case 'GET mirrors':
      return answerJson(visit, {}, { mirrors: admin.mirrors.list() })
    case 'POST mirrors/*/run':
      if (!admin.mirrors.start(name)) throw new Refusal(404, 'NAME_UNKNOWN', 'there is no such mirror in the settings')
      return answer(visit, 202, {})
    case 'GET audit': {
      const limit = Number(visit.query.get('limit') ?? 100)
      if (!Number.isInteger(limit) || limit < 1 || limit > maximumAudit)
        throw new Refusal(400, 'UNSUPPORTED', `limit is a number up to ${maximumAudit}`)
      return answerJson(visit, {}, { records: await admin.audit.tail(limit) })
    }
    default:
      if (visit.method === 'GET' || visit.method === 'POST' || visit.method === 'DELETE')
        throw new Refusal(404, 'UNSUPPORTED', 'no such endpoint')
      throw methodNotAllowed('GET, POST, DELETE')
  }
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
