import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { type Descriptor, pushArtifact, Registry, serveRegistry } from '@muster/oci'
import {
  attach,
  evaluate,
  generateKeyPair,
  mergePolicies,
  readEvidence,
  type Subject,
  signatureKeyFromPem,
  signStatement,
} from '@muster/trust'
import { goPeer, goPeers } from '../test/peers/peers.ts'
import type { BenchContext, Benchmark } from './harness.ts'
import { run } from './program.ts'

const user = { name: 'writer', password: 'write me', access: 'write' as const }
const predicateType = 'https://example.test/review/v1'

interface SignedImage {
  readonly name: string
  readonly descriptor: Descriptor
}

export const verifyMany: Benchmark = {
  name: 'verify-many',
  about: '100 signed images verified in one call, beside 100 calls of cosign; one warm in a process',
  run: async (context) => {
    const { scratch, signal, quick } = context
    const cosign = await goPeer(goPeers.cosign)
    const count = quick ? 5 : 100
    const server = await serveRegistry({ root: path.join(scratch, 'signed'), listen: { host: '127.0.0.1', port: 0 }, users: [user] })
    const host = `127.0.0.1:${server.port}`
    const registry = new Registry({ host, plainHttp: true, credentials: { username: user.name, password: user.password } })
    try {
      const keys = generateKeyPair()
      const keyFile = path.join(scratch, 'signed.pub')
      await writeFile(keyFile, keys.publicKey)
      const auth = Buffer.from(`${user.name}:${user.password}`).toString('base64')
      await writeFile(path.join(scratch, 'config.json'), JSON.stringify({ auths: { [host]: { auth } } }), { mode: 0o600 })
      context.say(`sign ${count} images`)
      const images = await signedImages(registry, count, keys.privateKey)
      const references = images.map(({ name, descriptor }) => `${host}/${name}@${descriptor.digest}`)
      const env = { ...process.env, DOCKER_CONFIG: scratch, MUSTER_STATE: path.join(scratch, 'no-instance'), NO_COLOR: '1' }
      const own: number[] = []
      const theirs: number[] = []
      for (let round = 0; round < (quick ? 1 : 3); round += 1) {
        own.push(
          await seconds(() =>
            run(path.join(context.checkout, 'muster'), ['verify', ...references, '--plain-http', '--key', keyFile], { env, signal }),
          ),
        )
        theirs.push(
          await seconds(async () => {
            for (const one of references) await run(cosign, ['verify', '--key', keyFile, '--insecure-ignore-tlog', one], { env, signal })
          }),
        )
        context.say(`round ${round + 1}: ${own.at(-1)?.toFixed(2)} s, cosign ${theirs.at(-1)?.toFixed(2)} s`)
      }
      const { anew, known } = await warm(context, registry, images, keys.publicKey)
      return [
        {
          figure: `${count} signed images verified in one call`,
          unit: 's',
          values: own,
          peer: { name: `${count} calls of cosign ${goPeers.cosign.version}`, values: theirs },
          note: 'the target is 5 times better; start of the process and 100 manifests included, over plain HTTP on loopback',
        },
        {
          figure: 'one image verified, what hangs on it known',
          unit: 'ms',
          values: known,
          below: 5,
          note: 'a signature and an attestation with a condition, by their bytes: what a process does for a digest that it has met',
        },
        {
          figure: 'one image verified, all of it read anew',
          unit: 'ms',
          values: anew,
          note: 'the same, with nine requests over an open connection to a registry in the same process',
        },
      ]
    } finally {
      registry.close()
      await server.close()
    }
  },
}

async function signedImages(registry: Registry, count: number, privateKey: string): Promise<SignedImage[]> {
  const key = signatureKeyFromPem(privateKey)
  const images: SignedImage[] = []
  for (let at = 0; at < count; at += 1) {
    const name = `team/app-${at}`
    const repository = registry.repository(name)
    const descriptor = await pushArtifact(
      repository,
      { artifactType: 'application/x-bench', layers: [], annotations: { at: String(at) } },
      { tag: '1.0' },
    )
    await attach(repository, descriptor, await signStatement({ subject: descriptor, key }))
    await attach(repository, descriptor, await signStatement({ subject: descriptor, key, predicateType, predicate: { findings: 0 } }))
    images.push({ name, descriptor })
  }
  return images
}

async function warm(
  { signal, quick }: BenchContext,
  registry: Registry,
  images: readonly SignedImage[],
  publicKey: string,
): Promise<{ anew: number[]; known: number[] }> {
  const policy = await mergePolicies([
    {
      name: 'bench',
      level: 'organization',
      rules: {
        authorities: [{ name: 'key', key: { publicKeys: [publicKey] } }],
        rules: [
          {
            name: 'signed',
            match: { images: ['**'] },
            signatures: [{ authorities: ['key'] }],
            attestations: [{ predicateType, authorities: ['key'], where: ['predicate.findings == 0'] }],
          },
        ],
      },
    },
  ])
  const anew: number[] = []
  const known: number[] = []
  for (const [round, { name, descriptor }] of [...images, ...images].entries()) {
    const subject: Subject = { kind: 'image', names: [name], digest: descriptor.digest }
    const started = performance.now()
    const evidence = await readEvidence([registry.repository(name)], descriptor, { signal })
    const read = performance.now()
    const { accepted, message } = await evaluate(subject, evidence, policy, { now: new Date() })
    if (!accepted) throw new Error(`${name} was refused: ${message}`)
    // The first ones open the connection and have the code compiled.
    if (round < (quick ? 2 : 20)) continue
    anew.push(performance.now() - started)
    known.push(performance.now() - read)
  }
  return { anew, known }
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return (performance.now() - started) / 1000
}
