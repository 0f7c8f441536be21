import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createAuthority, issueCertificate } from '@muster/pki'

/** A real webhook that changes what it is asked for, as sidecar injectors and defaulters do. */
export interface MutatingWebhook {
  /** For a configuration: how the API server reaches it. */
  readonly clientConfig: object
  /** How often it was asked. */
  readonly asked: number
  close(): void
}

/** @param operations a JSON patch for each object that it is asked for */
export async function openMutatingWebhook(operations: (object: { readonly kind: string }) => readonly object[]): Promise<MutatingWebhook> {
  const now = new Date()
  const authority = await createAuthority('webhook', { days: 1, now })
  const shown = await issueCertificate(authority, { commonName: 'webhook', addresses: ['127.0.0.1'], usages: ['server'], days: 1, now })
  let asked = 0
  const server = createServer({ cert: shown.certificate, key: shown.privateKey }, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      asked += 1
      const review = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { request: { uid: string; object: { kind: string } } }
      const patch = Buffer.from(JSON.stringify(operations(review.request.object))).toString('base64')
      const answer = { uid: review.request.uid, allowed: true, patchType: 'JSONPatch', patch }
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer }))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return {
    clientConfig: { url, caBundle: Buffer.from(authority.certificate).toString('base64') },
    get asked() {
      return asked
    },
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
