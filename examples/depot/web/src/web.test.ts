import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { answering } from './answer.ts'
import { apiAt } from './api.ts'
import { escaped } from './page.ts'

const servers: Server[] = []
async function listening(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

/** The page of a depot over an API that answers as given, and what it was asked. */
async function depot(answer: (path: string) => [number, unknown]): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = []
  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    asked.push(`${request.method} ${request.url} ${body}`.trim())
    const [status, value] = answer(request.url ?? '')
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
  }
  const api = await listening((request, response) => void respond(request, response))
  return { url: await listening(answering({ site: 'Depot Alpha', api: apiAt(api) })), asked }
}

const tent = { sku: 'TENT-2', name: 'Tent <2>', quantity: 12, location: 'A3' }

describe("the depot's page", () => {
  it('shows whose it is and what is there, nothing of it taken for markup', async () => {
    const { url } = await depot(() => [200, { items: [tent, { sku: 1 }] }])
    const response = await fetch(url)
    const page = await response.text()
    expect(response.status).toBe(200)
    expect(page).toContain('<h1>Depot Alpha</h1>')
    expect(page).toContain('<td>TENT-2</td><td>Tent &lt;2&gt;</td><td>A3</td><td class="quantity">12</td>')
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
  })

  it('writes down what moves, and says what came of it', async () => {
    const { url, asked } = await depot((path) => (path === '/movements' ? [200, tent] : [200, { items: [tent] }]))
    const body = new URLSearchParams({ sku: 'TENT-2', quantity: '12', reason: 'delivery' })
    const page = await (await fetch(`${url}/movements`, { method: 'POST', body })).text()
    expect(page).toContain('Done: 12 × Tent &lt;2&gt; are there now.')
    expect(asked).toEqual(['POST /movements {"sku":"TENT-2","quantity":12,"reason":"delivery"}', 'GET /items'])
  })

  it('says why something was not done', async () => {
    const refusal = { error: 'the depot does not have that many' }
    const { url } = await depot((path) => (path === '/movements' ? [409, refusal] : [200, { items: [] }]))
    const body = new URLSearchParams({ sku: 'TENT-2', quantity: '-1', reason: 'issue' })
    expect(await (await fetch(`${url}/movements`, { method: 'POST', body })).text()).toContain(
      'Not done: the depot does not have that many.',
    )
  })

  it('says that it cannot know where the API does not answer, and is healthy itself', async () => {
    const { url } = await depot(() => [503, { error: 'the depot cannot answer now' }])
    const response = await fetch(url)
    expect(response.status).toBe(503)
    expect(await response.text()).toContain('cannot be known now')
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
  })

  it.each([
    ['nothing else', '/admin', {}, 404],
    ['no quantity that is none', '/movements', { method: 'POST', body: 'quantity=many' }, 400],
    ['no form without end', '/movements', { method: 'POST', body: `quantity=1&reason=${'x'.repeat(20_000)}` }, 400],
  ])('answers %s', async (_, path, init, status) => {
    const { url, asked } = await depot(() => [200, {}])
    expect((await fetch(url + path, init)).status).toBe(status)
    expect(asked).toEqual([])
  })

  it('writes text so that it stays text', () => {
    expect(escaped(`<a href='x' title="y">&`)).toBe('&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;')
  })
})
