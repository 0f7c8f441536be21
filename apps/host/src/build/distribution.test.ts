import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, readlink, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { binaryGroups } from './checksums.ts'
import { type DistributionProgress, type PrepareOptions, prepareDistribution } from './distribution.ts'

/** Tools that do in a moment what Go, mmdebstrap and mkfs.erofs do in minutes, and write down that they did. */
const tools: Record<string, string> = {
  go: `#!/bin/sh
case $1 in
  env) echo go1.26.8 ;;
  list) printf 'errors\\tfalse\\t4\\nexample.test/dep\\ttrue\\t3\\nexample.test/main\\ttrue\\t1\\n' ;;
  build)
    [ -f "$FAKES/broken" ] && { echo "main.go:1: cannot compile" >&2; exit 1; }
    while [ "$1" != -o ]; do shift; done
    echo "built $(basename "$2")" >> "$FAKES/log"
    echo example.test/dep >&2; echo example.test/main >&2
    echo "binary $(basename "$2") in $(basename "$PWD")" > "$2" ;;
esac
`,
  unshare: `#!/bin/sh
while [ "$1" != mmdebstrap ]; do shift; done
for last; do case $last in *.tar) out=$last ;; esac; done
echo "bootstrapped" >> "$FAKES/log"
root=$(mktemp -d)
mkdir -p "$root/etc/apt" "$root/var/lib/dpkg" "$root/usr/bin" "$root/usr/share/doc/x" "$root/proc"
printf 'Package: runc\\nStatus: install ok installed\\nArchitecture: amd64\\nVersion: 1.1.5\\n\\nPackage: gone\\nStatus: deinstall ok config-files\\nVersion: 1\\n' > "$root/var/lib/dpkg/status"
echo host > "$root/etc/hostname"; echo nameserver > "$root/etc/resolv.conf"; echo 1234 > "$root/etc/machine-id"
echo su > "$root/usr/bin/su"; chmod 4755 "$root/usr/bin/su"
tar -C "$root" -cf "$out" . && rm -rf "$root"
`,
  'mkfs.erofs': `#!/bin/sh
for last; do image=$previous; previous=$last; done
( cd "$last" && find . -exec stat -c '%n %a %F' {} + | sort && readlink etc/resolv.conf opt/muster/bin/kubelet ) > "$image"
exit 0
`,
}

const component = (name: string, targets: object[]) => ({ name, module: `example.test/${name}`, targets })
const recipe = {
  components: [
    { name: 'pause', targets: [{ output: 'pause', package: '.' }] },
    component(
      'cni',
      binaryGroups.cni.map((output) => ({ output, package: output })),
    ),
    component('coredns', [{ output: 'coredns', package: '.' }]),
    component(
      'containerd',
      binaryGroups.containerd.map((output) => ({ output, package: output })),
    ),
    component('kubernetes', [{ output: 'kube', package: '.', links: binaryGroups.kubernetes }]),
  ],
  versions: { etcd: { component: 'kubernetes', module: 'example.test/etcd' } },
  node: { suite: 'bookworm', packages: ['runc'], uuid: '6d757374-6572-4e6f-8465-000000000001' },
}

let root: string
let options: PrepareOptions
let seen: DistributionProgress[]
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'muster-distribution-'))
  const write = async (path: string, text: string, mode = 0o644): Promise<void> => {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text, { mode })
  }
  for (const [name, script] of Object.entries(tools)) await write(`bin/${name}`, script, 0o755)
  await write('repo/distro/recipe.json', JSON.stringify(recipe))
  await write('repo/distro/checksums.json', await readFile(join(import.meta.dirname, '../../../../distro/checksums.json'), 'utf8'))
  for (const { name } of recipe.components) {
    await write(`repo/distro/${name}/go.mod`, `module m\nrequire example.test/${name} v1.37.2\nrequire example.test/etcd v3.7.0\n`)
  }
  seen = []
  options = {
    cacheDir: join(root, 'cache'),
    repoDir: join(root, 'repo'),
    env: { PATH: `${root}/bin:/usr/bin:/bin`, FAKES: root, HOME: root },
    signal: new AbortController().signal,
    onProgress: (progress) => seen.push(progress),
  }
})
afterEach(async () => {
  await rm(root, { recursive: true, force: true })
})
const log = async (): Promise<string[]> => (await readFile(join(root, 'log'), 'utf8').catch(() => '')).split('\n').filter(Boolean)

describe('the distribution', () => {
  it('is every binary by its name, the node image with its digest, and the pinned versions', async () => {
    const made = await prepareDistribution(options)
    for (const name of [...binaryGroups.kubernetes, ...binaryGroups.containerd, 'coredns', 'pause']) {
      expect(await readFile(join(made.dir, name), 'utf8')).toMatch(/^binary /)
    }
    expect(await readFile(join(made.dir, 'kubectl'), 'utf8')).toBe('binary kube in kubernetes\n')
    const image = await readFile(made.nodeImage.path)
    expect(made.nodeImage.digest).toBe(`sha256:${createHash('sha256').update(image).digest('hex')}`)
    expect(await readFile(made.nodeImage.packages, 'utf8')).toBe('runc\t1.1.5\tamd64\n')
    expect(made.versions).toEqual({
      pause: 'own',
      cni: 'v1.37.2',
      coredns: 'v1.37.2',
      containerd: 'v1.37.2',
      kubernetes: 'v1.37.2',
      etcd: 'v3.7.0',
    })
  })

  it('has a node image with our binaries and mount points, and without setuid files, host names or documentation', async () => {
    const made = await prepareDistribution(options)
    const content = await readFile(made.nodeImage.path, 'utf8')
    for (const path of ['opt/muster/bin/kube', 'opt/muster/bin/containerd-shim-runc-v2', 'opt/cni/bin/host-local', 'usr/bin/su']) {
      expect(content).toContain(`./${path} 755 regular file`)
    }
    expect(content).toContain('./etc/machine-id 644 regular empty file')
    expect(content).toContain('./tmp 1777 directory')
    expect(content.endsWith('/var/etc/resolv.conf\nkube\n')).toBe(true)
    for (const path of ['mnt', 'proc', 'sys', 'dev', 'run', 'var', 'root']) expect(content).toContain(`./${path} `)
    expect(content).not.toMatch(/usr\/share\/doc|hostname|etc\/apt|opt\/muster\/bin\/(etcd|coredns|pause)/)
  })

  it('is not built twice, neither one call after the other nor two at once', async () => {
    const [first, second] = await Promise.all([prepareDistribution(options), prepareDistribution(options)])
    const third = await prepareDistribution(options)
    expect(second).toEqual(first)
    expect(third).toEqual(first)
    const done = await log()
    expect(done.length).toBe(new Set(done).size)
    expect(done.filter((line) => line === 'bootstrapped')).toHaveLength(1)
  })

  it('is built anew where something that goes into it changed, and only that', async () => {
    const first = await prepareDistribution(options)
    const before = (await log()).length
    await writeFile(join(root, 'repo/distro/coredns/go.sum'), 'changed')
    const second = await prepareDistribution(options)
    expect((await log()).slice(before)).toEqual(['built coredns'])
    expect(second.nodeImage).toEqual(first.nodeImage)
    expect(await realpath(second.coredns)).not.toBe(await realpath(first.coredns))
    await writeFile(join(root, 'repo/distro/containerd/main.go'), 'package main')
    await writeFile(join(first.nodeImage.path), 'a hand in the cache')
    const third = await prepareDistribution(options)
    expect(await readFile(third.nodeImage.path, 'utf8')).toContain('opt/muster/bin')
  })

  it('says what is built, how far it is, and which part of how many', async () => {
    await prepareDistribution(options)
    expect([...new Set(seen.map(({ part }) => part))]).toEqual(['pause', 'cni', 'coredns', 'containerd', 'kubernetes', 'node image'])
    expect(seen.at(-1)).toMatchObject({ part: 'node image', partNumber: 6, parts: 6, step: 'packing' })
    const kube = seen.filter(({ part, step }) => part === 'kubernetes' && step === 'compiling')
    expect(kube.map(({ done, total }) => [done, total])).toEqual([
      [0, 2],
      [0, 2],
    ])
  })

  it('leaves nothing half done where a build fails, and says why', async () => {
    await writeFile(join(root, 'broken'), '')
    await expect(prepareDistribution(options)).rejects.toMatchObject({
      code: 'ToolFailed',
      message: expect.stringContaining('cannot compile'),
    })
    expect(await readdir(join(root, 'cache/distro/tmp'))).toEqual([])
    await rm(join(root, 'broken'))
    await prepareDistribution(options)
  })

  it('is refused where a component has no folder', async () => {
    await rm(join(root, 'repo/distro/coredns'), { recursive: true })
    await expect(prepareDistribution(options)).rejects.toMatchObject({ code: 'RecipeInvalid' })
  })
})

describe('the distribution from official binaries', () => {
  let from: string
  let checksumsFile: string
  const versions: Record<string, string> = { etcd: 'etcd Version: 3.7.0', kubectl: 'Client Version: v1.37.2' }
  beforeEach(async () => {
    from = join(root, 'official')
    checksumsFile = join(root, 'SHA256SUMS')
    await mkdir(from)
    const lines: string[] = []
    for (const name of binaryGroups.kubernetes) {
      const script = `#!/bin/sh\necho "${versions[name] ?? 'Kubernetes v1.37.2'}"\n`
      await writeFile(join(from, name), script)
      lines.push(`${createHash('sha256').update(script).digest('hex')}  ${name}\n`)
    }
    await writeFile(checksumsFile, lines.join(''))
  })

  it('uses them in place of building Kubernetes, in the node image as well, and builds the rest', async () => {
    const made = await prepareDistribution({ ...options, binaries: { from, checksumsFile } })
    expect(await readFile(join(made.dir, 'kubelet'), 'utf8')).toContain('Kubernetes v1.37.2')
    expect(await log()).not.toContain('built kube')
    expect(await log()).toContain('built containerd')
    const content = await readFile(made.nodeImage.path, 'utf8')
    expect(content).toContain('./opt/muster/bin/kubelet 755 regular file')
    expect(await readlink(join(made.dir, 'etcd'))).toMatch(/kubernetes-[0-9a-f]+\/etcd$/)
    // Everything is in the cache now: the source may be away.
    await rm(from, { recursive: true })
    expect(await prepareDistribution({ ...options, binaries: { from, checksumsFile } })).toEqual(made)
  })

  it('refuses all of them for one wrong byte, one missing file or another release, and keeps none', async () => {
    const kept = async (): Promise<string[]> => (await readdir(join(root, 'cache/distro'))).filter((name) => name.startsWith('kubernetes'))
    const prepare = () => prepareDistribution({ ...options, binaries: { from, checksumsFile } })
    const kubelet = await readFile(join(from, 'kubelet'))
    await writeFile(join(from, 'kubelet'), 'flipped')
    await expect(prepare()).rejects.toMatchObject({ code: 'ChecksumMismatch' })
    await rm(join(from, 'kubelet'))
    await expect(prepare()).rejects.toMatchObject({ code: 'BinaryMissing' })
    const other = kubelet.toString().replace('v1.37.2', 'v1.36.3')
    await writeFile(join(from, 'kubelet'), other)
    const sums = await readFile(checksumsFile, 'utf8')
    await writeFile(checksumsFile, sums.replace(/[0-9a-f]{64}(?= {2}kubelet)/, createHash('sha256').update(other).digest('hex')))
    await expect(prepare()).rejects.toMatchObject({ code: 'VersionMismatch' })
    expect(await kept()).toEqual([])
  })

  it('refuses them without checksums', async () => {
    await expect(prepareDistribution({ ...options, binaries: { from } })).rejects.toMatchObject({ code: 'ChecksumsMissing' })
  })
})
