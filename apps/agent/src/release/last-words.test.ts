import type { KubeObject, Ref } from '@muster/kube'
import { describe, expect, it } from 'vitest'
import type { ReleaseServices } from './context.ts'
import { lastWords } from './last-words.ts'
import { Releases } from './releases.ts'

const job: KubeObject = { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'migrate', namespace: 'shop', uid: 'u1' } }
const ended = (name: string, exitCode: number, finishedAt: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop' },
  status: { containerStatuses: [{ name: 'work', state: { terminated: { exitCode, reason: 'Error', finishedAt } } }] },
})

/** What an API server has of a job, and what is asked of it. */
function asked(
  pods: readonly KubeObject[],
  log: (path: string) => Promise<unknown>,
  find: (ref: Ref) => Promise<KubeObject | undefined> = async () => undefined,
) {
  const paths: string[] = []
  const client = {
    find,
    list: async () => ({ items: pods, resourceVersion: '1' }),
    raw: (_method: string, path: string, { query }: { query: object }) => {
      paths.push(`${path} ${JSON.stringify(query)}`)
      return log(path)
    },
  } as unknown as ReleaseServices['client']
  return { client, paths }
}

const secret: KubeObject = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'db', namespace: 'shop' },
  data: { password: Buffer.from('correct horse\n').toString('base64') },
  stringData: { token: 'tok-123', short: 'abc' },
} as KubeObject

const { signal } = new AbortController()

describe('the last words of a job', () => {
  it('are those of the pod that ended last, a few lines of them, and how it ended', async () => {
    const pods = [
      ended('first', 1, '2030-01-01T00:00:00Z'),
      ended('last', 3, '2030-01-01T00:00:09Z'),
      ended('good', 0, '2030-01-01T00:01:00Z'),
    ]
    const { client, paths } = asked(pods, async () => 'connecting\n\u001b[31mno such table: items\u001b[0m\n\n')
    expect(await lastWords({ client, releases: new Releases() }, job, signal)).toBe(
      'Container work ended with 3 (Error), and wrote last: connecting | [31mno such table: items [0m',
    )
    expect(paths).toEqual(['/api/v1/namespaces/shop/pods/last/log {"container":"work","tailLines":10,"limitBytes":2048}'])
  })

  it('hold no value of a Secret that a release brings', async () => {
    const releases = new Releases()
    const planned = { key: 'k', phase: 'configuration' as const, wave: 0, object: secret, ours: true }
    releases.of('shop').tracked.set('k', { planned })
    const { client } = asked([ended('last', 1, '')], async () => 'password correct horse for tok-123 refused, abc')
    const words = await lastWords({ client, releases }, job, signal)
    expect(words).toContain('password **** for **** refused, abc')
  })

  const given: KubeObject = {
    ...ended('last', 1, ''),
    spec: {
      containers: [
        { name: 'work', env: [{ valueFrom: { secretKeyRef: { name: 'one', key: 'key' } } }], envFrom: [{ secretRef: { name: 'two' } }] },
      ],
      volumes: [
        { secret: { secretName: 'three' } },
        { projected: { sources: [{ secret: { name: 'four' } }, { configMap: { name: 'plain' } }] } },
      ],
    },
  }
  const secretOf = async ({ kind, namespace, name }: Ref): Promise<KubeObject | undefined> =>
    kind === 'Secret' && namespace === 'shop' && name !== 'four'
      ? { apiVersion: 'v1', kind, metadata: { name, namespace }, data: { key: Buffer.from(`value-of-${name}`).toString('base64') } }
      : undefined

  it('hold no value of a Secret that its pod was given, whoever made it, also after the agent was started anew', async () => {
    const text = `one value-of-one two ${Buffer.from('value-of-two').toString('base64')} three value-of-thr`
    const { client } = asked([given], async () => text, secretOf)
    expect(await lastWords({ client, releases: new Releases() }, job, signal)).toBe(
      'Container work ended with 1 (Error), and wrote last: one **** two **** three ****',
    )
  })

  it('hold no value that was unsealed for a release, wherever it went', async () => {
    const releases = new Releases()
    releases.of('shop').keepSecret(['in a ConfigMap'])
    const { client } = asked([ended('last', 1, '')], async () => 'read in a ConfigMap.')
    expect(await lastWords({ client, releases }, job, signal)).toContain('wrote last: read ****.')
  })

  it('are left out where it cannot be read what is secret', async () => {
    const { client } = asked(
      [given],
      async () => 'value-of-one',
      async () => {
        throw new Error('the server does not answer')
      },
    )
    expect(await lastWords({ client, releases: new Releases() }, job, signal)).toBe('Container work ended with 1 (Error).')
  })

  it('are missing where there is no pod, no log, or no answer: the job failed all the same', async () => {
    const none = asked([], async () => '')
    expect(await lastWords({ client: none.client, releases: new Releases() }, job, signal)).toBeUndefined()
    const gone = asked([ended('last', 137, '')], async () => {
      throw new Error('the node does not answer')
    })
    expect(await lastWords({ client: gone.client, releases: new Releases() }, job, signal)).toBe('Container work ended with 137 (Error).')
  })
})
