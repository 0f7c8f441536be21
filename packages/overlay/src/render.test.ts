import { readDocuments } from '@muster/bundle'
import { describe, expect, it } from 'vitest'
import { customize } from './customize.ts'
import { renderYaml, withoutSecrets } from './render.ts'

const objects = [
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web' },
    spec: { replicas: 1, template: { spec: { containers: [{ name: 'a', args: ['yes', '0644', 'two\nlines\n'] }] } } },
  },
  { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'web' }, data: { own: 'c2VjcmV0' }, stringData: { more: 'secret' } },
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'web' }, data: { url: '' } },
]
const made = () =>
  customize(objects, {
    parameters: [
      {
        name: 'password',
        schema: { type: 'string' },
        secret: true,
        set: [{ target: { kind: 'ConfigMap' }, path: 'data.url', template: 'postgres://x:$(value)@db' }],
      },
    ],
    sealed: { password: 'hunter2' },
    layers: [{ name: 'bravo', level: 'cluster', overlay: { replicas: [{ name: 'web', count: 3 }], annotations: { a: 'on' } } }],
    namespace: 'shop',
  }).objects

describe('what is rendered', () => {
  it('says beside each field what made it', () => {
    const text = renderYaml(made())
    expect(text).toContain('  replicas: 3 # overlay bravo (cluster)\n')
    expect(text).toContain('    a: "on" # overlay bravo (cluster)\n')
    expect(text).toContain('  url: <hidden> # parameter password (sealed)\n')
  })

  it('reads back as the objects that are applied, but for secrets', () => {
    const read = readDocuments(renderYaml(made()), { file: 'rendered', code: 'ManifestInvalid' }).map(({ value }) => value)
    expect(read).toEqual(made().map(withoutSecrets))
  })

  it('holds nothing of a Secret, and no secret value wherever it went', () => {
    const text = renderYaml(made()) + JSON.stringify(made().map(withoutSecrets))
    for (const value of ['hunter2', 'c2VjcmV0', 'more: secret']) expect(text).not.toContain(value)
  })
})
