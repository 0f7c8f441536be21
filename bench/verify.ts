import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { apiVersion, type Release } from '@muster/api'
import type { RegistryAccess } from '@muster/fleet'
import { KubeClient, type KubeObject, loadKubeconfig } from '@muster/kube'
import { goPeer, goPeers } from '../test/peers/peers.ts'
import type { BenchContext, BenchInstance, Benchmark } from './harness.ts'
import { bundle } from './peers.ts'
import { run } from './program.ts'
import { type VerifyTask, verifyOnce } from './verify-once.ts'

export const verify: Benchmark = {
  name: 'verify',
  about: "the agent fetches and verifies podinfo's bundle with nothing cached, beside cosign",
  run: async (context) => {
    const instance = await context.instance()
    const peer = await goPeer(goPeers.cosign)
    const { task, reader } = await taskOf(instance)
    const taskFile = path.join(context.scratch, 'verify.json')
    await writeFile(taskFile, JSON.stringify(task), { mode: 0o600 })
    const program = path.join(context.scratch, 'verify-once.mjs')
    await bundle(context, path.join(context.checkout, 'bench/verify-main.ts'), program)
    const theirs = await cosignCommand(context, peer, task, reader)
    const inProcess: number[] = []
    const ownProcess: number[] = []
    const cosigns: number[] = []
    // In turns, so that whatever else the machine does falls on all.
    for (let round = 0; round < (context.quick ? 3 : 30); round += 1) {
      inProcess.push(await timed(() => verifyOnce(task, context.signal)))
      ownProcess.push(
        await timed(() => run(process.execPath, [program, taskFile], { env: { PATH: process.env['PATH'] }, signal: context.signal })),
      )
      cosigns.push(await timed(() => run(peer, theirs.args, { env: theirs.env, signal: context.signal })))
    }
    const byCosign = { name: `cosign ${goPeers.cosign.version}, as a process`, values: cosigns }
    return [
      {
        figure: 'bundle verified, nothing cached',
        unit: 'ms',
        values: inProcess,
        below: 50,
        peer: byCosign,
        note: 'a new TLS connection, signature and every byte of the bundle, in a running process as the agent does; cosign reads the signature only',
      },
      { figure: 'bundle verified by a new process', unit: 'ms', values: ownProcess, peer: byCosign, note: 'both with their start' },
    ]
  },
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return performance.now() - started
}

async function taskOf(instance: BenchInstance): Promise<{ task: VerifyTask; reader: RegistryAccess['reader'] }> {
  const { host, ca, reader } = JSON.parse(await readFile(path.join(instance.state, 'registry', 'access.json'), 'utf8')) as RegistryAccess
  const publicKeyFile = path.join(instance.state, 'keys', 'publisher.pub')
  const client = new KubeClient(await loadKubeconfig(instance.kubeconfig('alpha')))
  try {
    const { spec } = await client.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: 'podinfo' })
    const { repository, version, digest } = spec.bundle
    const publishers = [{ name: 'publisher', publicKey: await readFile(publicKeyFile, 'utf8') }]
    return { task: { host, ca, credentials: reader, bundle: { repository, version, digest }, publishers, publicKeyFile }, reader }
  } finally {
    client.close()
  }
}

async function cosignCommand(
  context: BenchContext,
  program: string,
  task: VerifyTask,
  reader: RegistryAccess['reader'],
): Promise<{ args: string[]; env: NodeJS.ProcessEnv }> {
  const dir = path.join(context.scratch, 'cosign')
  await mkdir(dir, { recursive: true })
  const auth = Buffer.from(`${reader.username}:${reader.password}`).toString('base64')
  await writeFile(path.join(dir, 'config.json'), JSON.stringify({ auths: { [task.host]: { auth } } }), { mode: 0o600 })
  await writeFile(path.join(dir, 'ca.crt'), task.ca)
  context.say(`verify with ${program}`)
  return {
    args: ['verify', '--key', task.publicKeyFile, '--insecure-ignore-tlog', `${task.host}/${task.bundle.repository}@${task.bundle.digest}`],
    env: { ...process.env, DOCKER_CONFIG: dir, SSL_CERT_FILE: path.join(dir, 'ca.crt') },
  }
}
