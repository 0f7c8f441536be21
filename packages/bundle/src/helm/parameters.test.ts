import { describe, expect, it } from 'vitest'
import type { Chart } from './chart.ts'
import { documentValues } from './parameters.ts'

const chart = (valuesText: string, more: Partial<Chart> = {}): Chart => ({
  dir: '',
  name: 'app',
  version: '1.0.0',
  valuesText,
  asksForTime: false,
  ...more,
})

describe("a chart's values", () => {
  it('become parameters with type, default, what is set, and the comment that belongs to them', () => {
    const text = `# A page of introduction

# -- how many
# of them
replicas: 1
empty: # said behind
after:
# of the one below
port: 80
image:
  # where it is
  repository: registry.example/app
  #   tag: no
  tag: "1" # the newest
lists: [a]
maps: {}
"a.b": true
ratio: 0.5
`
    expect(documentValues(chart(text), { replicas: 3, image: { tag: '1' } }).parameters).toEqual([
      { name: 'replicas', type: 'integer', default: 1, value: 3, description: 'how many\nof them' },
      { name: 'empty', type: 'any', description: 'said behind' },
      { name: 'after', type: 'any' },
      { name: 'port', type: 'integer', default: 80, description: 'of the one below' },
      { name: 'image.repository', type: 'string', default: 'registry.example/app', description: 'where it is' },
      { name: 'image.tag', type: 'string', default: '1', description: 'tag: no' },
      { name: 'lists', type: 'array', default: ['a'] },
      { name: 'maps', type: 'object', default: {} },
      { name: '"a.b"', type: 'boolean', default: true },
      { name: 'ratio', type: 'number', default: 0.5 },
    ])
  })

  it('have the schema of the chart, or one made of them', () => {
    const schema = { type: 'object', required: ['a'] }
    expect(documentValues(chart('a: 1', { schema }), {})).toMatchObject({ schema, schemaFrom: 'values.schema.json' })
    expect(documentValues(chart('a: 1\nb: {c: [1], d: {}}\ne:\n'), {})).toMatchObject({
      schema: {
        type: 'object',
        properties: { a: { type: 'integer' }, b: { type: 'object', properties: { c: { type: 'array' }, d: {} } }, e: {} },
      },
      schemaFrom: 'values.yaml',
    })
    expect(documentValues(chart(''), {})).toMatchObject({ parameters: [] })
  })

  it('are bounded', () => {
    const { parameters } = documentValues(
      chart(`long: ${'x'.repeat(5000)}\n${Array.from({ length: 6000 }, (_, at) => `k${at}: 1\n`).join('')}`),
      {},
    )
    expect(parameters).toHaveLength(5000)
    expect(parameters[0]?.default).toBe('… (5002 characters)')
    expect(() => documentValues(chart(`${'a: {'.repeat(1)}${'x: {'.repeat(200)}${'}'.repeat(201)}`), {})).toThrow('nested')
    expect(() => documentValues(chart('a: 1\na: 2\n'), {})).toThrow('twice')
  })
})
