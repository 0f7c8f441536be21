import { createHash } from 'node:crypto'
import { type ClusterPlan, type Instance, type NodePlan, ports, registryAddress } from './instance.ts'

/** Where things are inside a node. The image is read-only: everything written is under /var, /run or /tmp. */
export const inside = {
  bin: '/opt/muster/bin',
  path: '/opt/muster/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  containerdSocket: '/run/containerd.sock',
  ready: '/run/muster.ready',
} as const

export const healthPorts = { kubelet: 10248, proxy: 10256 } as const

/** containerd's configuration, version 3. Images come from the instance's registry only. */
export function containerdConfig(pauseImage: string): string {
  return `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.blockfile"]

[grpc]
  address = "${inside.containerdSocket}"
[ttrpc]
  address = "${inside.containerdSocket}.ttrpc"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = ${JSON.stringify(pauseImage)}
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "/var/etc/certs.d"

[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE no process can be made less likely to be killed than its parent.
  restrict_oom_score_adj = true
  disable_apparmor = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/opt/cni/bin"]
    conf_dir = "/var/etc/net.d"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "/usr/sbin/runc"
        SystemdCgroup = false
`
}

/** hosts.toml for every registry name: the instance's registry is the server and there is no other to fall back to. */
export function registryHosts(instance: Instance, reader: { readonly name: string; readonly password: string }): string {
  const credential = Buffer.from(`${reader.name}:${reader.password}`).toString('base64')
  return `server = "https://${registryAddress(instance)}:${ports.registry}"
capabilities = ["pull", "resolve"]
ca = "/var/etc/registry-ca.crt"

[header]
  authorization = "Basic ${credential}"
`
}

/** Pod network: a bridge in the node, addresses from the node's range, nothing translated (the host has a route to the range). */
export function cniConfig(node: NodePlan): string {
  return JSON.stringify({
    cniVersion: '1.0.0',
    name: 'pods',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: { type: 'host-local', dataDir: '/var/lib/cni', ranges: [[{ subnet: node.podNet }]], routes: [{ dst: '0.0.0.0/0' }] },
      },
      { type: 'portmap', backend: 'nftables', capabilities: { portMappings: true } },
    ],
  })
}

export function kubeletConfig(cluster: ClusterPlan, node: NodePlan, cgroup: string): string {
  return JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: node.address,
    port: ports.kubelet,
    readOnlyPort: 0,
    healthzBindAddress: node.address,
    healthzPort: healthPorts.kubelet,
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: '/var/etc/ca.crt' } },
    authorization: { mode: 'Webhook' },
    tlsCertFile: '/var/etc/server.crt',
    tlsPrivateKeyFile: '/var/etc/server.key',
    tlsMinVersion: 'VersionTLS12',
    rotateCertificates: false,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${cgroup}`,
    kubeletCgroups: `/${cgroup}/kubelet`,
    failCgroupV1: false,
    failSwapOn: false,
    oomScoreAdj: 0,
    podPidsLimit: 4096,
    containerRuntimeEndpoint: `unix://${inside.containerdSocket}`,
    clusterDNS: [cluster.dns],
    clusterDomain: 'cluster.local',
    resolvConf: '/var/etc/resolv.conf',
    volumePluginDir: '/var/lib/kubelet/volumeplugins',
    // The disk is the machine's and shared: it is not a node's to judge. Memory is.
    evictionHard: {
      'memory.available': '50Mi',
      'nodefs.available': '0%',
      'imagefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.inodesFree': '0%',
    },
    imageGCHighThresholdPercent: 100,
    serializeImagePulls: false,
    // Five minutes, the default, would keep an agent away long after the outage that it crashed in.
    crashLoopBackOff: { maxContainerRestartPeriod: '30s' },
    containerLogMaxSize: '10Mi',
    containerLogMaxFiles: 3,
  })
}

export function kubeProxyConfig(cluster: ClusterPlan, node: NodePlan): string {
  return JSON.stringify({
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    clientConnection: { kubeconfig: '/var/etc/kube-proxy.kubeconfig' },
    clusterCIDR: cluster.podNet,
    detectLocalMode: 'ClusterCIDR',
    hostnameOverride: node.name,
    healthzBindAddress: `${node.address}:${healthPorts.proxy}`,
    metricsBindAddress: '127.0.0.1:10249',
    oomScoreAdj: 0,
    // Kernel-wide limits cannot be written from a network namespace, and are not a node's to set.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  })
}

/** Small files that the read-only image's own are covered with. */
export function identityFiles(cluster: ClusterPlan, node: NodePlan): Record<string, string> {
  return {
    'resolv.conf': `search cluster.local\nnameserver ${cluster.dns}\n`,
    hosts: `127.0.0.1 localhost\n${node.address} ${node.name}\n`,
    hostname: `${node.name}\n`,
    'machine-id': `${createHash('sha256').update(`${node.netns} ${node.address}`).digest('hex').slice(0, 32)}\n`,
  }
}
