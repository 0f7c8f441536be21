import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { copy, Registry } from '@muster/oci'
import { debianPeer, goPeer, goPeers } from '../test/peers/peers.ts'
import type { BenchContext, Benchmark } from './harness.ts'
import { generateImage } from './image.ts'
import { type RunningRegistry, startDistribution, startMuster } from './registries.ts'
import { timed } from './timed.ts'

const MiB = 2 ** 20

interface Sample {
  readonly seconds: number[]
  readonly peak: number[]
}

/** Programs as people run them, one process each time, from one registry to another and to a folder. Each target is new. */
export const relocate: Benchmark = {
  name: 'relocate',
  about: 'an artifact of 1 GiB from registry to registry and to a folder, beside skopeo copy and crane copy',
  run: async (context) => {
    const crane = await goPeer(goPeers.crane)
    const skopeo = await skopeoCommand()
    await context.release()
    const [from, to] = [await startMuster(context), await startDistribution(context)]
    const settings = path.join(context.scratch, 'relocate')
    try {
      await writeSettings(settings, from, to)
      const samples = new Map<string, Sample>()
      const rounds = context.quick ? 1 : 3
      for (let round = 0; round < rounds; round += 1) {
        // New content each round: skopeo remembers where blobs are, and would mount them instead of copying.
        await fill(from, generateImage(4, (context.quick ? 8 : 256) * MiB), `${round}`, context)
        const source = `${from.access.host}/bench:${round}`
        const registry = (name: string): string => `${to.access.host}/${name}-${round}:1`
        const folder = (name: string): string => path.join(settings, `${name}-${round}`)
        const runs: readonly (readonly [string, readonly string[]])[] = [
          ['muster to registry', [path.join(context.checkout, 'muster'), 'relocate', source, registry('muster')]],
          [
            'skopeo to registry',
            [...skopeo, 'copy', '--quiet', ...certificates(settings, true), `docker://${source}`, `docker://${registry('skopeo')}`],
          ],
          ['crane to registry', [crane, 'copy', '--insecure', source, registry('crane')]],
          ['muster to folder', [path.join(context.checkout, 'muster'), 'relocate', source, `oci:${folder('muster')}:1`]],
          [
            'skopeo to folder',
            [...skopeo, 'copy', '--quiet', ...certificates(settings, false), `docker://${source}`, `oci:${folder('skopeo')}:1`],
          ],
          ['crane to folder', [crane, 'pull', '--insecure', '--format=oci', source, folder('crane')]],
        ]
        // In turns, from another one each round.
        for (let at = 0; at < runs.length; at += 1) {
          const [name, [program = '', ...args]] = runs[(at + round) % runs.length] ?? ['', []]
          context.say(`${name}, round ${round + 1} of ${rounds}`)
          const { seconds, peak } = await timed(program, args, environment(settings, context.cache), context.signal)
          const sample = samples.get(name) ?? { seconds: [], peak: [] }
          sample.seconds.push(seconds)
          sample.peak.push(peak)
          samples.set(name, sample)
        }
        for (const name of ['muster', 'skopeo', 'crane']) await rm(folder(name), { recursive: true, force: true })
      }
      const of = (name: string): Sample => samples.get(name) ?? { seconds: [], peak: [] }
      const size = context.quick ? '32 MiB' : '1 GiB'
      return ['registry', 'folder'].flatMap((target) => [
        ...['skopeo', 'crane'].map((peer) => ({
          figure: `relocate ${size} from registry to ${target}`,
          unit: 's' as const,
          values: of(`muster to ${target}`).seconds,
          peer: { name: `${peer} copy`, values: of(`${peer} to ${target}`).seconds },
          note: 'Muster syncs what it writes, carries what hangs on the artifact, and counts it at the target; the peers do none of that',
        })),
        {
          figure: `relocate: peak memory (RSS), to ${target}`,
          unit: 'MiB' as const,
          values: of(`muster to ${target}`).peak,
          below: 150,
          peer: { name: 'skopeo copy', values: of(`skopeo to ${target}`).peak },
        },
      ])
    } finally {
      for (const one of [from, to]) await one.stop()
    }
  },
}

/** Unpacked and not installed, with the libraries that not every machine has; without a policy of signatures, which is not measured. */
async function skopeoCommand(): Promise<string[]> {
  const libraries: string[] = []
  const folder = `usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`
  for (const [name, file] of [
    ['libgpgme11', 'libgpgme.so.11'],
    ['libassuan0', 'libassuan.so.0'],
  ] as const) {
    libraries.push(path.dirname(await debianPeer(name, path.join(folder, file))))
  }
  return ['env', `LD_LIBRARY_PATH=${libraries.join(':')}`, await debianPeer('skopeo', 'usr/bin/skopeo'), '--insecure-policy']
}

async function fill(
  { access }: RunningRegistry,
  image: ReturnType<typeof generateImage>,
  tag: string,
  { signal }: BenchContext,
): Promise<void> {
  const client = new Registry(access)
  try {
    await copy(image, client.repository('bench'), image.descriptor, { tag, signal })
  } finally {
    client.close()
  }
}

/** Credentials and certificates as each program finds them. */
async function writeSettings(folder: string, from: RunningRegistry, to: RunningRegistry): Promise<void> {
  await mkdir(folder, { recursive: true })
  const { username = '', password = '' } = from.access.credentials ?? {}
  const auth = Buffer.from(`${username}:${password}`).toString('base64')
  await writeFile(path.join(folder, 'config.json'), JSON.stringify({ auths: { [from.access.host]: { auth } } }))
  for (const { access } of [from, to]) {
    const certs = path.join(folder, '.config', 'containers', 'certs.d', access.host)
    await mkdir(certs, { recursive: true })
    await writeFile(path.join(certs, 'ca.crt'), access.ca ?? '')
  }
}

function certificates(folder: string, target: boolean): string[] {
  return [`--authfile=${path.join(folder, 'config.json')}`, '--src-tls-verify=false', ...(target ? ['--dest-tls-verify=false'] : [])]
}

function environment(folder: string, cache: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    HOME: folder,
    DOCKER_CONFIG: folder,
    MUSTER_STATE: folder,
    MUSTER_CACHE: cache,
    NO_COLOR: '1',
  }
}
