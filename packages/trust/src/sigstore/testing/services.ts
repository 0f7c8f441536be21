import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { goPeer, goPeers } from '../../../../../test/peers/peers.ts'
import { end, firstAnswer, freePorts } from '../../../../../test/peers/process.ts'

export interface Services {
  readonly timestampUrl: string
  readonly fulcioUrl: string
  readonly rekorUrl: string
  readonly issuer: string
  /** PEM files. */
  readonly timestampChain: string
  readonly fulcioChain: string
  readonly rekorKey: string
  /** The name that Rekor signs its checkpoints with. */
  readonly rekorOrigin: string
  token(email: string): string
  stop(): Promise<void>
}

/** Sigstore's own servers, on loopback: timestamp authority, Fulcio with an OIDC issuer of the test, Rekor on tiles. */
export async function startServices(dir: string): Promise<Services> {
  const children: ChildProcess[] = []
  const start = (program: string, args: readonly string[]): ChildProcess => {
    const child = spawn(program, [...args], { stdio: 'ignore', cwd: dir })
    children.push(child)
    return child
  }
  const oidc = await startIssuer()
  const stop = async (): Promise<void> => {
    oidc.close()
    await Promise.all(children.map((child) => end(child)))
  }
  try {
    const [tsaPort, fulcioPort, fulcioGrpc, fulcioMetrics, rekorPort, rekorGrpc, rekorMetrics] = await freePorts(7)
    const timestampUrl = `http://127.0.0.1:${tsaPort}`
    const authority = start(await goPeer(goPeers.timestampServer), [
      'serve',
      '--host',
      '127.0.0.1',
      '--port',
      `${tsaPort}`,
      '--disable-ntp-monitoring',
    ])
    await writeFile(path.join(dir, 'fulcio.yaml'), fulcioConfig(oidc.url))
    const fulcio = start(await goPeer(goPeers.fulcio), [
      'serve',
      ...['--ca', 'ephemeralca', '--ct-log-url', '', '--config-path', path.join(dir, 'fulcio.yaml')],
      ...['--host', '127.0.0.1', '--port', `${fulcioPort}`, '--grpc-host', '127.0.0.1', '--grpc-port', `${fulcioGrpc}`],
      ...['--metrics-port', `${fulcioMetrics}`, '--legacy-unix-domain-socket', path.join(dir, 'fulcio.sock')],
    ])
    const rekorOrigin = 'rekor.example.test'
    const log = generateKeyPairSync('ed25519')
    await writeFile(path.join(dir, 'rekor.pem'), log.privateKey.export({ type: 'pkcs8', format: 'pem' }))
    await writeFile(path.join(dir, 'rekor.pub'), log.publicKey.export({ type: 'spki', format: 'pem' }))
    await mkdir(path.join(dir, 'tiles'))
    const rekor = start(await goPeer(goPeers.rekorTiles), [
      'serve',
      ...['--storage-dir', path.join(dir, 'tiles'), '--hostname', rekorOrigin, '--signer-filepath', path.join(dir, 'rekor.pem')],
      ...[
        '--http-port',
        `${rekorPort}`,
        '--grpc-port',
        `${rekorGrpc}`,
        '--http-metrics-port',
        `${rekorMetrics}`,
        '--checkpoint-interval',
        '1s',
      ],
    ])
    const fulcioUrl = `http://127.0.0.1:${fulcioPort}`
    await writeFile(path.join(dir, 'tsa.pem'), await answer(authority, `${timestampUrl}/api/v1/timestamp/certchain`))
    const bundle = JSON.parse(await answer(fulcio, `${fulcioUrl}/api/v2/trustBundle`)) as { chains: { certificates: string[] }[] }
    await writeFile(path.join(dir, 'fulcio.pem'), (bundle.chains[0]?.certificates ?? []).join('\n'))
    const rekorUrl = `http://127.0.0.1:${rekorPort}`
    await answer(rekor, `${rekorUrl}/healthz`)
    return {
      timestampUrl,
      fulcioUrl,
      rekorUrl,
      issuer: oidc.url,
      timestampChain: path.join(dir, 'tsa.pem'),
      fulcioChain: path.join(dir, 'fulcio.pem'),
      rekorKey: path.join(dir, 'rekor.pub'),
      rekorOrigin,
      token: oidc.token,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** What a server answers at an address, as soon as it does. */
function answer(child: ChildProcess, url: string): Promise<string> {
  const ask = async (): Promise<string | undefined> => {
    const response = await fetch(url)
    return response.ok ? response.text() : undefined
  }
  return firstAnswer(child, ask, { name: url })
}

function fulcioConfig(issuer: string): string {
  return `oidc-issuers:\n  ${issuer}:\n    issuer-url: ${issuer}\n    client-id: sigstore\n    type: email\n`
}

/** An OIDC issuer: its configuration, its key, and tokens for any email. */
async function startIssuer() {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const server = createServer((request, response) => {
    const document = request.url === '/keys' ? { keys: [jwkOf(publicKey)] } : configuration
    response.setHeader('content-type', 'application/json').end(JSON.stringify(document))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const configuration = {
    issuer: url,
    jwks_uri: `${url}/keys`,
    authorization_endpoint: `${url}/auth`,
    token_endpoint: `${url}/token`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
  }
  const token = (email: string): string => {
    const now = Math.floor(Date.now() / 1000)
    const claims = { iss: url, sub: 'test', aud: 'sigstore', iat: now, exp: now + 300, email, email_verified: true }
    const text = [{ alg: 'RS256', typ: 'JWT', kid: keyName(publicKey) }, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.')
    return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`
  }
  return { url, token, close: () => server.close().closeAllConnections() }
}

function jwkOf(key: KeyObject): object {
  return { ...key.export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid: keyName(key) }
}

function keyName(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 16)
}
