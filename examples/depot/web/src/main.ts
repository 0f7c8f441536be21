import { createServer } from 'node:http'
import { answering } from './answer.ts'
import { apiAt } from './api.ts'

const { API_URL = 'http://depot-api', SITE = 'Depot' } = process.env

const server = createServer({ requestTimeout: 15_000, maxHeaderSize: 16_384 }, answering({ site: SITE, api: apiAt(API_URL) }))
server.listen(8080)
process.once('SIGTERM', () => {
  server.close()
  server.closeIdleConnections()
})
