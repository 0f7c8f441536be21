import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer } from 'node:tls'
import { describe, expect, it } from 'vitest'
import { certificateInfo, createAuthority, createKeyPair, createRequest, issueCertificate, PkiError, readRequest } from './index.ts'
import { x509 } from './x509.ts'

const now = new Date()

describe('certificates', () => {
  it('serve TLS to a client that trusts the authority, and identify the client by its SPIFFE id', async () => {
    const authority = await createAuthority('test', { days: 1, now })
    const server = await issueCertificate(authority, { commonName: 's', addresses: ['127.0.0.1'], usages: ['server'], days: 1, now })
    const client = await issueCertificate(authority, {
      commonName: 'alpha',
      uris: ['spiffe://example.test/cluster/alpha'],
      usages: ['client'],
      days: 1,
      now,
    })
    const listener = createServer({ key: server.privateKey, cert: server.certificate, ca: authority.certificate, requestCert: true })
    const identified = new Promise<string | undefined>((resolve) => {
      listener.on('secureConnection', (socket) => resolve(socket.getPeerX509Certificate()?.subjectAltName))
    })
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const address = listener.address()
    const port = typeof address === 'object' && address ? address.port : 0
    const socket = connect({ host: '127.0.0.1', port, ca: authority.certificate, key: client.privateKey, cert: client.certificate })
    await once(socket, 'secureConnect')
    expect(await identified).toBe('URI:spiffe://example.test/cluster/alpha')
    socket.destroy()
    listener.close()
  })

  it('carry a name with commas and equal signs as it is, adding no attribute', async () => {
    const authority = await createAuthority('test', { days: 1, now })
    const { certificate } = await issueCertificate(authority, {
      commonName: 'a,O=system:masters',
      organizations: ['system:nodes'],
      usages: ['client'],
      days: 1,
      now,
    })
    const subject = new X509Certificate(certificate).toLegacyObject().subject
    expect(subject.O).toBe('system:nodes')
    expect(subject.CN).toBe('a,O=system:masters')
  })

  it('name their issuer in the bytes of its own certificate, as verifiers that compare bytes demand', async () => {
    const authority = await createAuthority('test', { days: 1, now })
    const { certificate } = await issueCertificate(authority, { commonName: 's', usages: ['server'], days: 1, now })
    const issuer = new x509.X509Certificate(authority.certificate)
    const issued = new x509.X509Certificate(certificate)
    expect(Buffer.from(issued.issuerName.toArrayBuffer())).toEqual(Buffer.from(issuer.subjectName.toArrayBuffer()))
  })

  it('tell how much of their life is left', async () => {
    const authority = await createAuthority('test', { days: 10, now })
    expect(certificateInfo(authority.certificate, now).remaining).toBeGreaterThan(0.99)
    expect(certificateInfo(authority.certificate, new Date(now.getTime() + 11 * 86_400_000)).remaining).toBe(0)
  })
})

describe('requests', () => {
  it('are accepted with the key that signed them', async () => {
    const keys = createKeyPair()
    const request = await readRequest(await createRequest(keys.privateKey, 'alpha'))
    expect(request).toEqual({ commonName: 'alpha', publicKey: keys.publicKey })
  })

  it('are refused when a byte of them was changed', async () => {
    const pem = await createRequest(createKeyPair().privateKey, 'alpha')
    const der = Buffer.from(pem.replace(/-----[^-]+-----|\n/g, ''), 'base64')
    der[der.length - 3] = (der[der.length - 3] ?? 0) ^ 1
    const changed = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`
    await expect(readRequest(changed)).rejects.toBeInstanceOf(PkiError)
  })

  it('are refused when they are no requests', async () => {
    await expect(readRequest('hello')).rejects.toMatchObject({ code: 'RequestUnreadable' })
    await expect(readRequest('x'.repeat(20_000))).rejects.toMatchObject({ code: 'RequestUnreadable' })
  })
})
