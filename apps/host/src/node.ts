import { access, copyFile, mkdir, readFile, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Cgroups } from './cgroup.ts'
import { run } from './command.ts'
import { writeIfChanged } from './files.ts'
import { type ClusterPlan, type Instance, kernelNames, type NodePlan, paths } from './instance.ts'
import { writeKubeconfig } from './kubeconfig.ts'
import { ensureNodeNetwork } from './network.ts'
import {
  cniConfig,
  containerdConfig,
  healthPorts,
  identityFiles,
  inside,
  kubeletConfig,
  kubeProxyConfig,
  registryHosts,
} from './node-config.ts'
import { type NodeImage, verifyNodeImage } from './node-image.ts'
import { type ClusterPki, fingerprint } from './pki.ts'
import { expectOk } from './probe.ts'
import { signalTo } from './proc.ts'
import { type Command, Component, type ComponentSpec } from './process.ts'

const initScript = join(import.meta.dirname, 'node-init.sh')
/** What pods get to end by themselves when their node stops. */
const podGraceMs = 3_000

/** The pause image: an OCI archive on disk, loaded into each node so that no sandbox depends on a registry. */
export interface PauseImage {
  readonly archive: string
  /** Its name in the archive, fully qualified ("muster.dev/pause:1"). */
  readonly image: string
}

interface Options {
  readonly instance: Instance
  readonly cluster: ClusterPlan
  readonly node: NodePlan
  readonly pki: ClusterPki
  readonly instanceCa: string
  readonly reader: { readonly name: string; readonly password: string }
  readonly image: NodeImage
  readonly pause: PauseImage
  readonly cgroups: Cgroups
  readonly log: (message: string) => void
}

/** The processes of a node: `init` holds the namespaces, the others run in them and restart alone. */
export interface Node {
  readonly plan: NodePlan
  readonly init: Component
  readonly containerd: Component
  readonly kubelet: Component
  readonly proxy: Component
}

/** Writes the files of a node and describes its components; nothing is started. */
export async function createNode(options: Options): Promise<Node> {
  const { instance, cluster, node, cgroups } = options
  const places = paths(instance.state)
  const home = places.node(node.name)
  const group = nodeCgroup(instance, node)
  await writeFiles(options)

  const component = (name: string, rest: Omit<ComponentSpec, 'name' | 'cgroup' | 'logFile' | 'recordFile'>) =>
    new Component(
      {
        name: `${node.name}/${name}`,
        cgroup: `${group}/${name}`,
        logFile: join(places.logs, node.name, `${name}.log`),
        recordFile: join(places.run, node.name, `${name}.json`),
        ...rest,
      },
      cgroups,
      options.log,
    )

  const init: Component = component('init', {
    wrapped: true,
    prepare: async () => await verifyNodeImage(options.image),
    command: async () => {
      await cgroups.ensure(`${group}/kubelet`)
      await ensureNodeNetwork(instance, cluster, node)
      return {
        file: 'nsenter',
        args: [
          `--net=/var/run/netns/${node.netns}`,
          ...['unshare', '--mount', '--pid', '--uts', '--ipc', '--fork', '--kill-child=KILL', '/bin/sh', initScript],
          ...[options.image.path, join(home, 'root'), join(home, 'var'), node.name],
        ],
        fingerprint: `${options.image.digest} ${await readFile(initScript, 'utf8')}`,
      }
    },
    probe: async () => {
      const pid = await init.pid()
      await access(`/proc/${pid}/root${inside.ready}`)
    },
    readyTimeoutMs: 30_000,
    stopTimeoutMs: 2_000,
  })

  /** A program in the node's namespaces. It dies with the program that entered them for it. */
  const entering = async (signal: AbortSignal, program: readonly string[], reads: readonly string[]): Promise<Command> => {
    await init.whenReady(signal, 60_000)
    return {
      file: 'nsenter',
      args: [...(await intoNode(init)), '/usr/bin/setpriv', '--pdeathsig=KILL', ...program],
      env: { PATH: inside.path },
      fingerprint: (await Promise.all(reads.map((file) => readFile(join(home, 'var', 'etc', file), 'utf8')))).map(shortened).join('\n'),
    }
  }
  const health = (port: number) => (signal: AbortSignal) => expectOk(`http://${node.address}:${port}/healthz`, { signal })

  const containerd = component('containerd', {
    wrapped: true,
    strays: 'containerd',
    command: (signal) => entering(signal, [`${inside.bin}/containerd`, '--config=/var/etc/containerd.toml'], ['containerd.toml']),
    probe: async (signal) => await connects(`/proc/${await init.pid()}/root${inside.containerdSocket}`, signal),
    readyTimeoutMs: 30_000,
    stopTimeoutMs: 10_000,
  })

  const kubelet = component('kubelet', {
    wrapped: true,
    prepare: async () => await loadPauseImage(init, options.pause.image),
    command: async (signal) => {
      await init.whenReady(signal, 60_000)
      await containerd.whenReady(signal, 60_000)
      return await entering(
        signal,
        [
          `${inside.bin}/kubelet`,
          '--config=/var/etc/kubelet.json',
          '--kubeconfig=/var/etc/kubelet.kubeconfig',
          `--hostname-override=${node.name}`,
          `--node-ip=${node.address}`,
          `--node-labels=muster.dev/instance=${instance.id},muster.dev/cluster=${cluster.name}`,
          '--root-dir=/var/lib/kubelet',
          '--cert-dir=/var/lib/kubelet/pki',
        ],
        ['kubelet.json', 'kubelet.kubeconfig', 'server.crt'],
      )
    },
    probe: health(healthPorts.kubelet),
    readyTimeoutMs: 60_000,
    stopTimeoutMs: 10_000,
  })

  const proxy = component('kube-proxy', {
    wrapped: true,
    command: (signal) =>
      entering(signal, [`${inside.bin}/kube-proxy`, '--config=/var/etc/kube-proxy.json'], ['kube-proxy.json', 'kube-proxy.kubeconfig']),
    probe: health(healthPorts.proxy),
    readyTimeoutMs: 60_000,
    stopTimeoutMs: 5_000,
  })
  return { plan: node, init, containerd, kubelet, proxy }
}

export function startNode(node: Node): void {
  for (const component of [node.init, node.containerd, node.kubelet, node.proxy]) component.start()
}

/** Stops a node: its agents first, then its pods (asked, not killed at once), then the rest with the namespaces. */
export async function stopNode(node: Node, instance: Instance, cgroups: Cgroups): Promise<void> {
  await Promise.all([node.kubelet.stop(), node.proxy.stop()])
  const pods = `${nodeCgroup(instance, node.plan)}/kubepods`
  for (const pid of await cgroups.pids(pods)) signalTo(pid, 'SIGTERM')
  const deadline = Date.now() + podGraceMs
  while ((await cgroups.pids(pods)).length > 0 && Date.now() < deadline) await delay(50)
  await node.containerd.stop()
  await node.init.stop()
  await cgroups.remove(nodeCgroup(instance, node.plan))
}

function nodeCgroup(instance: Instance, node: NodePlan): string {
  return `${kernelNames(instance).cgroup}/${node.name}`
}

async function intoNode(init: Component): Promise<string[]> {
  return [`--target=${await init.pid()}`, '--mount', '--uts', '--ipc', '--net', '--pid', '--']
}

async function loadPauseImage(init: Component, image: string): Promise<void> {
  const ctr = async (...args: string[]) =>
    await run('nsenter', [
      ...(await intoNode(init)),
      `${inside.bin}/ctr`,
      '--address',
      inside.containerdSocket,
      '--namespace',
      'k8s.io',
      ...args,
    ])
  if ((await ctr('images', 'list', '-q')).split('\n').includes(image)) return
  await ctr('images', 'import', '/var/lib/muster/pause.tar')
}

async function writeFiles(options: Options): Promise<void> {
  const { instance, cluster, node, pki } = options
  const home = paths(instance.state).node(node.name)
  const at = join(home, 'var')
  for (const dir of [
    'lib/kubelet',
    'lib/containerd',
    'lib/cni',
    'lib/muster',
    'log/pods',
    'log/containers',
    'tmp',
    'etc/net.d',
    'etc/certs.d/_default',
  ]) {
    await mkdir(join(at, dir), { recursive: true })
  }
  await mkdir(join(home, 'root'), { recursive: true })
  const certificates = pki.nodes.get(node.name)
  if (certificates === undefined) throw new Error(`node ${node.name} has no certificates`)
  const etc = (name: string) => join(at, 'etc', name)
  const copy = async (from: string, name: string) => await writeIfChanged(etc(name), await readFile(from, 'utf8'))
  await copy(pki.ca.certificate, 'ca.crt')
  await copy(options.instanceCa, 'registry-ca.crt')
  await copy(certificates.server.certificate, 'server.crt')
  await copy(certificates.server.key, 'server.key')
  await writeKubeconfig(etc('kubelet.kubeconfig'), cluster.name, cluster.server, pki.ca.certificate, certificates.kubelet)
  await writeKubeconfig(etc('kube-proxy.kubeconfig'), cluster.name, cluster.server, pki.ca.certificate, certificates.proxy)
  await writeIfChanged(etc('containerd.toml'), containerdConfig(options.pause.image))
  await writeIfChanged(etc('certs.d/_default/hosts.toml'), registryHosts(instance, options.reader))
  await writeIfChanged(etc('net.d/10-pods.conflist'), cniConfig(node))
  await writeIfChanged(etc('kubelet.json'), kubeletConfig(cluster, node, nodeCgroup(instance, node)))
  await writeIfChanged(etc('kube-proxy.json'), kubeProxyConfig(cluster, node))
  for (const [name, content] of Object.entries(identityFiles(cluster, node))) await writeIfChanged(etc(name), content, 0o644)
  await copyNewer(options.pause.archive, join(at, 'lib/muster/pause.tar'))
}

async function copyNewer(from: string, to: string): Promise<void> {
  const [source, target] = [await stat(from), await stat(to).catch(() => undefined)]
  if (target === undefined || target.size !== source.size || target.mtimeMs < source.mtimeMs) await copyFile(from, to)
}

/** Certificates stand in a fingerprint by their own, the rest as it is. */
function shortened(content: string): string {
  return content.startsWith('-----BEGIN CERTIFICATE') ? fingerprint(content) : content
}

async function connects(socket: string, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const connection = connect(socket)
    const stop = () => connection.destroy(new Error(`${socket} does not answer`))
    signal.addEventListener('abort', stop, { once: true })
    connection.once('connect', () => {
      signal.removeEventListener('abort', stop)
      connection.destroy()
      resolve()
    })
    connection.once('error', reject)
  })
}
