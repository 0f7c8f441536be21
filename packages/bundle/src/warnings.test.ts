import { describe, expect, it } from 'vitest'
import { imageFieldText, imageRule } from './image-rules.ts'
import { imagesOf, withImages } from './images.ts'
import type { KubeObjectLike } from './object.ts'
import { unpinnedImages } from './warnings.ts'

const object = (apiVersion: string, kind: string, rest: object): KubeObjectLike => ({ apiVersion, kind, metadata: { name: 'x' }, ...rest })
const rule = imageRule({ apiGroup: 'example.test', kind: 'Database', path: 'spec.nodes[*].image' })
const database = object('example.test/v2', 'Database', {
  spec: { nodes: [{ image: 'registry.example/db:1' }, { image: '' }, { image: 7 }], image: 'registry.example/other:1' },
})

describe('images in custom resources', () => {
  it('are found where a rule says, in every version of the kind', () => {
    expect(imagesOf(database)).toEqual([])
    expect(imagesOf(database, [rule])).toEqual([{ image: 'registry.example/db:1', path: ['spec', 'nodes', 0, 'image'] }])
    const pinned = withImages(database, (image) => `${image}@sha256:0`, [rule])
    expect(pinned['spec']).toMatchObject({ nodes: [{ image: 'registry.example/db:1@sha256:0' }, { image: '' }, { image: 7 }] })
  })

  it('are found in kinds that many clusters have, without a rule', () => {
    const rollout = object('argoproj.io/v1alpha1', 'Rollout', { spec: { template: { spec: { containers: [{ image: 'a:1' }] } } } })
    expect(imagesOf(rollout).map(({ image }) => image)).toEqual(['a:1'])
    const prometheus = object('monitoring.coreos.com/v1', 'Prometheus', { spec: { image: 'b:1', containers: [{ image: 'c:1' }] } })
    expect(imagesOf(prometheus).map(({ image }) => image)).toEqual(['b:1', 'c:1'])
  })

  it('have rules that read back as they are written', () => {
    for (const path of ['spec.image', 'spec.list[*].image', 'spec["a.b"].images[*]']) {
      const text = { apiGroup: 'example.test', kind: 'Thing', path }
      expect(imageFieldText(imageRule(text))).toEqual(text)
    }
  })
})

describe('a text that looks like an image and is not pinned', () => {
  const carried = new Set([`registry.example/app:1@sha256:${'a'.repeat(64)}`])
  const warned = (...objects: KubeObjectLike[]) => unpinnedImages(objects, carried, [rule]).map(({ path, image }) => `${path}: ${image}`)

  it('is told with object and path', () => {
    expect(unpinnedImages([database], carried, [rule])).toEqual([
      { object: 'Database x', path: 'spec.image', image: 'registry.example/other:1' },
    ])
    const deployment = object('apps/v1', 'Deployment', {
      spec: {
        template: {
          spec: {
            containers: [
              {
                image: 'registry.example/app:1',
                args: ['--sidecar=registry.example/sidecar:2'],
                env: [{ name: 'A', value: 'registry.example/x:3' }],
              },
            ],
          },
        },
      },
    })
    const at = 'spec.template.spec.containers[0]'
    expect(warned(deployment)).toEqual([`${at}.args[0]: registry.example/sidecar:2`, `${at}.env[0].value: registry.example/x:3`])
  })

  it('is seen in files of ConfigMaps, and below keys that say image', () => {
    const map = object('v1', 'ConfigMap', { data: { 'a.yaml': 'image: "registry.example/x:1"\nother: y\n', WORKER_IMAGE: 'worker:2' } })
    expect(warned(map)).toEqual(['data["a.yaml"]: registry.example/x:1', 'data.WORKER_IMAGE: worker:2'])
  })

  it('is not what the bundle carries, nor what only resembles one', () => {
    const texts = [
      'https://example.test/a:1',
      'example.test/label',
      'kubernetes.io/os',
      '10.0.0.1:80',
      'IfNotPresent',
      'a/b/c',
      `registry.example/app:1@sha256:${'a'.repeat(64)}`,
    ]
    expect(
      warned(object('v1', 'ConfigMap', { data: Object.fromEntries(texts.map((text, at) => [`k${at}`, text])), imagePullPolicy: 'Always' })),
    ).toEqual([])
    expect(
      warned(object('apiextensions.k8s.io/v1', 'CustomResourceDefinition', { spec: { description: 'registry.example/x:1' } })),
    ).toEqual([])
  })
})
