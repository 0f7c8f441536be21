import { createServer } from 'node:http'

/** Greets whoever asks, with the words that its configuration gives. */
const greeting = process.env['GREETING'] ?? 'Hello'

const server = createServer((request, response) => {
  if (request.url === '/healthz') {
    response.end('ok\n')
    return
  }
  const name = new URL(request.url ?? '/', 'http://greeter').searchParams.get('name') ?? 'world'
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(`${greeting}, ${name.slice(0, 100)}!\n`)
})

server.listen(8080)
process.once('SIGTERM', () => server.close())
