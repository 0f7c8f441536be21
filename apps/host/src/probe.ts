import { readFile } from 'node:fs/promises'
import { request as plainRequest } from 'node:http'
import { request } from 'node:https'
import type { CertificateFiles } from './pki.ts'

/** An HTTPS answer, read whole and bounded. */
export interface Answer {
  readonly status: number
  readonly body: string
}

const bodyLimit = 64 * 1024

/** Asks a component: over TLS against the authority given, with a client certificate where given; health ports of a node have neither. */
export async function ask(
  url: string,
  options: { readonly ca?: string; readonly client?: CertificateFiles; readonly signal: AbortSignal },
): Promise<Answer> {
  const ca = options.ca === undefined ? {} : { ca: await readFile(options.ca) }
  const identity =
    options.client === undefined ? {} : { cert: await readFile(options.client.certificate), key: await readFile(options.client.key) }
  const send = url.startsWith('https:') ? request : plainRequest
  return await new Promise((resolve, reject) => {
    const sent = send(url, { ...ca, ...identity, signal: options.signal, agent: false, timeout: 5_000 }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        body += chunk
        if (body.length > bodyLimit) sent.destroy(new Error(`${url} answered more than ${bodyLimit} bytes`))
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', reject)
    })
    sent.on('timeout', () => sent.destroy(new Error(`${url} did not answer in time`)))
    sent.on('error', reject)
    sent.end()
  })
}

/** Throws unless the answer is 200. */
export async function expectOk(url: string, options: Parameters<typeof ask>[1]): Promise<void> {
  const answer = await ask(url, options)
  if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}: ${answer.body.slice(0, 200)}`)
}
