import path from 'node:path'
import {
  hubCertificate,
  hubNodePort,
  installHub,
  joinCluster,
  type Keyring,
  openKeyring,
  type PlaceOptions,
  place,
  placed,
  until,
} from '@muster/fleet'
import {
  type BinarySource,
  type Distribution,
  ensureDaemon,
  type HostClient,
  installPackages,
  planInstall,
  prepareDistribution,
  unmet,
} from '@muster/host'
import { KubeClient, type KubeObject, loadKubeconfig } from '@muster/kube'
import { signatureKeyFromPem } from '@muster/trust'
import { buildLine } from '../build-progress.ts'
import { type Context, clientOf, kubeconfigOf } from '../context.ts'
import { Failure, UsageError } from '../errors.ts'
import { checkFolders } from '../folders.ts'
import { checkHost, rememberBinaries } from '../host.ts'
import { buildOwnImages, type OwnImages, publishOwnImages, writePauseArchive } from '../images.ts'
import { registryAccess, writableRegistry } from '../registry.ts'
import { registryTokenIssuer } from '../registry-token.ts'
import { requireRoot } from '../root.ts'
import { hasLiveLines, runSteps, type Step } from '../steps.ts'
import { publishFolder } from './publish.ts'
import { readFleet, statusTable } from './status.ts'

const children = ['alpha', 'bravo']
const example = { dir: 'examples/podinfo', name: 'podinfo', service: 'http:podinfo:9898', path: 'version' }
const patienceMs = 5 * 60_000
const trustDomain = 'muster.local'

export interface UpOptions {
  readonly install: boolean
  readonly example: boolean
  readonly binaries?: string
  readonly binariesChecksums?: string
  readonly binariesChecksumsSha256?: string
}

/** What one step leaves for those after it. */
interface Progress {
  distribution?: Distribution
  images?: OwnImages
  host?: HostClient
  keyring?: Keyring
}

/** `muster up`: from nothing to a hub and two clusters that run an application signed all the way. Each step does nothing when it is done already. */
export async function up(context: Context, options: UpOptions): Promise<void> {
  if (options.binaries === undefined && (options.binariesChecksums ?? options.binariesChecksumsSha256) !== undefined) {
    throw new UsageError('--binaries-checksums and --binaries-checksums-sha256 go with --binaries.')
  }
  requireRoot()
  await checkFolders(context)
  if (!(await hostIsReady(context, options.install))) return
  const made: Progress = {}
  await runSteps(context, [
    buildStep(context, options, made),
    imagesStep(context, made),
    registryStep(context, made),
    clustersStep(context, made, ['hub', ...children]),
    hubStep(context, made),
    ...['hub', ...children].map((name) => joinStep(context, made, name)),
    ...(options.example ? exampleSteps(context, made) : []),
  ])
  context.stdout.write(`\n${statusTable(await readFleet(context))}\n`)
  if (options.example) context.stdout.write(whatNext)
}

const whatNext = `
What to try next:
  muster status                                            the same again, at any time; -o json for machines
  muster kubectl alpha -- -n podinfo get pods              speak to a cluster
  muster kubectl alpha -- -n podinfo delete service podinfo
                                                           … and see who may: writes to what is signed are refused
  muster break-glass podinfo --cluster alpha --for 10m --reason TEXT
                                                           … and they are let through, for a time
  muster place podinfo --on alpha                          take podinfo away from bravo
  muster publish examples/podinfo                          build, bundle and sign again: nothing has changed
  muster logs                                              what runs on this host
  muster down                                              stop everything
`

/** Installs ordinary packages that are missing, after saying which. False when it only listed them. */
async function hostIsReady(context: Context, install: boolean): Promise<boolean> {
  const { facts, requirements } = await checkHost(context)
  const plan = planInstall(requirements, facts.packageManager)
  if (plan) {
    context.stderr.write(`This host lacks the packages ${plan.packages.join(', ')}.\n`)
    if (!install) {
      context.stdout.write(`${plan.install.join(' ')}\n`)
      return false
    }
    context.stderr.write(`Installing them: ${plan.install.join(' ')}\n`)
    await installPackages(plan, { env: context.environment, signal: context.signal, onLine: () => undefined })
  }
  const missing = unmet((await checkHost(context)).requirements)
  if (missing.length > 0) {
    throw new Failure(
      `This host cannot run embedded clusters:\n${missing.map((one) => `  ${one.needed}: ${one.found}. ${one.fix}`).join('\n')}`,
    )
  }
  return true
}

function buildStep(context: Context, options: UpOptions, made: Progress): Step {
  return {
    title: 'Build Kubernetes and what its nodes need (once; about 10 minutes on two cores)',
    run: async (say) => {
      made.distribution = await prepareDistribution({
        cacheDir: context.cache,
        repoDir: context.checkout,
        env: context.environment,
        signal: context.signal,
        onProgress: (progress) => say(buildLine(progress, { bar: hasLiveLines(context) })),
        ...(options.binaries === undefined ? {} : { binaries: binarySource(options.binaries, options) }),
      })
      await rememberBinaries(context, made.distribution.dir)
      return `Kubernetes ${made.distribution.versions['kubernetes']} is built`
    },
  }
}

function binarySource(from: string, { binariesChecksums, binariesChecksumsSha256 }: UpOptions): BinarySource {
  return {
    from,
    ...(binariesChecksums === undefined ? {} : { checksumsFile: path.resolve(binariesChecksums) }),
    ...(binariesChecksumsSha256 === undefined ? {} : { checksumsSha256: binariesChecksumsSha256 }),
  }
}

function imagesStep(context: Context, made: Progress): Step {
  return {
    title: 'Build the images of hub, agent and DNS',
    run: async (say) => {
      made.images = await buildOwnImages(context, needed(made.distribution), say)
      return 'The images of hub, agent and DNS are built'
    },
  }
}

function registryStep(context: Context, made: Progress): Step {
  return {
    title: 'Start the host daemon and the registry',
    run: async (say) => {
      const distribution = needed(made.distribution)
      const images = needed(made.images)
      const keyring = await openKeyring(path.join(context.state, 'keys'), new Date())
      const host = await ensureDaemon({ instance: context.instance, state: context.state, signal: context.signal })
      await host.startRegistry({ signal: context.signal, onProgress: say })
      const access = await registryAccess(context)
      const registry = writableRegistry(access)
      try {
        await publishOwnImages(context, images, registry, signatureKeyFromPem(keyring.publisher.privateKey), say)
      } finally {
        registry.close()
      }
      await host.start(
        {
          binaries: { dir: distribution.dir },
          nodeImage: { path: distribution.nodeImage.path, digest: distribution.nodeImage.digest },
          pause: await writePauseArchive(context, images),
          dns: { image: images.dns.reference },
          hub: 'hub',
        },
        { signal: context.signal, onProgress: say },
      )
      Object.assign(made, { host, keyring })
      return `The registry answers at ${access.host}`
    },
  }
}

function clustersStep(context: Context, made: Progress, names: readonly string[]): Step {
  return {
    title: `Start the clusters ${names.join(', ')}`,
    run: async (say) => {
      const host = needed(made.host)
      await Promise.all(names.map((name) => host.createCluster({ name }, { signal: context.signal, onProgress: say })))
      return `The clusters ${names.join(', ')} are up`
    },
  }
}

function hubStep(context: Context, made: Progress): Step {
  return {
    title: 'Install the hub',
    run: async () => {
      const keyring = needed(made.keyring)
      const client = await clientOf(context, 'hub')
      try {
        await installHub(
          client,
          {
            image: needed(made.images).hub.reference,
            tls: await hubCertificate(path.join(context.state, 'keys'), keyring.hubAuthority, [await hubAddress(context)], new Date()),
            authority: keyring.hubAuthority,
            channelKey: keyring.channel.privateKey,
            trustRoot: keyring.trustRoot,
            registry: await registryAccess(context),
            publishers: { [keyring.publisher.name]: keyring.publisher.publicKey },
            trustDomain,
          },
          { signal: context.signal, deadlineMs: patienceMs },
        )
      } finally {
        client.close()
      }
      return `The hub answers at ${await hubUrl(context)}`
    },
  }
}

function joinStep(context: Context, made: Progress, name: string): Step {
  return {
    title: `Join ${name} to the fleet`,
    run: async () => {
      const hub = await clientOf(context, 'hub')
      const member = await clientOf(context, name)
      try {
        const keyring = needed(made.keyring)
        const { joined } = await joinCluster(
          {
            hub,
            member,
            cluster: name,
            image: needed(made.images).agent.reference,
            hubUrl: await hubUrl(context),
            hubCa: keyring.hubAuthority.certificate,
            trustRoot: keyring.trustRoot,
            issueRegistryToken: await registryTokenIssuer(context, name),
            now: new Date(),
          },
          { signal: context.signal, deadlineMs: patienceMs },
        )
        return joined ? `${name} has joined the fleet` : `${name} is a member of the fleet`
      } finally {
        hub.close()
        member.close()
      }
    },
  }
}

function exampleSteps(context: Context, made: Progress): Step[] {
  let request: PlaceOptions | undefined
  return [
    {
      title: 'Build podinfo from source, bundle it, sign it, publish it',
      run: async (say) => {
        const bundle = await publishFolder(context, path.join(context.checkout, example.dir), {
          signer: signatureKeyFromPem(needed(made.keyring).publisher.privateKey),
          onProgress: say,
        })
        request = { name: example.name, bundle, namespace: example.name, clusters: children }
        return `${example.name} ${bundle.version} is published and signed: ${bundle.digest}`
      },
    },
    {
      title: `Place podinfo on ${children.join(' and ')}`,
      run: async () => {
        const hub = await clientOf(context, 'hub')
        try {
          const placement = await place(hub, needed(request), context.signal)
          await placed(hub, placement, { signal: context.signal, deadlineMs: patienceMs })
        } finally {
          hub.close()
        }
        return `podinfo is ready in ${children.join(' and ')}`
      },
    },
    {
      title: 'Ask podinfo in both clusters',
      run: async () => {
        for (const name of children) await answers(context, name)
        return `podinfo answers in ${children.join(' and ')}`
      },
    },
  ]
}

/** Asks the example through its Service, by way of the API server. */
async function answers(context: Context, name: string): Promise<void> {
  const client = await clientOf(context, name)
  try {
    await until(
      { signal: context.signal, deadlineMs: patienceMs },
      `podinfo in ${name}`,
      () => 'it does not answer',
      async (signal) => {
        await client.raw('GET', `/api/v1/namespaces/${example.name}/services/${example.service}/proxy/${example.path}`, { signal })
        return true
      },
    )
  } finally {
    client.close()
  }
}

/** Where agents reach the hub: a port of the hub's node. */
async function hubUrl(context: Context): Promise<string> {
  return `https://${await hubAddress(context)}:${hubNodePort}`
}

async function hubAddress(context: Context): Promise<string> {
  const client = new KubeClient(await loadKubeconfig(await kubeconfigOf(context, 'hub')))
  try {
    const { items } = await client.list<NodeAddresses>({ apiVersion: 'v1', kind: 'Node' }, { signal: context.signal })
    const address = items[0]?.status?.addresses?.find((one) => one.type === 'InternalIP')?.address
    if (!address) throw new Failure('The hub cluster has no node with an address yet. Run "muster up" again in a moment.')
    return address
  } finally {
    client.close()
  }
}

interface NodeAddresses extends KubeObject {
  readonly status?: { readonly addresses?: readonly { readonly type: string; readonly address: string }[] }
}

/** A thing that an earlier step made. */
function needed<T>(thing: T | undefined): T {
  if (thing === undefined) throw new Error('A step of "muster up" was left out: this is a mistake in Muster, please report it.')
  return thing
}
