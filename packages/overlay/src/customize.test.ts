import type { OverlaySpec } from '@muster/api'
import type { BundleParameter, KubeObjectLike } from '@muster/bundle'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type CustomizeOptions, customize, type Layer } from './customize.ts'
import { originText } from './origins.ts'
import { arbitraryCase } from './testing/generate.ts'

const digest = `sha256:${'a'.repeat(64)}`
const web: KubeObjectLike = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: {
    replicas: 1,
    template: {
      spec: {
        containers: [
          { name: 'web', image: `example.test/web:1@${digest}`, env: [{ name: 'HOST', value: 'here' }] },
          { name: 'side', image: `example.test/side:1@${digest}` },
        ],
      },
    },
  },
}
const secret: KubeObjectLike = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'web' }, data: { password: '' } }

const layer = (name: string, level: Layer['level'], overlay: OverlaySpec, more: Partial<Layer> = {}): Layer => ({
  name,
  level,
  overlay,
  ...more,
})
const run = (layers: readonly Layer[], more: Partial<CustomizeOptions> = {}) =>
  customize([web, secret], { layers, namespace: 'shop', ...more })
const patch = (spec: object): OverlaySpec => ({
  patches: [{ patch: JSON.stringify({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' }, spec }) }],
})
const container = (fields: object) => patch({ template: { spec: { containers: [{ name: 'web', ...fields }] } } })
const origins = (made: ReturnType<typeof run>) =>
  Object.fromEntries(made.objects.flatMap(({ origins: fields }) => fields.map(({ path, origin }) => [path, originText(origin)])))
const messages = (made: ReturnType<typeof run>) => made.problems.map(({ code, message }) => `${code}: ${message}`)
const specOf = (made: ReturnType<typeof run>) => made.objects[0]?.object['spec'] as { replicas: number }

describe('customizations', () => {
  it('leave a bundle alone where there are none', () => {
    expect(run([])).toEqual({ objects: [web, secret].map((object) => ({ object, origins: [] })), problems: [], namespace: 'shop' })
  })

  it('are applied in order, and each field knows which of them made it', () => {
    const made = run([
      layer('more', 'all', { replicas: [{ name: 'web', count: 2 }], labels: [{ pairs: { team: 'a' } }] }),
      layer('bravo', 'cluster', {
        ...container({
          env: [
            { name: 'HOST', value: 'bravo' },
            { name: 'NEW', value: 'x' },
          ],
        }),
        replicas: [{ name: 'web', count: 3 }],
      }),
    ])
    expect(made.problems).toEqual([])
    expect(specOf(made).replicas).toBe(3)
    expect(origins(made)).toEqual({
      'metadata.labels.team': 'overlay more (all)',
      'spec.replicas': 'overlay bravo (cluster)',
      'spec.template.spec.containers[name=web].name': 'overlay bravo (cluster)',
      'spec.template.spec.containers[name=web].env[name=HOST].name': 'overlay bravo (cluster)',
      'spec.template.spec.containers[name=web].env[name=HOST].value': 'overlay bravo (cluster)',
      'spec.template.spec.containers[name=web].env[name=NEW].name': 'overlay bravo (cluster)',
      'spec.template.spec.containers[name=web].env[name=NEW].value': 'overlay bravo (cluster)',
    })
  })

  it('move a field and are its origin where it arrives', () => {
    const operations = [{ op: 'move', from: '/spec/template/spec/containers/1/image', path: '/spec/template/spec/containers/0/image' }]
    const made = run([layer('x', 'all', { patches: [{ target: { kind: 'Deployment' }, patch: JSON.stringify(operations) }] })])
    expect(origins(made)).toEqual({ 'spec.template.spec.containers[name=web].image': 'overlay x (all)' })
  })

  it('never change what they were given', () => {
    const before = structuredClone([web, secret])
    run([layer('x', 'all', { namespace: 'other', annotations: { a: 'b' }, replicas: [{ name: 'web', count: 9 }] })])
    expect([web, secret]).toEqual(before)
  })

  it('make the namespace that the last of them says the one where objects go', () => {
    const made = run([layer('a', 'all', { namespace: 'one' }), layer('b', 'cluster', { namespace: 'two' })])
    expect(made.namespace).toBe('two')
    expect(made.objects.map(({ object }) => object.metadata.namespace)).toEqual(['two', 'two'])
  })

  it('say exactly which fields are not the bundle’s, whatever they do', () => {
    fc.assert(
      fc.property(arbitraryCase, ({ objects, overlay }) => {
        const made = customize(objects, { layers: [{ name: 'x', level: 'all', overlay }], namespace: 'default' })
        for (const { object, origins: fields } of made.objects) {
          const own = new Set(fields.map(({ keys }) => JSON.stringify(keys)))
          const was = objects.find(({ kind, metadata }) => kind === object.kind && metadata.name === object.metadata.name)
          const values = new Set(leaves(was).map(([, value]) => JSON.stringify(value)))
          for (const [keys, value] of leaves(object)) {
            const known = own.delete(JSON.stringify(keys))
            // What no overlay made was in the bundle.
            if (!known) expect(values).toContain(JSON.stringify(value))
          }
          expect(own).toEqual(new Set())
        }
      }),
    )
  })

  it('are all the bundle’s where they say nothing', () => {
    fc.assert(
      fc.property(arbitraryCase, ({ objects }) => {
        const made = customize(objects, { layers: [{ name: 'x', level: 'all', overlay: {} }], namespace: 'default' })
        expect(made.objects).toEqual(objects.map((object) => ({ object, origins: [] })))
      }),
    )
  })
})

describe('a customization that matches nothing is an error', () => {
  it.each<[string, OverlaySpec, string]>([
    [
      'a patch',
      { patches: [{ patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: none}}' }] },
      'The bundle has no ConfigMap shop/none of v1',
    ],
    [
      'a target',
      { patches: [{ target: { name: 'no.*' }, patch: '{spec: {}}' }] },
      'No object of the bundle matches the target (name: no.*)',
    ],
    ['an image', { images: [{ name: 'example.test/none', newTag: '2' }] }, 'No object of the bundle names the image example.test/none'],
    [
      'replicas',
      { replicas: [{ name: 'none', count: 2 }] },
      'The bundle has no Deployment, StatefulSet, ReplicaSet or ReplicationController none',
    ],
  ])('%s', (_what, overlay, message) => {
    const [problem] = run([layer('x', 'group', overlay)]).problems
    expect(problem).toMatchObject({ code: 'MatchesNothing', message: expect.stringContaining(message) })
    expect(problem?.message).toMatch(/^The customization x \(group\): /)
  })

  it.each<[string, OverlaySpec, string]>([
    ['no YAML', { patches: [{ patch: '{' }] }, 'patch 1'],
    ['a pattern that is none', { patches: [{ target: { name: '(' }, patch: '{spec: {}}' }] }, 'cannot be used'],
    ['a selector that is none', { patches: [{ target: { labelSelector: 'a b' }, patch: '{spec: {}}' }] }, 'is no label selector'],
    ['an unknown directive', patch({ $patch: 'drop' }), '$patch: drop'],
    ['an item without its key', patch({ template: { spec: { containers: [{ image: 'x' }] } } }), 'merged by "name"'],
    ['a JSON patch that is none', { patches: [{ target: { kind: 'Deployment' }, patch: '[{op: put, path: /a}]' }] }, 'no op of RFC 6902'],
  ])('so is %s', (_what, overlay, message) => {
    expect(run([layer('x', 'all', overlay)]).problems).toMatchObject([{ code: 'Malformed', message: expect.stringContaining(message) }])
  })

  it('and all of them are told at once', () => {
    const overlay: OverlaySpec = { replicas: [{ name: 'none', count: 1 }] }
    expect(run([layer('a', 'all', overlay), layer('b', 'cluster', overlay)]).problems).toHaveLength(2)
  })
})

describe('an image that an overlay brings', () => {
  it('must have its digest', () => {
    const made = run([layer('x', 'all', { images: [{ name: 'example.test/web', newTag: '2' }] })])
    expect(made.problems).toMatchObject([{ code: 'ImageNotPinned', message: expect.stringContaining('example.test/web:2') }])
    expect(run([layer('x', 'all', { images: [{ name: 'example.test/web', newTag: '2', digest }] })]).problems).toEqual([])
  })

  it('must have it in a patch too', () => {
    expect(run([layer('x', 'all', container({ image: 'other' }))]).problems).toMatchObject([{ code: 'ImageNotPinned' }])
  })
})

describe('directives of Kubernetes that Kustomize does not know', () => {
  it('keep some keys, order a list, and take texts out of one', () => {
    const object: KubeObjectLike = {
      ...web,
      metadata: { ...web.metadata, ...{ finalizers: ['a', 'b', 'c'] } },
    }
    const overlay: OverlaySpec = {
      patches: [
        {
          target: { kind: 'Deployment' },
          patch: JSON.stringify({
            metadata: { '$deleteFromPrimitiveList/finalizers': ['b'] },
            spec: {
              $retainKeys: ['template', 'paused'],
              paused: true,
              template: { spec: { '$setElementOrder/containers': [{ name: 'side' }, { name: 'web' }] } },
            },
          }),
        },
      ],
    }
    const { objects, problems } = customize([object], { layers: [layer('x', 'all', overlay)], namespace: 'x' })
    expect(problems).toEqual([])
    const [made] = objects
    expect(made?.object.metadata).toMatchObject({ finalizers: ['a', 'c'] })
    expect(Object.keys(made?.object['spec'] as object)).toEqual(['template', 'paused'])
    expect(made?.object['spec']).toMatchObject({ template: { spec: { containers: [{ name: 'side' }, { name: 'web' }] } } })
  })
})

const replicas: BundleParameter = {
  name: 'replicas',
  schema: { type: 'integer', minimum: 1 },
  default: 2,
  set: [{ target: { kind: 'Deployment' }, path: 'spec.replicas' }],
}
const host: BundleParameter = {
  name: 'host',
  schema: { type: 'string', pattern: '^[a-z.]+$' },
  set: [
    {
      target: { name: 'web', kind: 'Deployment' },
      path: 'spec.template.spec.containers[name=web].env[name=HOST].value',
      template: 'https://$(value)/',
    },
    { target: { kind: 'Deployment' }, path: 'metadata.annotations["example.test/host"]' },
  ],
}
const password: BundleParameter = {
  name: 'password',
  schema: { type: 'string', minLength: 3 },
  secret: true,
  set: [{ target: { kind: 'Secret' }, path: 'data.password' }],
}
const values = (name: string, level: Layer['level'], given: Record<string, unknown>, more: Partial<Layer> = {}): Layer => ({
  name,
  level,
  values: given,
  ...more,
})

describe('a parameter', () => {
  it('has the value of the last that gives one, and its fields say who that was', () => {
    const made = run([values('a', 'all', { host: 'a.test' }), values('b', 'cluster', { host: 'b.test', replicas: 5 })], {
      parameters: [replicas, host],
    })
    expect(made.problems).toEqual([])
    expect(made.objects[0]?.object).toMatchObject({
      metadata: { annotations: { 'example.test/host': 'b.test' } },
      spec: { replicas: 5, template: { spec: { containers: [{ env: [{ value: 'https://b.test/' }] }, {}] } } },
    })
    expect(origins(made)).toEqual({
      'spec.replicas': 'parameter replicas by b (cluster)',
      'metadata.annotations["example.test/host"]': 'parameter host by b (cluster)',
      'spec.template.spec.containers[name=web].env[name=HOST].value': 'parameter host by b (cluster)',
    })
  })

  it('has its default where nobody gives one, and overlays come after it', () => {
    expect(origins(run([], { parameters: [replicas] }))).toEqual({ 'spec.replicas': 'parameter replicas (default)' })
    const made = run([layer('x', 'all', { replicas: [{ name: 'web', count: 7 }] })], { parameters: [replicas] })
    expect(specOf(made).replicas).toBe(7)
  })

  it('without a default needs a value', () => {
    expect(messages(run([], { parameters: [{ ...host, secret: true }] }))).toEqual([
      'ParameterMissing: The parameter host: it has no default and no value was given. It is secret: seal one with "muster seal".',
    ])
    expect(messages(run([], { parameters: [host] }))).toEqual([
      'ParameterMissing: The parameter host: it has no default and no value was given. Give one under values: of a customization.',
    ])
  })

  it('that the bundle does not have is an error', () => {
    expect(messages(run([values('x', 'all', { hots: 'a' })], { parameters: [replicas] }))).toEqual([
      'ParameterUnknown: The customization x (all) sets the parameter hots, which the bundle does not have. It has: replicas.',
    ])
  })

  it('refuses a value that its schema refuses, also one that another wins over', () => {
    const made = run([values('a', 'all', { replicas: 0 }), values('b', 'cluster', { replicas: 3 })], { parameters: [replicas] })
    expect(messages(made)).toEqual([
      'ValueInvalid: The parameter replicas: the value that the customization a (all) gives is refused by its schema: must be >= 1.',
    ])
    expect(messages(run([values('a', 'all', { host: 'A' })], { parameters: [host] }))[0]).toContain('must match pattern')
  })

  it('with a schema that is none, or a path that leads nowhere, is an error', () => {
    expect(run([], { parameters: [{ ...replicas, schema: { type: 'whole' } }] }).problems).toMatchObject([{ code: 'SchemaInvalid' }])
    const nowhere = { ...replicas, set: [{ target: { kind: 'Deployment' }, path: 'spec.template.spec.containers[name=none].image' }] }
    expect(run([], { parameters: [nowhere] }).problems).toMatchObject([{ code: 'MatchesNothing' }])
    const through = { ...replicas, set: [{ target: { kind: 'Deployment' }, path: 'spec.replicas.x' }] }
    expect(run([], { parameters: [through] }).problems).toMatchObject([{ code: 'DoesNotFit' }])
  })

  it('that is secret marks its fields, encodes them in a Secret, and its value is in no message', () => {
    const made = run([], { parameters: [password], sealed: { password: 'hunter2' } })
    expect(made.objects[1]?.object['data']).toEqual({ password: Buffer.from('hunter2').toString('base64') })
    expect(made.objects[1]?.origins).toMatchObject([{ path: 'data.password', secret: true, origin: { level: 'sealed' } }])
    const refused = run([], { parameters: [password], sealed: { password: 'ab' } })
    expect(refused.problems).toMatchObject([{ code: 'ValueInvalid' }])
    expect(JSON.stringify(refused.problems)).not.toContain('"ab"')
  })

  it('that is sealed for a cluster wins over all others, and has a stand-in where it cannot be unsealed', () => {
    const made = run([values('x', 'cluster', { password: 'clear' })], { parameters: [password], hidden: ['password'] })
    expect(made.objects[1]?.origins).toMatchObject([{ secret: true, origin: { level: 'sealed' } }])
  })

  it('stays secret when an overlay copies it elsewhere', () => {
    const copies = layer('x', 'all', {
      patches: [{ target: { kind: 'Secret' }, patch: '[{op: copy, from: /data/password, path: /data/other}]' }],
    })
    const made = run([copies], { parameters: [password], sealed: { password: 'hunter2' } })
    expect(made.objects[1]?.origins.find(({ path }) => path === 'data.other')).toMatchObject({ secret: true })
  })
})

describe('an overlay of a site', () => {
  const within = (fields: readonly { kind?: string; name?: string; path?: string }[]): Partial<Layer> => ({
    within: { fields: [{ by: 'the bundle', fields }], parameter: () => undefined },
  })
  const resources = [{ kind: 'Deployment.apps', path: 'spec.template.spec.containers[*].resources' }]

  it('may change what it is allowed to, whichever way it does so', () => {
    const memory = container({ resources: { limits: { memory: '1Gi' } } })
    expect(run([layer('memory', 'site', memory, within(resources))]).problems).toEqual([])
    const operations = [{ op: 'add', path: '/spec/template/spec/containers/1/resources', value: {} }]
    const json: OverlaySpec = { patches: [{ target: { kind: 'Deployment' }, patch: JSON.stringify(operations) }] }
    expect(run([layer('memory', 'site', json, within(resources))]).problems).toEqual([])
  })

  it.each<[string, OverlaySpec, string]>([
    ['another field', { replicas: [{ name: 'web', count: 9 }] }, 'Deployment web has spec.replicas'],
    ['a field beside it', container({ image: `x@${digest}` }), 'has spec.template.spec.containers[name=web].image'],
    ['an item that it adds', patch({ template: { spec: { containers: [{ name: 'new', resources: {} }] } } }), 'containers[name=new]'],
    [
      'an item that it takes away',
      patch({ template: { spec: { containers: [{ name: 'side', $patch: 'delete' }] } } }),
      'containers[name=side]',
    ],
    [
      'the object itself',
      patch({}).patches ? { patches: [{ target: { kind: 'Deployment' }, patch: '{$patch: delete}' }] } : {},
      'Deployment web is to go',
    ],
    ['the namespace', { namespace: 'other' }, 'has metadata.namespace'],
  ])('may not change %s', (_what, overlay, message) => {
    const made = run([layer('memory', 'site', overlay, within(resources))])
    expect(made.problems).toMatchObject([{ code: 'NotAllowed', message: expect.stringContaining(message) }])
    expect(made.problems[0]?.message).toMatch(/^The site's overlay memory: .* which the bundle does not let a site change\./)
  })

  it('may change nothing where nobody said what it may change', () => {
    expect(run([layer('x', 'site', { replicas: [{ name: 'web', count: 9 }] }, within([]))]).problems).toMatchObject([
      { code: 'NotAllowed' },
    ])
  })

  it('may set only the parameters that it is allowed to', () => {
    const refused = { within: { fields: [], parameter: (name: string) => (name === 'host' ? 'it is not for sites.' : undefined) } }
    const made = run([values('a', 'all', { host: 'a.test' }), values('x', 'site', { replicas: 4, host: 'b.test' }, refused)], {
      parameters: [replicas, host],
    })
    expect(messages(made)).toEqual(["NotAllowed: The site's overlay x sets the parameter host: it is not for sites."])
  })
})

function leaves(value: unknown, keys: readonly (string | number)[] = []): [readonly (string | number)[], unknown][] {
  if (typeof value !== 'object' || value === null || Object.keys(value).length === 0) return [[keys, value]]
  return Object.entries(value).flatMap(([key, item]) => leaves(item, [...keys, Array.isArray(value) ? Number(key) : key]))
}
