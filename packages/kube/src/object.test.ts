import { describe, expect, it } from 'vitest'
import { describe as called, groupOf, isObject, keyOf, parseKey, refOf } from './object.ts'

describe('an object', () => {
  it('has a key that can be taken apart again', () => {
    expect(keyOf({ metadata: { namespace: 'a', name: 'b' } })).toBe('a/b')
    expect(keyOf({ metadata: { name: 'b' } })).toBe('b')
    expect(parseKey('a/b')).toEqual({ namespace: 'a', name: 'b' })
    expect(parseKey('b')).toEqual({ name: 'b' })
  })

  it('is named and called as people know it', () => {
    const object = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace: 'a', uid: 'u' } }
    expect(refOf(object)).toEqual({ apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', namespace: 'a' })
    expect(called(refOf(object))).toBe('Deployment a/web')
    expect([groupOf('apps/v1'), groupOf('v1')]).toEqual(['apps', ''])
  })

  it('is told from anything else', () => {
    for (const value of [null, 1, 'x', [], {}, { metadata: null }, { metadata: { name: 1 } }]) expect(isObject(value)).toBe(false)
  })
})
