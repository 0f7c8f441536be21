import { copy, Registry } from '@muster/oci'
import { goPeers } from '../test/peers/peers.ts'
import { distribution3 } from '../test/peers/registries.ts'
import type { BenchContext, Benchmark } from './harness.ts'
import { Discarded, type GeneratedImage, generateImage } from './image.ts'
import { cpuSeconds, memory } from './program.ts'
import { type RunningRegistry, startDistribution, startMuster } from './registries.ts'

const MiB = 2 ** 20

/** What is measured of one registry. Throughput in MB/s (10^6 bytes). */
interface Sample {
  readonly push: number[]
  readonly pull: number[]
  readonly parallel: number[]
}

/** Both registries speak TLS, as they are deployed, and are spoken to by our client, in turns, on the same disk. */
export const registry: Benchmark = {
  name: 'registry',
  about: 'pushing and pulling images, beside distribution 3',
  run: async (context) => {
    await distribution3.program()
    // Three control planes, even idle ones, would be measured too.
    await context.release()
    const running = [await startMuster(context), await startDistribution(context)]
    try {
      const samples = running.map((): Sample => ({ push: [], pull: [], parallel: [] }))
      // Client and servers have done everything once before it counts.
      for (const one of running) await pushAndPull(context, one, generateImage(4, 4 * MiB))
      const cpuBefore = await Promise.all(running.map(({ pid }) => cpuSeconds(pid)))
      for (let round = 0; round < (context.quick ? 1 : 3); round += 1) {
        const large = generateImage(4, (context.quick ? 16 : 256) * MiB)
        const turns = round % 2 === 0 ? [...running.entries()] : [...running.entries()].reverse()
        for (const [at, one] of turns) await pushAndPull(context, one, large, samples[at])
      }
      const image = generateImage(4, (context.quick ? 5 : 50) * MiB)
      for (const [at, one] of running.entries()) await pullInParallel(context, one, image, samples[at])
      const memories = await Promise.all(running.map(async ({ pid }) => (await memory(pid)).peak))
      const cpu = await Promise.all(running.map(async ({ pid }, at) => (await cpuSeconds(pid)) - (cpuBefore[at] ?? 0)))
      const [own, theirs] = samples
      if (own === undefined || theirs === undefined) throw new Error('A registry was not measured.')
      const name = `distribution ${goPeers.distribution3.version}`
      const compare = (key: keyof Sample) => ({ values: own[key], peer: { name, values: theirs[key] } })
      const [size, pulls, small] = context.quick ? ['64 MiB', 5, '20 MiB'] : ['1 GiB', 50, '200 MiB']
      return [
        {
          figure: `registry: push of ${size} in 4 blobs`,
          unit: 'MB/s',
          ...compare('push'),
          note: 'both sync each blob before they say that they have it; Muster also syncs the directories that name it',
        },
        { figure: `registry: pull of ${size}`, unit: 'MB/s', ...compare('pull') },
        { figure: `registry: ${pulls} parallel pulls of an image of ${small}`, unit: 'MB/s', ...compare('parallel') },
        {
          figure: 'registry: peak memory (RSS) through all this',
          unit: 'MiB',
          values: memories.slice(0, 1),
          below: 150,
          peer: { name, values: memories.slice(1) },
        },
        {
          figure: 'registry: CPU time of the server for all this',
          unit: 's',
          values: cpu.slice(0, 1),
          peer: { name, values: cpu.slice(1) },
          note: 'the rest of the two cores is the client, which verifies all that it pulls: it takes its share of both throughputs',
        },
      ]
    } finally {
      for (const one of running) await one.stop()
    }
  },
}

async function pushAndPull({ signal, say }: BenchContext, target: RunningRegistry, image: GeneratedImage, sample?: Sample): Promise<void> {
  say(`push and pull, ${target.name}`)
  const client = new Registry(target.access)
  try {
    const repository = client.repository('bench/large')
    const pushing = performance.now()
    await copy(image, repository, image.descriptor, { tag: 'now', signal })
    sample?.push.push(megabytesPerSecond(image.size, pushing))
    const pulling = performance.now()
    await copy(repository, new Discarded(), image.descriptor, { signal })
    sample?.pull.push(megabytesPerSecond(image.size, pulling))
  } finally {
    client.close()
  }
}

/** As many clients as pulls, as many nodes would be. */
async function pullInParallel(
  { quick, signal, say }: BenchContext,
  target: RunningRegistry,
  image: GeneratedImage,
  sample?: Sample,
): Promise<void> {
  const clients = Array.from({ length: quick ? 5 : 50 }, () => new Registry(target.access))
  try {
    const [first] = clients
    if (first === undefined) return
    await copy(image, first.repository('bench/small'), image.descriptor, { signal })
    say(`${clients.length} parallel pulls, ${target.name}`)
    const started = performance.now()
    await Promise.all(clients.map((client) => copy(client.repository('bench/small'), new Discarded(), image.descriptor, { signal })))
    sample?.parallel.push(megabytesPerSecond(image.size * clients.length, started))
  } finally {
    for (const client of clients) client.close()
  }
}

function megabytesPerSecond(bytes: number, started: number): number {
  return bytes / 1e6 / ((performance.now() - started) / 1000)
}
