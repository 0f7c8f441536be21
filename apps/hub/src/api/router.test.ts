import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ApiError } from './errors.ts'
import { match, type Route } from './router.ts'

const handle = async () => ({})
const routes: Route[] = [
  { method: 'GET', path: '/healthz', handle },
  { method: 'POST', path: '/v1/clusters/:name/report', handle },
]

describe('a path', () => {
  it('finds its route, with the names in it decoded and the query left out', () => {
    expect(match(routes, 'GET', '/healthz?verbose')).toMatchObject({ route: routes[0], params: {} })
    expect(match(routes, 'POST', '/v1/clusters/al%2Fpha/report').params).toEqual({ name: 'al/pha' })
  })

  it('that is not there, or not for this method, is refused as such', () => {
    for (const path of ['/', '/healthz/', '/v1/clusters//report', '/v1/clusters/%zz/report', '/v1/clusters/a/b/report'])
      expect(() => match(routes, 'GET', path)).toThrow(expect.objectContaining({ code: 'NotFound' }))
    expect(() => match(routes, 'POST', '/healthz')).toThrow(expect.objectContaining({ code: 'MethodNotAllowed' }))
  })

  it('of any kind never crashes', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (method, path) => {
        expect(() => match(routes, method, `/v1/${path}`)).toThrow(ApiError)
      }),
    )
  })
})
