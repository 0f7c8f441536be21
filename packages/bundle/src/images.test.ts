import { describe, expect, it } from 'vitest'
import { imagesOf, readImage, withImages } from './images.ts'
import type { KubeObjectLike } from './object.ts'

const object = (apiVersion: string, kind: string, rest: object): KubeObjectLike => ({ apiVersion, kind, metadata: { name: 'x' }, ...rest })
const pod = {
  initContainers: [{ name: 'i', image: 'example.test/init:1' }],
  containers: [{ name: 'c', image: 'example.test/app:1' }, { name: 'no-image' }],
  ephemeralContainers: [{ name: 'e', image: 'example.test/debug:1' }],
  volumes: [
    { name: 'v', image: { reference: 'example.test/data:1' } },
    { name: 'w', emptyDir: {} },
  ],
}
const all = ['example.test/init:1', 'example.test/app:1', 'example.test/debug:1', 'example.test/data:1']

describe('images of objects', () => {
  it.each([
    ['v1', 'Pod', { spec: pod }],
    ['v1', 'PodTemplate', { template: { spec: pod } }],
    ['v1', 'ReplicationController', { spec: { template: { spec: pod } } }],
    ['apps/v1', 'Deployment', { spec: { template: { spec: pod } } }],
    ['apps/v1', 'ReplicaSet', { spec: { template: { spec: pod } } }],
    ['apps/v1', 'StatefulSet', { spec: { template: { spec: pod } } }],
    ['apps/v1', 'DaemonSet', { spec: { template: { spec: pod } } }],
    ['batch/v1', 'Job', { spec: { template: { spec: pod } } }],
    ['batch/v1', 'CronJob', { spec: { jobTemplate: { spec: { template: { spec: pod } } } } }],
  ])('are found in %s %s: containers of every sort and image volumes', (apiVersion, kind, rest) => {
    const workload = object(apiVersion, kind, rest)
    expect(imagesOf(workload).map(({ image }) => image)).toEqual(all)
    const completed = withImages(workload, (image) => `${image}@sha256:x`)
    expect(imagesOf(completed).map(({ image }) => image)).toEqual(all.map((image) => `${image}@sha256:x`))
    expect(imagesOf(workload).map(({ image }) => image)).toEqual(all)
  })

  it('are not looked for where the kind only has the same name', () => {
    expect(imagesOf(object('example.test/v1', 'Deployment', { spec: { template: { spec: pod } } }))).toEqual([])
  })

  it('survive shapes that no API server would take', () => {
    for (const spec of [null, [], 'x', { containers: 'x' }, { containers: [null, 1, { image: 7 }], volumes: [{ image: 'x' }] }]) {
      expect(imagesOf(object('v1', 'Pod', { spec }))).toEqual([])
    }
  })

  it('keep their names as written', () => {
    const digest = `sha256:${'a'.repeat(64)}`
    expect(readImage('nginx', 'x')).toEqual({ name: 'nginx', repository: 'nginx', fullRepository: 'docker.io/library/nginx' })
    expect(readImage(`registry.example:5000/a/b:1@${digest}`, 'x')).toEqual({
      name: 'registry.example:5000/a/b:1',
      repository: 'registry.example:5000/a/b',
      fullRepository: 'registry.example:5000/a/b',
      digest,
    })
    expect(() => readImage('example.test/Upper:1', 'a.yaml')).toThrow(expect.objectContaining({ code: 'ManifestInvalid' }))
  })
})
