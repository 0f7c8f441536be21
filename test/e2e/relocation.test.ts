import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Registry, serveRegistry } from '@muster/oci'
import { prepareBundle } from '@muster/publish'
import { relocate } from '@muster/relocate'
import { generateKeyPair, signatureKeyFromPem } from '@muster/trust'
import { expect, it, onTestFinished } from 'vitest'
import { checkout, run } from '../environment/command.ts'

const user = { name: 'writer', password: 'w', access: 'write' as const }
const counts = /(\d+ images?, \d+ signatures?, \d+ attestations?[^→]*) → the same/

/** A program: the network of a process of its own has only loopback, and no route to anywhere. */
const there = (folder: string): string => `
set -eu
ip link set lo up
[ -z "$(ip route show)" ]
"$NODE" --disable-warning=ExperimentalWarning ${path.join(folder, 'serve.ts')} > ${path.join(folder, 'address')} &
server=$!
trap 'kill $server' EXIT
while [ ! -s ${path.join(folder, 'address')} ]; do sleep 0.05; done
host=$(cat ${path.join(folder, 'address')})
printf '{"auths":{"%s":{"auth":"%s"}}}' "$host" "${Buffer.from('writer:w').toString('base64')}" > ${path.join(folder, 'config.json')}
export DOCKER_CONFIG=${folder}
./muster relocate --plain-http --mirror --key ${path.join(folder, 'team.pub')} ${path.join(folder, 'shop.tar.zst')} "$host/bundles/shop:1.0.0"
./muster verify --plain-http --key ${path.join(folder, 'team.pub')} "$host/bundles/shop:1.0.0"
./muster relocate --plain-http "$host/mirror/registry.example/team/app:1.0" oci:${path.join(folder, 'as-nodes-see-it')}:app
`

it('a bundle goes by a file to where no network leads, and is verified there; signatures are counted before and after', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'muster-relocation-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const env = { ...process.env, NODE: process.execPath, MUSTER_STATE: folder, MUSTER_CACHE: path.join(folder, 'cache'), NO_COLOR: '1' }
  const keys = generateKeyPair()
  await writeFile(path.join(folder, 'team.pub'), keys.publicKey)
  const host = await publish(folder, keys.privateKey)

  const auth = Buffer.from('writer:w').toString('base64')
  await writeFile(path.join(folder, 'config.json'), JSON.stringify({ auths: { [host]: { auth } } }))
  const archive = path.join(folder, 'shop.tar.zst')
  const out = await run(
    './muster',
    ['relocate', '--plain-http', '--key', path.join(folder, 'team.pub'), `${host}/bundles/shop:1.0.0`, archive],
    {
      cwd: checkout,
      env: { ...env, DOCKER_CONFIG: folder },
    },
  )
  expect(out.code, out.stderr).toBe(0)
  expect(counts.exec(out.stdout)?.[1]).toBe('1 image, 2 signatures, 0 attestations')

  await writeFile(path.join(folder, 'serve.ts'), server(folder))
  const inside = await run('unshare', ['-n', 'sh', '-c', there(folder)], { cwd: checkout, env })
  expect(inside.code, `${inside.stdout}\n${inside.stderr}`).toBe(0)
  expect(counts.exec(inside.stdout)?.[1]).toBe(counts.exec(out.stdout)?.[1])
  expect(inside.stdout).toContain('nodes find it in mirror/registry.example/team/app')
  expect(inside.stdout).toContain('accepted')
  expect(inside.stdout).toContain('1 image, 1 signature, 0 attestations → the same')

  const other = path.join(folder, 'other.pub')
  await writeFile(other, generateKeyPair().publicKey)
  const refused = await run('./muster', ['relocate', '--key', other, archive, `oci:${path.join(folder, 'refused')}:1`], {
    cwd: checkout,
    env,
  })
  expect(refused.code).toBe(3)
  expect(refused.stderr).toContain('is refused by the policy')
})

/** The registry "there", as any program would run one. */
function server(folder: string): string {
  const { href } = new URL(`file://${path.join(checkout, 'packages/oci/src/index.ts')}`)
  const options = { root: path.join(folder, 'registry-there'), listen: { host: '127.0.0.1', port: 0 }, users: [user] }
  return `import { serveRegistry } from '${href}'\nconst { port } = await serveRegistry(${JSON.stringify(options)})\nconsole.log('127.0.0.1:' + port)\n`
}

/** A signed bundle with a signed image in a registry on loopback. */
async function publish(folder: string, privateKey: string): Promise<string> {
  const source = path.join(folder, 'shop')
  const running = await serveRegistry({ root: path.join(folder, 'registry-here'), listen: { host: '127.0.0.1', port: 0 }, users: [user] })
  const registry = new Registry({ host: `127.0.0.1:${running.port}`, plainHttp: true, credentials: { username: 'writer', password: 'w' } })
  onTestFinished(async () => {
    registry.close()
    await running.close()
  })
  await run('mkdir', ['-p', source])
  const yaml = `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: shop\nversion: 1.0.0\ncomponents: [{name: app, manifests: [pod.yaml]}]\nimages: [{match: "*/app", build: image.yaml}]\n`
  await writeFile(path.join(source, 'bundle.yaml'), yaml)
  await writeFile(path.join(source, 'image.yaml'), 'binary: {path: app, to: /app}\n')
  const pod =
    'apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: app, image: "registry.example/team/app:1.0"}]}\n'
  await writeFile(path.join(source, 'pod.yaml'), pod)
  await writeFile(path.join(source, 'app'), tinyProgram())
  const { layout, descriptor } = await prepareBundle({
    sourceDir: source,
    workDir: path.join(folder, 'work'),
    cacheDir: path.join(folder, 'cache'),
    env: process.env,
    signer: signatureKeyFromPem(privateKey),
    kustomize: async () => '',
  })
  const store = registry.repository('bundles/shop')
  await relocate({ name: 'work', store: layout, descriptor }, { name: 'here', store, tag: '1.0.0' }, { jobs: 4 })
  return registry.host
}

/** The head of a static ELF program of this machine; it is never run. */
function tinyProgram(): Buffer {
  const head = Buffer.alloc(64)
  head.write('\x7fELF\x02\x01\x01', 'latin1')
  head.writeUInt16LE(2, 16)
  head.writeUInt16LE(process.arch === 'arm64' ? 183 : 62, 18)
  return head
}
