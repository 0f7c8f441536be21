import { describe, expect, it } from 'vitest'
import { thereAre } from './unknown-release.ts'

describe('a release that is not there', () => {
  it.each([
    ['shpo', ['api', 'shop', 'web'], 'Is it shop? It has: shop, api, web.'],
    ['podinfo', ['pod-info', 'podinfos', 'api'], 'Is it pod-info or podinfos? It has: pod-info, podinfos, api.'],
    ['front', ['frontend', 'back'], 'Is it frontend? It has: frontend, back.'],
    ['db', ['web', 'api'], 'It has: api, web.'],
    ['db', [], 'It has none.'],
  ])('%s, is told with those of %j that there are, the near ones first', (name, names, text) => {
    expect(thereAre(name, names)).toBe(text)
  })

  it('is told with a few of very many', () => {
    const names = Array.from({ length: 100 }, (_, at) => `release-${at}`)
    expect(thereAre('other', names)).toMatch(/, release-26 and 80 more\.$/)
  })
})
