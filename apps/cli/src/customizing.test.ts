import type { ReadBundle } from '@muster/bundle'
import type { KubeObject } from '@muster/kube'
import { describe, expect, it } from 'vitest'
import { customizedFor, withLiveSealed } from './customizing.ts'

const bundle = {
  objects: [
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'db' }, data: { password: '', user: 'YQ==' } },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'db' }, data: { host: '' } },
  ],
  parameters: [
    {
      name: 'password',
      schema: { type: 'string', minLength: 20 },
      secret: true,
      set: [{ target: { kind: 'Secret' }, path: 'data.password' }],
    },
    { name: 'host', schema: { type: 'string' }, default: 'here', set: [{ target: { kind: 'ConfigMap' }, path: 'data.host' }] },
  ],
  config: {},
} as unknown as ReadBundle
const about = {
  name: 'shop',
  namespace: 'shop',
  cluster: { metadata: { name: 'bravo' } },
  said: { sealed: { bravo: { password: 'jwe' }, alpha: {} } },
  site: [],
}
const signal = new AbortController().signal

describe('a bundle as it is in a cluster', () => {
  it('takes what the cluster has where a value is sealed, so that it is no difference', async () => {
    const live = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'db' }, data: { password: 'bGl2ZQ==', user: 'other' } } as KubeObject
    const asked: unknown[] = []
    const client = {
      find: async (ref: unknown) => {
        asked.push(ref)
        return live
      },
    }
    const objects = await withLiveSealed(client, customizedFor(bundle, about), signal)
    expect(objects.map((object) => object['data'])).toEqual([{ password: 'bGl2ZQ==', user: 'YQ==' }, { host: 'here' }])
    expect(asked).toEqual([{ apiVersion: 'v1', kind: 'Secret', name: 'db', namespace: 'shop' }])
  })

  it('has the stand-in where the cluster has nothing yet', async () => {
    const objects = await withLiveSealed({ find: async () => undefined }, customizedFor(bundle, about), signal)
    expect(objects[0]?.['data']).toMatchObject({ password: Buffer.from('<sealed>').toString('base64') })
  })

  it('cannot be made where a value is missing, and says every reason', () => {
    expect(() => customizedFor(bundle, { ...about, said: {} })).toThrow('The parameter password: it has no default and no value was given')
  })
})
