import { type ChildProcess, spawn } from 'node:child_process'
import { openSync } from 'node:fs'
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import https from 'node:https'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type Authority, createAuthority, createKeyPair, type IssuedCertificate, type IssueOptions, issueCertificate } from '@muster/pki'
import { end, firstAnswer, freePorts } from '../peers/process.ts'

/** Longest time until a server is ready or has ended, in milliseconds: generous, as test machines are small. */
const patienceMs = 90_000

/** etcd and an API server of a test's own, to be restarted, compacted and re-keyed as it likes. */
export interface TestApiServer {
  /** `https://127.0.0.1:port`; stays the same through restarts. */
  readonly url: string
  /** PEM of the authority behind the server's and the clients' certificates. */
  readonly ca: string
  /** A folder for the test's own files; removed at the end. */
  readonly directory: string
  /** An administrator (system:masters). */
  readonly admin: IssuedCertificate
  /** Issues a certificate that the server believes. */
  issue(options: Partial<IssueOptions> & Pick<IssueOptions, 'commonName'>): Promise<IssuedCertificate>
  /** An authority that nobody knows yet. */
  anotherAuthority(): Promise<Pick<TestApiServer, 'ca' | 'issue'>>
  /** Gives the server another certificate and key for its next connections; it sees the files change. */
  replaceServingCertificate(certificate: IssuedCertificate): Promise<void>
  /** PEM of the certificate that the server shows now. */
  shownCertificate(): Promise<string>
  /** Ends the API server: `SIGTERM` lets it finish, `SIGKILL` is a crash. etcd goes on. */
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>
  /** Starts it again and waits until it is ready. */
  start(): Promise<void>
  /** Kills etcd (SIGKILL), starts it again and waits until it is ready. The API server goes on. */
  crashEtcd(): Promise<void>
  /** Forgets all revisions of etcd up to now. */
  compact(): Promise<void>
  /** Does what an operator does whose etcd is full: compacts, gives the room back, and takes the alarm away. */
  makeRoom(): Promise<void>
  /** Ends both and removes their files. */
  dispose(): Promise<void>
}

/**
 * Starts etcd and kube-apiserver from a folder of programs, on free ports of 127.0.0.1.
 * @param quotaBytes how large etcd may become until it takes no more
 */
export async function startApiServer(bin: string, { quotaBytes }: { readonly quotaBytes?: number } = {}): Promise<TestApiServer> {
  const directory = await mkdtemp(path.join(tmpdir(), 'api-server-'))
  const authority = await createAuthority('test authority', { days: 1, now: new Date() })
  const issuer = (by: Authority) => (options: Partial<IssueOptions> & Pick<IssueOptions, 'commonName'>) =>
    issueCertificate(by, { usages: ['client'], days: 1, now: new Date(), ...options })
  const issue = issuer(authority)
  const admin = await issue({ commonName: 'admin', organizations: ['system:masters'] })
  const server = await issue({ commonName: 'server', addresses: ['127.0.0.1'], dns: ['localhost'], usages: ['server', 'client'] })
  const serviceAccount = createKeyPair()
  const files = await write(directory, { authority, server, serviceAccount })
  const [clientPort, peerPort, port] = await freePorts(3)
  const etcdUrl = `https://127.0.0.1:${clientPort}`
  const url = `https://127.0.0.1:${port}`
  const tls = { ca: authority.certificate, cert: admin.certificate, key: admin.privateKey }
  const running = new Map<string, ChildProcess>()

  const launch = async (program: string, flags: Record<string, string>, ready: () => Promise<boolean>) => {
    const log = path.join(directory, `${program}.log`)
    const output = openSync(log, 'a')
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`)
    const child = spawn(path.join(bin, program), args, { cwd: directory, stdio: ['ignore', output, output] })
    running.set(program, child)
    const said = async (): Promise<string> => (await readFile(log, 'utf8')).slice(-2000)
    await firstAnswer(child, async () => (await ready()) || undefined, { name: program, timeoutMs: patienceMs, log: said })
  }
  const stop = async (program: string, signal: 'SIGTERM' | 'SIGKILL') => {
    const child = running.get(program)
    running.delete(program)
    if (child) await end(child, signal)
  }
  const start = () =>
    launch(
      'kube-apiserver',
      {
        'bind-address': '127.0.0.1',
        // nobody asks for the Service of the API server, and a loopback address cannot be one
        'endpoint-reconciler-type': 'none',
        'secure-port': String(port),
        'tls-cert-file': files.servingCertificate,
        'tls-private-key-file': files.servingKey,
        'client-ca-file': files.ca,
        'anonymous-auth': 'false',
        'authorization-mode': 'RBAC',
        'service-cluster-ip-range': '10.255.0.0/24',
        'etcd-servers': etcdUrl,
        'etcd-cafile': files.ca,
        'etcd-certfile': files.certificate,
        'etcd-keyfile': files.key,
        'service-account-key-file': files.serviceAccountPublic,
        'service-account-signing-key-file': files.serviceAccountKey,
        'service-account-issuer': 'https://kubernetes.default.svc',
        'shutdown-watch-termination-grace-period': '1s',
        // a test's thousands of writes at once are no misuse
        'max-requests-inflight': '2000',
        'max-mutating-requests-inflight': '1000',
        // as on a cluster: some drift tests make a container privileged
        'allow-privileged': 'true',
        profiling: 'false',
      },
      async () => (await ask(`${url}/readyz`, tls)).status === 200,
    )

  const startEtcd = () =>
    launch(
      'etcd',
      {
        'data-dir': path.join(directory, 'etcd'),
        'listen-client-urls': etcdUrl,
        'advertise-client-urls': etcdUrl,
        'listen-peer-urls': `http://127.0.0.1:${peerPort}`,
        'initial-advertise-peer-urls': `http://127.0.0.1:${peerPort}`,
        'initial-cluster': `default=http://127.0.0.1:${peerPort}`,
        'cert-file': files.certificate,
        'key-file': files.key,
        'client-cert-auth': 'true',
        'trusted-ca-file': files.ca,
        'log-level': 'warn',
        ...(quotaBytes === undefined ? {} : { 'quota-backend-bytes': String(quotaBytes) }),
        // nothing here outlives the test
        'unsafe-no-fsync': 'true',
      },
      async () => (await ask(`${etcdUrl}/readyz`, tls)).status === 200,
    )

  const compact = async () => {
    const range = await ask(`${etcdUrl}/v3/kv/range`, tls, { key: 'AA==' })
    const { header } = JSON.parse(range.body) as { header: { revision: string } }
    const answer = await ask(`${etcdUrl}/v3/kv/compaction`, tls, { revision: header.revision, physical: true })
    if (answer.status !== 200) throw new Error(`etcd did not compact: ${answer.body}`)
  }

  const dispose = async () => {
    await stop('kube-apiserver', 'SIGKILL')
    await stop('etcd', 'SIGKILL')
    await rm(directory, { recursive: true, force: true })
  }
  try {
    await startEtcd()
    await start()
  } catch (error) {
    await dispose()
    throw error
  }
  return {
    url,
    ca: authority.certificate,
    directory,
    admin,
    issue,
    async anotherAuthority() {
      const other = await createAuthority('another authority', { days: 1, now: new Date() })
      return { ca: other.certificate, issue: issuer(other) }
    },
    async replaceServingCertificate(certificate) {
      // whole files at once: the server may look at any moment
      await writeFile(`${files.servingKey}.new`, certificate.privateKey, { mode: 0o600 })
      await writeFile(`${files.servingCertificate}.new`, certificate.certificate)
      await rename(`${files.servingKey}.new`, files.servingKey)
      await rename(`${files.servingCertificate}.new`, files.servingCertificate)
    },
    shownCertificate: async () => (await ask(`${url}/version`, { ...tls, rejectUnauthorized: false })).peer,
    stop: (signal = 'SIGTERM') => stop('kube-apiserver', signal),
    start,
    async crashEtcd() {
      await stop('etcd', 'SIGKILL')
      await startEtcd()
    },
    compact,
    async makeRoom() {
      await compact()
      const maintain = async (what: string, body: object): Promise<string> => {
        const answer = await ask(`${etcdUrl}/v3/maintenance/${what}`, tls, body)
        if (answer.status !== 200) throw new Error(`etcd refused ${what}: ${answer.body}`)
        return answer.body
      }
      await maintain('defragment', {})
      const { alarms = [] } = JSON.parse(await maintain('alarm', { action: 'GET' })) as { alarms?: object[] }
      for (const alarm of alarms) await maintain('alarm', { ...alarm, action: 'DEACTIVATE' })
    },
    dispose,
  }
}

async function write(
  directory: string,
  made: { authority: Authority; server: IssuedCertificate; serviceAccount: { privateKey: string; publicKey: string } },
) {
  const file = async (name: string, text: string) => {
    await writeFile(path.join(directory, name), text, { mode: 0o600 })
    return path.join(directory, name)
  }
  return {
    ca: await file('ca.crt', made.authority.certificate),
    certificate: await file('server.crt', made.server.certificate),
    key: await file('server.key', made.server.privateKey),
    servingCertificate: await file('serving.crt', made.server.certificate),
    servingKey: await file('serving.key', made.server.privateKey),
    serviceAccountKey: await file('sa.key', made.serviceAccount.privateKey),
    serviceAccountPublic: await file('sa.pub', made.serviceAccount.publicKey),
  }
}

/** One request on a connection of its own. */
async function ask(url: string, tls: https.RequestOptions, body?: unknown): Promise<{ status: number; body: string; peer: string }> {
  return await new Promise((resolve, reject) => {
    const request = https.request(url, { ...tls, agent: false, method: body === undefined ? 'GET' : 'POST', timeout: 10_000 })
    let peer = ''
    request.on('socket', (socket) =>
      socket.on('secureConnect', () => {
        peer = 'getPeerX509Certificate' in socket ? String((socket as import('node:tls').TLSSocket).getPeerX509Certificate()) : ''
      }),
    )
    request.on('timeout', () => request.destroy(new Error(`no answer from ${url}`)))
    request.on('error', reject)
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString(), peer }))
    })
    request.end(body === undefined ? undefined : JSON.stringify(body))
  })
}
