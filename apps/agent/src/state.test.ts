import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatState, parseState } from './state.ts'

describe('what the agent remembers', () => {
  it('is read as it was stored', () => {
    fc.assert(
      fc.property(fc.nat(), fc.uint8Array({ maxLength: 2_000 }), fc.string(), (generation, channel, root) => {
        const state = { generation, digest: 'sha256:x', root, channel: new Uint8Array(channel) }
        expect(parseState(formatState(state, 'muster-system'))).toEqual(state)
      }),
    )
  })

  it('is read without a channel, before the first', () => {
    expect(parseState(formatState({ generation: 0, root: '{}' }, 'muster-system'))).toEqual({ generation: 0, root: '{}' })
  })

  it.each([
    ['no generation', { 'root.json': '{}' }, {}],
    ['a generation that is no number', { generation: '-1', 'root.json': '{}' }, {}],
    ['no root', { generation: '3' }, {}],
    ['a channel that does not unpack', { generation: '3', 'root.json': '{}' }, { 'channel.json.gz': 'AAAA' }],
  ])('is not used when someone left %s in it', (_title, data, binaryData) => {
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'muster-agent-state' }, data, binaryData }
    expect(() => parseState(object)).toThrowError(expect.objectContaining({ code: 'StateUnreadable' }))
  })

  it('is refused when it does not fit into the cluster’s storage', () => {
    const channel = new Uint8Array(randomBytes(1024 * 1024))
    expect(() => formatState({ generation: 1, root: '{}', channel }, 'x')).toThrowError(expect.objectContaining({ code: 'StateTooLarge' }))
  })
})
