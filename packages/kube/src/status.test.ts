import { describe, expect, it } from 'vitest'
import { errorFromAnswer, errorFromWatch } from './status.ts'
import { statusObject } from './testing/fake-api-server.ts'

const from = (status: number, body: unknown, retryAfter?: string) =>
  errorFromAnswer({ doing: 'get ConfigMap default/a', status, body, retryAfter })

describe('an answer that refuses', () => {
  it.each([
    [401, 'Unauthorized', 'Unauthorized', false],
    [403, 'Forbidden', 'Forbidden', false],
    [409, 'AlreadyExists', 'AlreadyExists', false],
    [409, 'Conflict', 'Conflict', true],
    [410, 'Expired', 'Gone', true],
    [422, 'Invalid', 'Invalid', false],
    [400, 'BadRequest', 'Invalid', false],
    [405, 'MethodNotAllowed', 'NotSupported', false],
    [429, 'TooManyRequests', 'TooManyRequests', true],
    [500, 'InternalError', 'ServerError', true],
    [503, 'ServiceUnavailable', 'ServerError', true],
    [504, 'Timeout', 'Timeout', true],
    [500, 'SomethingNew', 'ServerError', true],
    [418, 'SomethingNew', 'BadResponse', false],
  ])('%i %s becomes %s', (status, reason, code, transient) => {
    expect(from(status, statusObject(status, reason))).toMatchObject({ code, transient, status })
  })

  it('is NotFound only where the server says it of a named object', () => {
    expect(from(404, statusObject(404, 'NotFound', { details: { name: 'a', kind: 'configmaps' } })).code).toBe('NotFound')
    expect(from(404, statusObject(404, 'NotFound')).code).toBe('BadResponse')
    expect(from(404, '404 page not found').code).toBe('BadResponse')
    expect(from(404, '<html>proxy</html>').code).toBe('BadResponse')
  })

  it('is Invalid where an applied object does not fit its schema, though the server calls that an error of its own', () => {
    const message = 'failed to create typed patch object (default/a; /v1, Kind=ConfigMap): .dta: field not declared in schema'
    expect(from(500, { kind: 'Status', code: 500, message })).toMatchObject({ code: 'Invalid', transient: false })
    expect(from(500, { kind: 'Status', code: 500, message: 'etcdserver: leader changed' })).toMatchObject({
      code: 'ServerError',
      transient: true,
    })
  })

  it('keeps how long to wait, from the header or the Status', () => {
    expect(from(429, '', '3').retryAfterMs).toBe(3000)
    expect(from(429, statusObject(429, 'TooManyRequests', { details: { retryAfterSeconds: 2 } })).retryAfterMs).toBe(2000)
    expect(from(429, '', 'Wed, 21 Oct 2026 07:28:00 GMT').retryAfterMs).toBeUndefined()
  })

  it('tells a conflict over fields, which trying again cannot solve, with its causes', () => {
    const causes = [{ reason: 'FieldManagerConflict', message: 'conflict with "kubectl"', field: '.data.x' }]
    const error = from(409, statusObject(409, 'Conflict', { details: { name: 'a', causes } }))
    expect(error).toMatchObject({ code: 'Conflict', transient: false, details: { causes } })
  })

  it('says what was tried and what the server said', () => {
    expect(from(422, statusObject(422, 'Invalid')).message).toBe('Could not get ConfigMap default/a: it is Invalid')
  })

  it('takes the code of an ERROR event from the Status inside', () => {
    expect(errorFromWatch('watch ConfigMap', statusObject(410, 'Expired')).code).toBe('Gone')
    expect(errorFromWatch('watch ConfigMap', 'what').code).toBe('ServerError')
  })
})
