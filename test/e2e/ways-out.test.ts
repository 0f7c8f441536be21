import { apiVersion } from '@muster/api'
import type { KubeClient, KubeObject, Ref } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'
import { Written } from '../environment/written.ts'

/** What a site, and the hub, can do about a release by the command line, and where it is seen. */
const instance = sharedInstance()
const patience = { withinMs: 60_000, everyMs: 500 }
let alpha: KubeClient
let written: Written

const config: Ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'kiosk', name: 'kiosk' }
const widgets: Ref = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', name: 'widgets.kiosk.test' }
const definition = {
  apiVersion: widgets.apiVersion,
  kind: widgets.kind,
  metadata: { name: 'widgets.kiosk.test' },
  spec: {
    group: 'kiosk.test',
    scope: 'Cluster',
    names: { plural: 'widgets', singular: 'widget', kind: 'Widget' },
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
  },
}

const offers = {
  parameters: [
    {
      name: 'greeting',
      schema: { type: 'string' },
      default: 'Hello',
      set: [{ target: { kind: 'ConfigMap', name: 'kiosk' }, path: 'data.greeting' }],
    },
  ],
}
const objects = (version: string) => [
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'kiosk' }, data: { version } },
  ...['a', 'b', 'c', 'd'].map((name) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } })),
  ...(version === '1.2.0' ? [] : [definition]),
]
const data = async () => (await alpha.get<KubeObject & { data: Record<string, string> }>(config)).data
const says = (text: RegExp, ...command: string[]) =>
  eventually(
    async () => {
      const { stdout } = await instance.muster(...command)
      return text.test(stdout.replaceAll(/\s+/g, ' ')) ? stdout : undefined
    },
    { ...patience, what: `muster ${command.join(' ')} says ${text}` },
  )
const placeFile = async (version: string) =>
  // What drifts is put back here, not refused, so that it can be seen.
  written.placement('kiosk', { bundle: { version }, clusters: { names: ['alpha'] }, drift: { mode: 'correct' } })

beforeAll(async () => {
  alpha = await instance.client('alpha')
  written = await Written.open(instance)
  for (const version of ['1.0.0', '1.1.0', '1.2.0']) await written.publish('kiosk', version, objects(version), offers)
  await instance.succeed('place', '-f', await placeFile('1.0.0'))
})

afterAll(async () => {
  await instance.muster('release', 'resume', 'kiosk', '--cluster', 'alpha')
  await instance.muster('place', 'kiosk', '--nowhere')
  for (const ref of [{ apiVersion, kind: 'SiteOverlay', name: 'visit' }, widgets]) await alpha.delete(ref).catch(() => undefined)
  await written.close()
})

describe('a site', () => {
  it('makes something different in a release of its cluster, and everybody sees it with its reason', async () => {
    const spec = { release: 'kiosk', reason: 'The minister comes', values: { greeting: 'Welcome' } }
    const file = await written.file('visit.yaml', { apiVersion, kind: 'SiteOverlay', metadata: { name: 'visit' }, spec })
    await instance.succeed('kubectl', 'alpha', '--', 'apply', '-f', file)
    await instance.succeed('kubectl', 'alpha', '--', 'wait', '--for=condition=Ready', 'siteoverlay/visit')
    expect(await data()).toMatchObject({ greeting: 'Welcome' })
    await says(/alpha\/kiosk: the site's own overlay visit is in force: The minister comes/, 'status')
    await alpha.delete({ apiVersion, kind: 'SiteOverlay', name: 'visit' })
    await eventually(async () => ((await data())['greeting'] === 'Hello' ? true : undefined), { ...patience, what: 'it is as before' })
  })

  it('suspends a release: what others change stays until it is resumed', async () => {
    await instance.succeed('release', 'suspend', 'kiosk', '--cluster', 'alpha', '--reason', 'the disk is being changed')
    await alpha.patch(config, { data: { greeting: 'Moin' } }, { type: 'merge', fieldManager: 'somebody' })
    await says(/alpha\/kiosk: suspended by the site since \S+ \(the disk is being changed\)/, 'status')
    const refused = await instance.muster('release', 'reconcile', 'kiosk', '--cluster', 'alpha')
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('kiosk in alpha is suspended (the disk is being changed). Resume it first')
    expect(await data()).toMatchObject({ greeting: 'Moin' })
    await instance.succeed('release', 'resume', 'kiosk', '--cluster', 'alpha')
    await eventually(async () => ((await data())['greeting'] === 'Hello' ? true : undefined), { ...patience, what: 'it is put back' })
    expect(await instance.succeed('release', 'reconcile', 'kiosk', '--cluster', 'alpha')).toContain('kiosk in alpha is ready')
  })

  it('goes back to a version that ran before, and stays there whatever the hub places, until it follows again', async () => {
    await instance.succeed('place', '-f', await placeFile('1.1.0'))
    const held = await instance.succeed('release', 'rollback', 'kiosk', '--cluster', 'alpha', '--reason', 'the new one is slow')
    expect(held).toContain('kiosk is held here at 1.0.0')
    expect(await data()).toMatchObject({ version: '1.0.0' })
    const shown =
      /kiosk +1\.0\.0 .* yes .*alpha\/kiosk: held at 1\.0\.0 by the site since \S+, in place of 1\.1\.0 \(the new one is slow\)/s
    await says(shown, 'status')
    const placing = await instance.muster('place', '-f', await placeFile('1.1.0'))
    expect(placing.code).toBe(1)
    expect(placing.stderr).toMatch(/kiosk 1\.1\.0 is placed, and ready but where its site holds it: alpha holds it at 1\.0\.0 since/)
    await instance.succeed('release', 'resume', 'kiosk', '--cluster', 'alpha')
    expect(await data()).toMatchObject({ version: '1.1.0' })
    expect(await instance.succeed('release', 'history', 'kiosk', '--cluster', 'alpha')).toMatch(/alpha +1\.0\.0 .* site /)
  })

  it('consents to what would be lost before it goes', async () => {
    await alpha.create({ apiVersion: 'kiosk.test/v1', kind: 'Widget', metadata: { name: 'mine' } } as KubeObject)
    await instance.succeed('place', '-f', await placeFile('1.2.0'), '--no-wait')
    await says(/CustomResourceDefinition - widgets\.kiosk\.test/, 'release', 'consent', 'kiosk', '--cluster', 'alpha')
    expect(await alpha.find(widgets)).toBeDefined()
    await instance.succeed('release', 'consent', 'kiosk', '--cluster', 'alpha', '--reason', 'nobody needs widgets')
    await eventually(async () => ((await alpha.find(widgets)) === undefined ? true : undefined), { ...patience, what: 'it goes' })
    expect(await instance.succeed('release', 'consent', 'kiosk', '--cluster', 'alpha')).toContain(
      'Nothing of kiosk waits for consent here.',
    )
  })
})

describe('the hub', () => {
  it('places the version before again, and its history says so', async () => {
    await instance.succeed('release', 'rollback', 'kiosk', '--to', '1.0.0')
    expect(await data()).toMatchObject({ version: '1.0.0' })
    expect(await instance.succeed('release', 'history', 'kiosk')).toMatch(/placed +1\.0\.0 .*\nplaced +1\.2\.0 .*\nplaced +1\.1\.0 /)
  })

  it('suspends a release in all its clusters, and resumes it', async () => {
    await instance.succeed('release', 'suspend', 'kiosk', '--reason', 'release freeze')
    await says(/alpha\/kiosk: suspended by the hub \(release freeze\)/, 'status')
    await instance.succeed('release', 'resume', 'kiosk')
    await says(/^(?!.*release freeze)/, 'status')
  })

  it('refuses a placement with a mistake, with line and path, and changes nothing', async () => {
    const file = await written.file(
      'wrong.yaml',
      'apiVersion: muster.dev/v1alpha1\nkind: Placement\nmetadata: {name: kiosk}\nspec:\n  clusters: {names: [alpha]}\n  drift: {mode: prevnt}\n',
    )
    const outcome = await instance.muster('place', '-f', file)
    expect(outcome.code).not.toBe(0)
    expect(outcome.stderr).toMatch(/wrong\.yaml:6:.*spec\.drift\.mode/)
    expect(await data()).toMatchObject({ version: '1.0.0' })
  })
})
