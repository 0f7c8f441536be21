import { apiVersion, type InventoryEntry, type Release, type ReleaseSettings } from '@muster/api'
import type { KubeObject, Ref } from '@muster/kube'
import type { ChannelRelease } from '@muster/trust'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Passing } from '../../../../test/environment/faulty-proxy.ts'
import { type FaultyCluster, openFaultyCluster } from '../testing/faulty-cluster.ts'

let cluster: FaultyCluster
let home: string
let guest: string
let group: string
let version = 0
const names: string[] = []

beforeAll(async () => {
  cluster = await openFaultyCluster()
})

beforeEach(() => {
  const test = `${cluster.id}-${names.length}`
  home = `home-${test}`
  guest = `guest-${test}`
  group = `g${test}.example.test`
  names.push(home, guest)
  cluster.agent.start()
})

afterEach(async () => {
  cluster.proxy.answered = () => undefined
  cluster.proxy.fault = () => undefined
  await cluster.client.delete(theDefinition())
})

afterAll(async () => cluster.close(names))

const theNamespace = (): Ref => ({ apiVersion: 'v1', kind: 'Namespace', name: home })
const theDefinition = (): Ref => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  name: `widgets.${group}`,
})

const config = (name: string): string => `apiVersion: v1
kind: ConfigMap
metadata: {name: ${name}}
`
const namespace = (): string => `apiVersion: v1
kind: Namespace
metadata: {name: ${home}}
`
const definition = (): string => `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.${group}}
spec:
  group: ${group}
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`
const widget = (): string => `apiVersion: ${group}/v1
kind: Widget
metadata: {name: one}
`

/** A release in the namespace that has the name of the one that makes it. */
async function publish(name: string, objects: readonly string[], settings: ReleaseSettings = {}): Promise<ChannelRelease> {
  const entry = await cluster.fleet.publish(name, `1.0.${version++}`, objects.join('---\n'))
  return { ...entry, namespace: home, settings: { rollout: { minHealthySeconds: 0 }, prune: { maxShare: 1 }, ...settings } }
}

const releaseOf = async (name: string) => cluster.client.find<Release & KubeObject>({ apiVersion, kind: 'Release', name })
const uidOf = async (ref: Ref): Promise<string | undefined> => (await cluster.client.find(ref))?.metadata.uid
const goes = async (ref: Ref) => {
  const live = await cluster.client.find(ref)
  return live === undefined || live.metadata.deletionTimestamp !== undefined
}

/** What a release's inventory says of a namespace and a definition: `KIND UID MADEBY`. */
async function sharedOf(name: string): Promise<string[]> {
  const inventory = (await releaseOf(name))?.status?.inventory ?? []
  const text = ({ kind, uid, madeBy }: InventoryEntry) => `${kind} ${uid}${madeBy === undefined ? '' : ` ${madeBy}`}`
  return inventory.filter(({ kind }) => kind === 'Namespace' || kind === 'CustomResourceDefinition').map(text)
}

/** Kills the agent once the API server has answered such a request, and before the agent hears of it. */
async function killedAfter(what: string, is: (request: Passing) => boolean): Promise<void> {
  const { agent, proxy } = cluster
  let struck = false
  proxy.answered = (request) => {
    if (struck || !is(request)) return
    struck = true
    agent.kill()
  }
  await cluster.eventually(what, async () => struck)
  await agent.end('SIGKILL')
  proxy.answered = () => undefined
}

const applies = (part: string) => (request: Passing) => request.method === 'PATCH' && request.path.includes(part)

describe('an agent that is killed right after it made what holds objects of others', () => {
  it('takes it away with its release, which is gone from the next channel: a definition, and a namespace', {
    timeout: 240_000,
  }, async () => {
    await cluster.fleet.channel([await publish(home, [definition(), namespace(), config('a')])])
    // The definition is made before it, and what is known of both is written down afterwards.
    await killedAfter('a namespace is made', applies(`/api/v1/namespaces/${home}?`))
    await cluster.eventually('both are there', async () => (await uidOf(theDefinition())) && uidOf(theNamespace()))
    expect(await sharedOf(home)).toEqual([])
    await cluster.fleet.channel([])
    cluster.agent.start()
    await cluster.eventually('the definition goes', async () => goes(theDefinition()))
    await cluster.eventually('the namespace goes', async () => goes(theNamespace()))
  })

  it('leaves what somebody else made just before it, and that it was told to take over', { timeout: 240_000 }, async () => {
    const { proxy, client, fleet } = cluster
    let made: string | undefined
    proxy.fault = async (request) => {
      if (made !== undefined || !applies(`/api/v1/namespaces/${home}?`)(request)) return undefined
      made = 'is being made'
      const object: KubeObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: home } }
      made = (await client.create(object, { fieldManager: 'kubectl-create' })).metadata.uid
      return undefined
    }
    await fleet.channel([await publish(home, [namespace(), config('a')], { adopt: [{ kind: 'Namespace' }] })])
    // The first applies only make, and are refused; this one takes over.
    const takesOver = ({ method, path }: Passing) =>
      method === 'PATCH' && path.includes(`/api/v1/namespaces/${home}?`) && !path.includes('force=true')
    await killedAfter('the namespace is taken over', takesOver)
    const live = await client.get(theNamespace())
    expect(live.metadata.uid).toBe(made)
    expect(live.metadata.labels).toMatchObject({ 'muster.dev/release': home })
    await fleet.channel([])
    cluster.agent.start()
    await cluster.eventually('the release is gone', async () => !(await releaseOf(home)))
    expect(await client.get(theNamespace())).toMatchObject({ metadata: { uid: made } })
    expect(await goes(theNamespace())).toBe(false)
  })
})

describe('a namespace and a definition that another release still uses', () => {
  it('are left to that one, go back to their own should it come again, and go with the last, over a kill', {
    timeout: 240_000,
  }, async () => {
    const { fleet, agent } = cluster
    const owner = await publish(home, [namespace(), definition(), config('a')])
    await fleet.channel([owner])
    await cluster.reported(home, (one) => one?.ready === true)
    const user = await publish(guest, [config('b'), widget()])
    await fleet.channel([owner, user])
    await cluster.reported(guest, (one) => one?.ready === true)
    const uids = [`CustomResourceDefinition ${await uidOf(theDefinition())}`, `Namespace ${await uidOf(theNamespace())}`]
    await cluster.eventually('they are written down', async () => (await sharedOf(home)).join() === uids.join())
    const left = uids.map((one) => `${one} ${home}`)

    await fleet.channel([user])
    await cluster.eventually('the release is gone', async () => !(await releaseOf(home)))
    expect(await sharedOf(guest)).toEqual(left)

    await fleet.channel([owner, user])
    await cluster.reported(home, (one) => one?.ready === true)
    await cluster.eventually('they are its own again', async () => (await sharedOf(home)).join() === uids.join())
    await cluster.eventually("and nobody else's", async () => (await sharedOf(guest)).length === 0)

    await fleet.channel([user])
    await killedAfter('they are left again', applies(`/releases/${guest}/status`))
    agent.start()
    await cluster.eventually('the release is gone', async () => !(await releaseOf(home)))
    expect(await sharedOf(guest)).toEqual(left)

    await fleet.channel([])
    await cluster.eventually('the definition is gone', async () => !(await uidOf(theDefinition())))
    await cluster.eventually('the namespace goes', async () => goes(theNamespace()))
  })
})
