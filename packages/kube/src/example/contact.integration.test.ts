import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type OwnServer, openOwnServer } from '../testing/own-server.ts'
import { run } from './contact.ts'

let server: OwnServer

beforeAll(async () => {
  server = await openOwnServer()
})

afterAll(() => server?.dispose())

const wait = { timeout: 30_000, interval: 50 }
const base64 = (text: string) => Buffer.from(text).toString('base64')

describe('the example of docs/controller-runtime.md', () => {
  it('is what the page shows', async () => {
    const page = await readFile(path.join(import.meta.dirname, '../../../../docs/controller-runtime.md'), 'utf8')
    const code = await readFile(path.join(import.meta.dirname, 'contact.ts'), 'utf8')
    expect(page).toContain(`\`\`\`ts\n${code}\`\`\`\n`)
  })

  it('makes, corrects and brings back what it says, and ends', async () => {
    const { client, admin, directory, url, ca } = server
    const user = { 'client-certificate-data': base64(admin.certificate), 'client-key-data': base64(admin.privateKey) }
    const kubeconfig = path.join(directory, 'kubeconfig')
    await writeFile(
      kubeconfig,
      JSON.stringify({
        'current-context': 'test',
        contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
        clusters: [{ name: 'test', cluster: { server: url, 'certificate-authority-data': base64(ca) } }],
        users: [{ name: 'test', user }],
      }),
    )
    const stop = new AbortController()
    const ended = run(kubeconfig, stop.signal)
    await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: { team: 'red' } } })
    const contact = { apiVersion: 'v1', kind: 'ConfigMap', name: 'contact', namespace: 'shop' }
    const names = (team: string) => vi.waitFor(async () => expect((await client.get(contact))['data']).toEqual({ team }), wait)
    await names('red')
    await client.patch(contact, { data: { team: 'by hand' } }, { type: 'merge' })
    await names('red')
    await client.delete(contact)
    await names('red')
    await client.patch({ apiVersion: 'v1', kind: 'Namespace', name: 'shop' }, { metadata: { labels: { team: 'blue' } } }, { type: 'merge' })
    await names('blue')
    stop.abort()
    await ended
  })
})
