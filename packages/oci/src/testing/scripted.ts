import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { onTestFinished } from 'vitest'

export interface Seen {
  readonly method: string
  readonly url: string
  readonly authorization: string | undefined
  readonly headers: IncomingMessage['headers']
}

/** A plain HTTP server that does what a test says, and remembers what it was asked. */
export async function scripted(
  answer: (request: IncomingMessage, response: ServerResponse, count: number) => void,
): Promise<{ host: string; url: string; seen: Seen[] }> {
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    request.resume()
    request.on('error', () => {})
    const { method = '', url = '', headers } = request
    seen.push({ method, url, authorization: headers.authorization, headers })
    answer(request, response, seen.length)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  const host = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
  return { host, url: `http://${host}`, seen }
}
