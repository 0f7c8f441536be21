/** A package manager that Muster can ask. */
export type PackageManager = 'apt' | 'dnf' | 'zypper' | 'apk'

/** Kernel features, each found out by using it. */
export const kernelFeatures = ['namespaces', 'overlayfs', 'erofs', 'nf_tables', 'veth', 'bridge', 'cgroups'] as const
export type KernelFeature = (typeof kernelFeatures)[number]

/** What was found out about a machine. Gathered by gatherFacts; evaluated here, without looking at the machine again. */
export interface HostFacts {
  readonly platform: string
  readonly arch: string
  /** As `6.18.44`. */
  readonly kernel: string
  /** Effective user id. */
  readonly uid: number
  /** Path by command; undefined where it is not on the path. */
  readonly commands: Readonly<Partial<Record<string, string>>>
  /** As `go1.26.8`, of the Go that would build distro/; the reason where it said none. */
  readonly go: { readonly version: string } | { readonly problem: string }
  /** Whether it works; the reason where it does not; undefined where it could not be tried. */
  readonly kernelFeatures: Readonly<Partial<Record<KernelFeature, true | string>>>
  /** As `v1`, `v2`; undefined where none is mounted. */
  readonly cgroupVersion: 'v1' | 'v2' | undefined
  /** Bytes that can be written to the cache and the state folder, whichever has less. */
  readonly diskFree: number
  /** Bytes that processes can have now, without swapping. */
  readonly memoryAvailable: number
  readonly debianKeyring: boolean
  /** A distribution is in the cache: less disk will do. */
  readonly built: boolean
  readonly packageManager: PackageManager | undefined
}

export interface Requirement {
  /** As `command/ip`, `kernel/erofs`, `root`. */
  readonly id: string
  readonly ok: boolean
  /** Not met, yet not in the way: it could not be tried, or it only makes things slower. */
  readonly warning?: true
  readonly found: string
  readonly needed: string
  /** What to do; empty where it is met. */
  readonly fix: string
  /** Packages of the host's package manager that bring it. */
  readonly packages?: readonly string[]
}

const gibibyte = 1024 ** 3
/** For building the first time (Go's build cache alone takes 5 GiB, modules 2), and for running what was built. */
const minimumDisk = { build: 9 * gibibyte, run: 2 * gibibyte }
const minimumMemory = 4 * gibibyte
const minimumGo = [1, 26] as const

interface CommandNeed {
  readonly command: string
  readonly why: string
  readonly packages: Readonly<Record<PackageManager, string>>
}

const same = (name: string): Record<PackageManager, string> => ({ apt: name, dnf: name, zypper: name, apk: name })

/** Commands that the daemon or the first build runs, and the packages that bring them. Tried on Debian 12 only. */
export const neededCommands: readonly CommandNeed[] = [
  { command: 'ip', why: 'networks of clusters', packages: { ...same('iproute2'), dnf: 'iproute' } },
  { command: 'nft', why: 'firewall between clusters', packages: same('nftables') },
  { command: 'nsenter', why: 'nodes', packages: same('util-linux') },
  { command: 'unshare', why: 'nodes', packages: same('util-linux') },
  { command: 'flock', why: 'one build at a time', packages: same('util-linux') },
  { command: 'mount', why: 'nodes', packages: { ...same('util-linux'), apt: 'mount' } },
  { command: 'tar', why: 'node image', packages: same('tar') },
  { command: 'mmdebstrap', why: 'node image', packages: same('mmdebstrap') },
  { command: 'mkfs.erofs', why: 'node image', packages: same('erofs-utils') },
  { command: 'dpkg-deb', why: 'node image', packages: same('dpkg') },
  { command: 'apt-get', why: 'node image', packages: same('apt') },
]

const featureNames: Readonly<Record<KernelFeature, string>> = {
  namespaces: 'mount, network and process namespaces',
  overlayfs: 'overlay file system',
  erofs: 'erofs file system from a file (loop device)',
  nf_tables: 'nftables with address translation',
  veth: 'virtual Ethernet pairs',
  bridge: 'Ethernet bridge',
  cgroups: 'control groups that can be made',
}

/**
 * What the embedded environment needs of its host, against what the host has. The order is that in which to read it.
 * `muster doctor` prints it; `muster up` refuses while something is neither met nor a warning.
 */
export function evaluateRequirements(facts: HostFacts): Requirement[] {
  const disk = facts.built ? minimumDisk.run : minimumDisk.build
  const root = facts.uid === 0
  const list: Requirement[] = [
    {
      id: 'platform',
      ok: facts.platform === 'linux' && ['x64', 'arm64'].includes(facts.arch),
      found: `${facts.platform} ${facts.arch}, kernel ${facts.kernel}`,
      needed: 'Linux on x64 or arm64',
      fix: 'Use a Linux machine, or clusters of your own by kubeconfig.',
    },
    {
      id: 'root',
      ok: root,
      found: root ? 'root' : `user ${facts.uid}`,
      needed: 'root',
      fix: 'Run it as root: nodes are namespaces with mounts and networks.',
    },
    goRequirement(facts),
  ]
  for (const { command, why, packages } of neededCommands) {
    const path = facts.commands[command]
    const wanted = facts.packageManager && packages[facts.packageManager]
    list.push({
      id: `command/${command}`,
      ok: path !== undefined,
      found: path ?? 'not found',
      needed: `${command} (${why})`,
      fix: `Install ${wanted === undefined ? `the package with ${command}` : `the package ${wanted}`}.`,
      ...(wanted !== undefined && { packages: [wanted] }),
    })
  }
  list.push({
    id: 'debian-keyring',
    ok: facts.debianKeyring,
    found: facts.debianKeyring ? 'there' : 'not found',
    needed: "Debian's archive keys (node image)",
    fix: 'Install the package debian-archive-keyring (debian-keyring on Fedora).',
    ...(facts.packageManager && { packages: [facts.packageManager === 'dnf' ? 'debian-keyring' : 'debian-archive-keyring'] }),
  })
  for (const feature of kernelFeatures) list.push(featureRequirement(facts, feature))
  list.push(
    {
      id: 'disk',
      ok: facts.diskFree >= disk,
      found: `${gib(facts.diskFree)} GiB free`,
      needed: `${gib(disk)} GiB free for caches and state`,
      fix: 'Make room, or set MUSTER_CACHE and MUSTER_STATE to folders on a larger disk.',
    },
    {
      id: 'memory',
      ok: facts.memoryAvailable >= minimumMemory,
      warning: true,
      found: `${gib(facts.memoryAvailable)} GiB available`,
      needed: `${gib(minimumMemory)} GiB available for a hub and two clusters`,
      fix: 'Close other programs or start fewer clusters; less memory may do, slowly.',
    },
  )
  return list.map(({ warning, ...each }) => (each.ok ? { ...each, fix: '' } : { ...each, ...(warning && { warning }) }))
}

/** Those that are in the way. */
export function unmet(requirements: readonly Requirement[]): Requirement[] {
  return requirements.filter((each) => !each.ok && each.warning === undefined)
}

function goRequirement({ go }: HostFacts): Requirement {
  const needed = `go ${minimumGo.join('.')} or later`
  const fix = `Install Go ${minimumGo.join('.')} or later: distributions often carry an older one, go.dev/doc/install has the newest.`
  if ('problem' in go) return { id: 'go', ok: false, found: go.problem, needed, fix }
  const [major = 0, minor = 0] = (/^go(\d+)\.(\d+)/.exec(go.version) ?? []).slice(1).map(Number)
  return { id: 'go', ok: major > minimumGo[0] || (major === minimumGo[0] && minor >= minimumGo[1]), found: go.version, needed, fix }
}

function featureRequirement(facts: HostFacts, feature: KernelFeature): Requirement {
  const result = facts.kernelFeatures[feature]
  const version = feature === 'cgroups' ? ` (${facts.cgroupVersion ?? 'none mounted'})` : ''
  return {
    id: `kernel/${feature}`,
    ok: result === true,
    // Not tried because something above is missing: that is what has to be mended first.
    ...(result === undefined && { warning: true }),
    found: (result === true ? 'works' : (result ?? 'not tried')) + version,
    needed: featureNames[feature],
    fix:
      result === undefined
        ? 'Mend what is missing above, then look again.'
        : 'Use a kernel with this feature, or give this machine the right to use it (containers often lack it).',
  }
}

function gib(bytes: number): string {
  return (bytes / gibibyte).toFixed(1)
}
