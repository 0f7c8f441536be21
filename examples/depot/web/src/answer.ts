import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Api } from './api.ts'
import { type Page, pageOf } from './page.ts'

const bodyLimit = 16_384
const headers = {
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
}

/** Answers a browser: the page, what moves, and whether this program runs, which does not depend on the API. */
export function answering({ site, api }: { readonly site: string; readonly api: Api }): RequestListener {
  const show = async (response: ServerResponse, said?: string): Promise<void> => {
    const items = await api.items().catch(() => undefined)
    const page: Page = { site, items, ...(said === undefined ? {} : { said }) }
    response.writeHead(items === undefined ? 503 : 200, { ...headers, 'content-type': 'text/html; charset=utf-8' }).end(pageOf(page))
  }
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname } = new URL(request.url ?? '/', 'http://depot')
    switch (`${request.method} ${pathname}`) {
      case 'GET /healthz':
        response.end('ok\n')
        return
      case 'GET /':
        await show(response)
        return
      case 'POST /movements': {
        const form = await formOf(request)
        const quantity = Number(form?.get('quantity'))
        if (form === undefined || !Number.isSafeInteger(quantity)) {
          text(response, 400, 'Say which item, how many, and why.')
          return
        }
        const movement = { sku: form.get('sku') ?? '', quantity, reason: form.get('reason') ?? '' }
        await show(response, await api.move(movement).catch(() => 'Not known whether it was done: the API does not answer.'))
        return
      }
      default:
        text(response, 404, 'There is nothing here.')
    }
  }
  return (request, response) => {
    answer(request, response).catch((error: unknown) => {
      console.error(`${request.method} ${request.url}: ${error instanceof Error ? error.message : String(error)}`)
      if (!response.headersSent) text(response, 500, 'This went wrong, and not by your doing.')
    })
  }
}

function text(response: ServerResponse, status: number, sentence: string): void {
  response.writeHead(status, { ...headers, 'content-type': 'text/plain; charset=utf-8' }).end(`${sentence}\n`)
}

async function formOf(request: IncomingMessage): Promise<URLSearchParams | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > bodyLimit) return undefined
    chunks.push(chunk)
  }
  return new URLSearchParams(Buffer.concat(chunks).toString('utf8'))
}
