import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { contentKey } from './content-key.ts'

describe('the content key', () => {
  it('is the same whatever the order of the parts', () => {
    expect(contentKey({ a: '1', b: '2' })).toBe(contentKey({ b: '2', a: '1' }))
  })

  it('changes with one changed byte, name or compiler', () => {
    const key = contentKey({ 'go.mod': 'module a', ' go': 'go1.26.8' })
    expect(contentKey({ 'go.mod': 'module b', ' go': 'go1.26.8' })).not.toBe(key)
    expect(contentKey({ 'go.sum': 'module a', ' go': 'go1.26.8' })).not.toBe(key)
    expect(contentKey({ 'go.mod': 'module a', ' go': 'go1.26.9' })).not.toBe(key)
  })

  it('never reads two different sets of parts the same', () => {
    const parts = fc.dictionary(fc.string(), fc.string(), { maxKeys: 4 })
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        const same = JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort())
        expect(contentKey(a) === contentKey(b)).toBe(same)
      }),
    )
    expect(contentKey({ a: '1:1:b=1:2' })).not.toBe(contentKey({ a: '1', b: '2' }))
  })
})
