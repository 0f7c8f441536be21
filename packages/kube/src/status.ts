import { KubeError, type KubeErrorCode, type StatusCause, type StatusDetails } from './error.ts'
import { isRecord } from './object.ts'

/** Reasons of `metav1.Status` (apimachinery, `metav1.StatusReason`). */
const byReason: ReadonlyMap<string, KubeErrorCode> = new Map([
  ['Unauthorized', 'Unauthorized'],
  ['Forbidden', 'Forbidden'],
  ['NotFound', 'NotFound'],
  ['AlreadyExists', 'AlreadyExists'],
  ['Conflict', 'Conflict'],
  ['Gone', 'Gone'],
  ['Expired', 'Gone'],
  ['Invalid', 'Invalid'],
  ['BadRequest', 'Invalid'],
  ['RequestEntityTooLarge', 'Invalid'],
  ['ServerTimeout', 'Timeout'],
  ['Timeout', 'Timeout'],
  ['TooManyRequests', 'TooManyRequests'],
  ['MethodNotAllowed', 'NotSupported'],
  ['NotAcceptable', 'NotSupported'],
  ['UnsupportedMediaType', 'NotSupported'],
  ['InternalError', 'ServerError'],
  ['ServiceUnavailable', 'ServerError'],
  ['StoreReadError', 'ServerError'],
])

const byStatus: ReadonlyMap<number, KubeErrorCode> = new Map([
  [400, 'Invalid'],
  [401, 'Unauthorized'],
  [403, 'Forbidden'],
  [405, 'NotSupported'],
  [406, 'NotSupported'],
  [408, 'Timeout'],
  [409, 'Conflict'],
  [410, 'Gone'],
  [413, 'Invalid'],
  [415, 'NotSupported'],
  [422, 'Invalid'],
  [429, 'TooManyRequests'],
  [504, 'Timeout'],
])

export interface FailedAnswer {
  /** What was tried, as the start of a sentence: `get Deployment default/web`. */
  readonly doing: string
  readonly status: number
  /** Header `Retry-After`, in seconds. */
  readonly retryAfter?: string | undefined
  readonly body: unknown
}

/**
 * Turns a refusal of the server into an error. A 404 is `NotFound` only where a Status says so of a named object;
 * any other 404 (a path that nobody serves, a proxy's page) is `BadResponse`, so that an outage never reads as absence.
 * Source: metav1.Status, API conventions "Response Status Kind".
 */
export function errorFromAnswer(answer: FailedAnswer): KubeError {
  const status = isStatus(answer.body) ? answer.body : undefined
  const details = status ? readDetails(status['details']) : undefined
  const said = typeof status?.['message'] === 'string' && status['message'] !== '' ? status['message'] : `HTTP status ${answer.status}`
  const code = codeOf(answer.status, status, details)
  const retryAfterMs = retryAfter(answer.retryAfter, status)
  return new KubeError(code, `Could not ${answer.doing}: ${clip(said)}${advice(code, said)}`, {
    status: answer.status,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(details === undefined ? {} : { details }),
    ...(code === 'Conflict' && isFieldConflict(details) ? { transient: false } : {}),
  })
}

/** The ERROR event of a watch carries a Status with the HTTP status inside. */
export function errorFromWatch(doing: string, object: unknown): KubeError {
  const status = isRecord(object) && typeof object['code'] === 'number' ? object['code'] : 500
  return errorFromAnswer({ doing, status, body: object })
}

/** True where a server-side apply met a field that another manager owns: only `force` or another manifest helps. */
export function isFieldConflict(details: StatusDetails | undefined): boolean {
  return details?.causes?.some((cause) => cause.reason === 'FieldManagerConflict') ?? false
}

/**
 * What the API server says of an apply whose content does not fit the schema: a Status 500 without a reason, like an ill server's.
 * Only its text tells it from one; where that changes, such an apply is tried again in vain, no more.
 */
const untypedPatch = /^failed to create typed patch object /

function codeOf(httpStatus: number, status: Record<string, unknown> | undefined, details: StatusDetails | undefined): KubeErrorCode {
  const reason = byReason.get(String(status?.['reason'] ?? ''))
  if (reason === 'NotFound' || (reason === undefined && httpStatus === 404)) return details?.name ? 'NotFound' : 'BadResponse'
  if (reason !== undefined) return reason
  if (httpStatus === 500 && !status?.['reason'] && untypedPatch.test(String(status?.['message'] ?? ''))) return 'Invalid'
  return byStatus.get(httpStatus) ?? (httpStatus >= 500 ? 'ServerError' : 'BadResponse')
}

function retryAfter(header: string | undefined, status: Record<string, unknown> | undefined): number | undefined {
  const details = status?.['details']
  const seconds =
    header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) : isRecord(details) ? details['retryAfterSeconds'] : undefined
  return typeof seconds === 'number' && seconds >= 0 ? seconds * 1000 : undefined
}

function readDetails(value: unknown): StatusDetails | undefined {
  if (!isRecord(value)) return undefined
  const text = (key: string) => (typeof value[key] === 'string' ? { [key]: value[key] } : {})
  const causes = Array.isArray(value['causes']) ? value['causes'].filter(isRecord).map(readCause) : undefined
  return { ...text('name'), ...text('kind'), ...text('group'), ...text('uid'), ...(causes ? { causes } : {}) }
}

function readCause(value: Record<string, unknown>): StatusCause {
  const text = (key: string, as: string) => (typeof value[key] === 'string' ? { [as]: value[key] } : {})
  return { ...text('reason', 'reason'), ...text('message', 'message'), ...text('field', 'field') }
}

function isStatus(value: unknown): value is Record<string, unknown> {
  return isRecord(value) && value['kind'] === 'Status'
}

function clip(text: string): string {
  const line = text.trim().replace(/[.\s]+$/, '')
  return line.length > 2000 ? `${line.slice(0, 2000)}…` : line
}

/** What the API server says where a webhook that must be asked does not answer. */
const webhookFailed = /failed calling webhook "/

function advice(code: KubeErrorCode, said: string): string {
  if (webhookFailed.test(said))
    return '. This webhook is no part of Muster. Repair what answers for it, or change its configuration (ValidatingWebhookConfiguration or MutatingWebhookConfiguration)'
  switch (code) {
    case 'Unauthorized':
      return '. Renew the credential of this kubeconfig or service account'
    case 'Forbidden':
      return '. Grant the right with a Role or ClusterRole'
    case 'BadResponse':
      return '. Check that the address is that of an API server and that the API group is installed'
    default:
      return ''
  }
}
