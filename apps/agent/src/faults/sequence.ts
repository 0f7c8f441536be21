import type { ReleaseSettings } from '@muster/api'
import type { ChannelRelease } from '@muster/trust'
import type { FaultyCluster } from '../testing/faulty-cluster.ts'
import { onNoNode } from '../testing/kubelet.ts'

/** One channel, and how the releases stand when it has come about. */
export interface Step {
  readonly name: string
  readonly releases: readonly ChannelRelease[]
  /** `NAME VERSION REASON` of each release that is there then. */
  readonly ends: readonly string[]
  /** Whether the sequence's own kind is served then. */
  readonly custom: boolean
  /** `KIND/NAMESPACE/NAME` of what is gone then, where how a release stands does not tell: it is taken back before the rest of what failed goes. */
  readonly gone?: string
}

export interface Sequence {
  readonly steps: readonly Step[]
  readonly names: readonly string[]
  /** API group of a kind that one of the releases brings. */
  readonly group: string
}

const settings = { drift: { mode: 'correct' }, rollout: { progressDeadlineSeconds: 3, minHealthySeconds: 0 } } as const
const patient: ReleaseSettings = { ...settings, rollout: { progressDeadlineSeconds: 600, minHealthySeconds: 0 } }

/**
 * What a cluster goes through: five releases are installed; one gets and loses objects, one comes in waves, one fails and is taken
 * back, one is removed, one stays as it is; then all go.
 */
export async function sequenceOf({ fleet, id }: Pick<FaultyCluster, 'fleet' | 'id'>): Promise<Sequence> {
  const [shop, waves, back, gone, still] = ['shop', 'waves', 'back', 'gone', 'still'].map((name) => `${name}-${id}`) as [
    string,
    string,
    string,
    string,
    string,
  ]
  const group = `g${id}.example.test`
  const publish = async (name: string, version: string, objects: readonly string[], how: ReleaseSettings = patient) => ({
    ...(await fleet.publish(name, version, objects.join('---\n'))),
    settings: how,
  })
  const shop1 = await publish(shop, '1.0.0', [
    config('greeting', 'hello'),
    config('old', 'leaves'),
    secret('key'),
    service('web', 80),
    account('web'),
    deployment('web', 0, '1'),
    definition(group),
    widget(group, 'first'),
  ])
  const shop2 = await publish(shop, '2.0.0', [
    config('greeting', 'hello again'),
    config('new', 'comes'),
    secret('key'),
    service('web', 81),
    account('web'),
    account('worker'),
    deployment('web', 0, '2'),
    definition(group),
    widget(group, 'second'),
  ])
  const wave = (version: string, more: readonly string[]) =>
    publish(waves, version, [
      config('first', version),
      deployment('db', 0, version),
      config('second', version, 1),
      deployment('api', 0, version, 2),
      ...more,
    ])
  const waves1 = await wave('1.0.0', [config('third', 'leaves', 3)])
  const waves2 = await wave('2.0.0', [config('fourth', 'comes', 4)])
  const good = await publish(back, '1.0.0', [config('greeting', 'good'), deployment('web', 0, '1')], settings)
  const bad = await publish(back, '2.0.0', [config('greeting', 'bad'), config('extra', 'bad'), deployment('web', 1, '2')], settings)
  const fixed = await publish(back, '3.0.0', [config('greeting', 'fixed'), deployment('web', 0, '3')], settings)
  const leaves = await publish(gone, '1.0.0', [config('one', '1'), service('one', 80), account('one')])
  const stays = await publish(still, '1.0.0', [config('one', '1'), account('one')])
  return {
    names: [shop, waves, back, gone, still],
    group,
    steps: [
      {
        name: 'install',
        releases: [shop1, waves1, good, leaves, stays],
        ends: [shop, waves, back, gone, still].map((name) => `${name} 1.0.0 Healthy`),
        custom: true,
      },
      {
        name: 'upgrade, of which one fails',
        releases: [shop2, waves2, bad, leaves, stays],
        ends: [
          `${shop} 2.0.0 Healthy`,
          `${waves} 2.0.0 Healthy`,
          `${back} 1.0.0 RolledBack`,
          `${gone} 1.0.0 Healthy`,
          `${still} 1.0.0 Healthy`,
        ],
        custom: true,
        gone: `ConfigMap/${back}/extra`,
      },
      {
        name: 'fix and removal',
        releases: [shop2, waves1, fixed, stays],
        ends: [`${shop} 2.0.0 Healthy`, `${waves} 1.0.0 Healthy`, `${back} 3.0.0 Healthy`, `${still} 1.0.0 Healthy`],
        custom: true,
      },
      { name: 'removal of all', releases: [], ends: [], custom: false },
    ],
  }
}

const config = (name: string, value: string, wave?: number): string => `apiVersion: v1
kind: ConfigMap
metadata: {name: ${name}${at(wave)}}
data: {value: "${value}"}
`

const secret = (name: string): string => `apiVersion: v1
kind: Secret
metadata: {name: ${name}}
stringData: {password: not-a-secret}
`

const account = (name: string): string => `apiVersion: v1
kind: ServiceAccount
metadata: {name: ${name}}
`

const service = (name: string, port: number): string => `apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {selector: {app: ${name}}, ports: [{port: ${port}}]}
`

const deployment = (name: string, replicas: number, image: string, wave?: number): string => `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}${at(wave)}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      ${onNoNode}
      containers: [{name: app, image: "registry.example/app:${image}"}]
`

const definition = (group: string): string => `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.${group}}
spec:
  group: ${group}
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`

const widget = (group: string, value: string): string => `apiVersion: ${group}/v1
kind: Widget
metadata: {name: one}
value: ${value}
`

function at(wave: number | undefined): string {
  return wave === undefined ? '' : `, annotations: {muster.dev/wave: "${wave}"}`
}
