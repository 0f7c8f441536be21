import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkout, eventually, type Outcome, run } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'
import { SmallBundles } from '../environment/small-bundle.ts'

const here = sharedInstance()
const thereId = `${here.id}air`
const namespace = `mu-${thereId}`
const name = 'carried'
const reference = `bundles/${name}:1.0.0`
let folder: string
let bundles: SmallBundles
let archive: string
let policy: string

/** What hangs on an artifact, as `muster tree` tells it. */
interface Node {
  readonly kind: string
  readonly digest: string
  readonly members: readonly Node[]
  readonly referrers: readonly Node[]
}

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), `muster-${thereId}-`))
  bundles = await SmallBundles.open(here, name)
  archive = path.join(folder, 'carried.tar.zst')
  policy = path.join(folder, 'trust.yaml')
  await succeed(['ip', 'netns', 'add', namespace])
  await there('ip', 'link', 'set', 'lo', 'up')
})

afterAll(async () => {
  await there(path.join(checkout, 'muster'), 'down', '--purge')
  await succeed(['ip', 'netns', 'del', namespace])
  await bundles.close()
  await rm(folder, { recursive: true, force: true })
})

describe('a site without a route to anywhere', () => {
  it('takes in a file what was made elsewhere, finds all that hangs on it, verifies it, and runs it', { timeout: 600_000 }, async () => {
    const published = await bundles.publish(
      '1.0.0',
      `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: carried\ndata:\n  from: elsewhere\n`,
    )
    await reviewed()
    const before = hanging(JSON.parse(await here.succeed('tree', reference, '-o', 'json')) as Node)
    expect(before['signature']).toBeGreaterThanOrEqual(2)
    expect(before['attestation']).toBeGreaterThanOrEqual(1)
    await here.succeed('relocate', reference, archive, '--policy', policy)

    expect((await there('ip', 'route')).stdout).toBe('')
    await musterThere('up', '--no-example')
    await musterThere('verify', archive, '--policy', policy)
    await musterThere('relocate', archive, reference, '--policy', policy)
    const tree = JSON.parse(await musterThere('tree', reference, '-o', 'json')) as Node
    expect(tree.digest).toBe(published.digest)
    expect(hanging(tree)).toEqual(before)
    await musterThere('verify', reference, '--policy', policy)

    // The site's own word on whom it trusts: its hub puts it into the channels, and its agents verify by it.
    const publisher = await readFile(path.join(here.state, 'keys', 'publisher.pub'), 'utf8')
    const trusted = JSON.stringify({ data: { elsewhere: publisher } })
    await musterThere(
      'kubectl',
      'hub',
      '--',
      '-n',
      'muster-system',
      'patch',
      'configmap',
      'muster-publishers',
      '--type=merge',
      '-p',
      trusted,
    )
    await musterThere('kubectl', 'hub', '--', 'apply', '-f', policy)
    await musterThere('place', name, '--on', 'alpha')
    const data = await eventually(
      async () => musterThere('kubectl', 'alpha', '--', '-n', name, 'get', 'configmap', 'carried', '-o', 'jsonpath={.data.from}'),
      { withinMs: 60_000, everyMs: 500, what: 'the bundle runs there' },
    )
    expect(data).toBe('elsewhere')
    const { clusters } = JSON.parse(await musterThere('status', '-o', 'json')) as {
      clusters: { name: string; releases: { name: string; digest: string; signedBy: string; ready: boolean }[] }[]
    }
    const release = clusters.find((cluster) => cluster.name === 'alpha')?.releases.find((one) => one.name === name)
    expect(release).toMatchObject({ ready: true, digest: published.digest, signedBy: 'elsewhere, reviewer' })
  })
})

/** A reviewer signs and attests it, and a policy demands both. */
async function reviewed(): Promise<void> {
  const [passphrase, key, result] = ['passphrase', 'reviewer', 'result.json'].map((file) => path.join(folder, file)) as [
    string,
    string,
    string,
  ]
  await writeFile(passphrase, 'correct horse battery staple\n')
  await writeFile(result, JSON.stringify({ result: 'PASSED', configuration: [{ name: 'acceptance', digest: { sha256: '0'.repeat(64) } }] }))
  await here.succeed('key', 'create', key, '--passphrase-file', passphrase)
  const signing = ['--key', `${key}.key`, '--passphrase-file', passphrase]
  await here.succeed('sign', reference, ...signing)
  await here.succeed('attest', reference, '--type', 'test-result', '--predicate', result, ...signing)
  const publicKey = await readFile(`${key}.pub`, 'utf8')
  await writeFile(
    policy,
    JSON.stringify({
      apiVersion: 'muster.dev/v1alpha1',
      kind: 'TrustPolicy',
      metadata: { name: 'reviewed' },
      spec: {
        authorities: [{ name: 'reviewer', key: { publicKeys: [publicKey] } }],
        rules: [
          {
            name: 'bundles-are-tested',
            match: { bundles: ['**'] },
            signatures: [{ authorities: ['reviewer'] }],
            attestations: [
              {
                predicateType: 'https://in-toto.io/attestation/test-result/v0.1',
                authorities: ['reviewer'],
                where: ['predicate.result == "PASSED"'],
              },
            ],
          },
        ],
      },
    }),
  )
}

/** How many of each kind hang on an artifact and its parts. */
function hanging(tree: Node): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const node of flat(tree)) counts[node.kind] = (counts[node.kind] ?? 0) + 1
  return counts
}

function flat(node: Node): Node[] {
  return [node, ...[...node.members, ...node.referrers].flatMap(flat)]
}

/** In the network namespace, in which nothing but loopback and what the instance makes exists. */
async function there(...command: string[]): Promise<Outcome> {
  return run('nsenter', [`--net=/run/netns/${namespace}`, ...command], {
    env: { ...process.env, MUSTER_INSTANCE: thereId, MUSTER_STATE: path.join(folder, 'state'), NO_COLOR: '1' },
  })
}

async function musterThere(...args: string[]): Promise<string> {
  const outcome = await there(path.join(checkout, 'muster'), ...args)
  if (outcome.code !== 0) throw new Error(`muster ${args.join(' ')} ended with ${outcome.code}:\n${outcome.stdout}\n${outcome.stderr}`)
  return outcome.stdout
}

async function succeed([command = '', ...args]: readonly string[]): Promise<void> {
  const outcome = await run(command, args)
  if (outcome.code !== 0) throw new Error(`${command} ${args.join(' ')}: ${outcome.stderr}`)
}
