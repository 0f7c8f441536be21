import { execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createAuthority } from '@muster/pki'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkout, type Outcome, run } from '../environment/command.ts'

const muster = path.join(checkout, 'muster')
/** Unlikely to be listened on, and nothing that this test starts. */
const nowhere = '127.0.0.1:1'

let dir: string
/** An instance whose files are there and of which nothing runs. */
let asleep: string

function environment(state: string, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return { ...process.env, NO_COLOR: '1', MUSTER_INSTANCE: 'misuse', MUSTER_STATE: state, MUSTER_CACHE: path.join(dir, 'cache'), ...more }
}

async function file(name: string, content: string): Promise<string> {
  const place = path.join(dir, name)
  await mkdir(path.dirname(place), { recursive: true })
  await writeFile(place, content)
  return place
}

const bundle = (rest = 'components: [{name: main, manifests: [objects.yaml]}]\n'): string =>
  `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: wrong\nversion: 1.0.0\n${rest}`
const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://${nowhere}"}}]
users: [{name: u, user: {token: x}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
`
const configMap = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n'

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'muster-misuse-'))
  await chmod(dir, 0o755)
  asleep = path.join(dir, 'asleep')
  await file('asleep/clusters/hub/admin.kubeconfig', kubeconfig)
  await file('asleep/clusters/alpha/admin.kubeconfig', '{{{')
  await file('asleep/bin/kubectl', '#!/bin/sh\nexit 7\n')
  await chmod(path.join(asleep, 'bin', 'kubectl'), 0o755)
  const user = { username: 'u', password: 'p' }
  const { certificate } = await createAuthority('misuse', { days: 1, now: new Date() })
  await file('asleep/registry/access.json', JSON.stringify({ host: nowhere, ca: certificate, writer: user, reader: user }))
  await file('damaged/registry/access.json', '{"host":')
  await file('damaged/clusters/hub/admin.kubeconfig', '{{{')
  await file('damaged-keys/registry/access.json', JSON.stringify({ host: nowhere, ca: certificate, writer: user, reader: user }))
  await file('damaged-keys/keys/publisher.keys.json', 'x')

  await file('no-yaml/bundle.yaml', `${bundle()}  - x: [\n`)
  await file('unknown-key/bundle.yaml', bundle('componets: []\n'))
  await file('no-objects/bundle.yaml', bundle())
  await file('bad-objects/bundle.yaml', bundle())
  await file('bad-objects/objects.yaml', 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: [\n')
  await file('no-kind/bundle.yaml', bundle())
  await file('no-kind/objects.yaml', 'apiVersion: v1\nmetadata: {name: a}\n')
  await file('no-name/bundle.yaml', bundle())
  await file('no-name/objects.yaml', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n')
  await file('twice/bundle.yaml', bundle())
  await file('twice/objects.yaml', `${configMap}---\n${configMap}`)
  const pod = 'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: "registry.example/app:1.0"}]}\n'
  await file('no-image/bundle.yaml', bundle())
  await file('no-image/objects.yaml', pod)
  await file(
    'no-recipe/bundle.yaml',
    bundle(`components: [{name: main, manifests: [objects.yaml]}]\nimages: [{match: "*/app", build: image.yaml}]\n`),
  )
  await file('no-recipe/objects.yaml', pod)
  await file('module/bundle.yaml', bundle(`source: {goModule: example.test/app@v1.0.0}\ncomponents: [{name: main, kustomize: k}]\n`))
  await file('good/bundle.yaml', bundle())
  await file('good/objects.yaml', configMap)

  await file('keys/none.pem', 'this is no key\n')
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
  await file('keys/k256.pem', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
  // A PATH with what the command needs to start, and no more.
  await mkdir(path.join(dir, 'few'))
  for (const name of ['bash', 'readlink', 'dirname', 'uname', 'cmp', 'env']) {
    const found = execFileSync('sh', ['-c', `command -v ${name}`], { stdio: 'pipe' })
      .toString()
      .trim()
    await symlink(found, path.join(dir, 'few', name))
  }
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** What each mistake gets: one sentence on stderr, an exit code, no stack; and nothing on stdout. */
function expectSentence(outcome: Outcome, code: number, sentence: RegExp): void {
  expect(outcome.stderr).toMatch(sentence)
  expect(outcome.stderr).toContain('muster: ')
  expect(outcome.stderr).not.toMatch(/^\s+at .*:\d+/m)
  expect(outcome.stderr).not.toContain('mistake in Muster')
  expect(outcome.stdout).toBe('')
  expect(outcome.code).toBe(code)
}

type Mistake = readonly [args: string, code: number, sentence: RegExp, state?: string]

/** DIR is the folder of this test. */
const mistakes: readonly Mistake[] = [
  ['nonsense', 2, /unknown command 'nonsense'/],
  ['stauts', 2, /Did you mean status/],
  ['up --nonsense', 2, /unknown option '--nonsense'\nRun "muster up --help"/],
  ['up --binaries-checksums x', 2, /go with --binaries/],
  ['status extra', 2, /too many arguments/],
  ['status -o xml', 2, /Allowed choices are table, json/],
  ['kubeconfig', 2, /missing required argument 'cluster'/],
  ['kubeconfig ../../etc', 2, /is no cluster name/],
  ['component halt registry', 2, /Allowed choices are stop, start, restart/],
  ['completion tcsh', 2, /Allowed choices are bash, zsh, fish/],
  ['place wrong', 2, /Say where: --on CLUSTER/],
  ['place Wrong! --on alpha', 2, /is no name of a bundle/],
  ['publish DIR/good --unsigned --key k', 2, /exclude each other/],
  ['--instance No! status', 2, /is no instance id/],

  ['status', 1, /is not up: .*Run "muster up" first/, 'none'],
  ['kubeconfig alpha', 1, /is not up: .*Run "muster up" first/, 'none'],
  ['kubectl alpha -- get pods', 1, /is not up: .*Run "muster up" first/, 'none'],
  ['logs', 1, /is not up: .*Run "muster up" first/, 'none'],
  ['component stop registry', 1, /is not up: .*Run "muster up" first/, 'none'],
  ['place wrong --on alpha', 1, /is not up: .*Run "muster up" first/, 'none'],
  ['publish DIR/good', 1, /has no registry yet: run "muster up" first/, 'none'],
  ['status', 1, /cluster "hub" does not answer\. .*"muster up" starts/],
  ['place wrong --on alpha', 1, /cluster "hub" does not answer/],
  ['kubeconfig charlie', 1, /has no cluster "charlie"\. It has: alpha, hub\./],
  ['status', 1, /clusters\/hub\/admin\.kubeconfig is damaged\. Run "muster up"/, 'damaged'],
  ['publish DIR/good', 1, /access\.json is damaged\. Run "muster up"/, 'damaged'],
  ['publish DIR/good', 1, /A key file in .* is damaged\. Restore it/, 'damaged-keys'],
  ['publish DIR/good', 1, /Check that 127\.0\.0\.1:1 is up/],

  ['publish DIR/none', 1, /none is not there\. Give the path of a folder with a bundle\.yaml/],
  ['publish DIR/keys', 1, /bundle\.yaml cannot be read\. A bundle's folder holds/],
  ['publish DIR/no-yaml', 1, /no-yaml\/bundle\.yaml:\d+:\d+: /],
  ['publish DIR/unknown-key', 1, /unknown-key\/bundle\.yaml:5:1: componets/],
  ['publish DIR/no-objects', 1, /objects\.yaml cannot be read: there is no such file/],
  ['publish DIR/bad-objects', 1, /objects\.yaml:\d+:\d+/],
  ['publish DIR/no-kind', 1, /objects\.yaml.*kind/],
  ['publish DIR/no-name', 1, /objects\.yaml.*name/],
  ['publish DIR/twice', 1, /ConfigMap.*a.*objects\.yaml/],
  ['publish DIR/no-image', 1, /No source gives these images; .*\n.*registry\.example\/app:1\.0 \(.*objects\.yaml/],
  ['publish DIR/good --key DIR/keys/absent.pem', 1, /absent\.pem is not there/],
  ['publish DIR/good --key DIR/keys', 1, /folder where a file is needed/],
  ['publish DIR/good --key DIR/keys/none.pem', 1, /none\.pem: The file holds no key in PEM.*muster key create/],
  ['publish DIR/good --key DIR/keys/k256.pem', 3, /k256\.pem: The key is of type ec on curve secp256k1/],

  ['down --purge', 1, /good is not the state of an instance \(it holds bundle\.yaml\), so it is left alone/, 'good'],
  ['up', 1, /\/proc\/none cannot be written\. .*MUSTER_STATE/, '/proc/none'],
  ['up', 1, /cannot be written\. .*MUSTER_STATE/, '/dev/null/none'],
]

describe('a mistake', () => {
  const cases = mistakes.map(([args, code, sentence, state]) => ({ args, code, sentence, state }))
  it.concurrent.each(cases)('`muster $args` ends with $code and says what to do', async ({ args, code, sentence, state }) => {
    const words = args.split(' ').map((word) => word.replace('DIR', dir))
    const folder = state === undefined ? asleep : path.resolve(dir, state)
    expectSentence(await run(muster, words, { env: environment(folder) }), code, sentence)
  })

  it('of a newcomer without root says so, and makes nothing', async () => {
    const drop = ['--reuid', '65534', '--clear-groups', muster]
    const state = path.join(dir, 'unprivileged')
    for (const command of ['up', 'down']) {
      const outcome = await run('setpriv', [...drop, command], { env: environment(state) })
      expectSentence(outcome, 1, /need root: run the command with sudo/)
    }
    expect(await readdir(dir)).not.toContain('unprivileged')
  })

  it('of reading another user’s instance says that sudo helps', async () => {
    await file('private/clusters/hub/admin.kubeconfig', kubeconfig)
    await chmod(path.join(dir, 'private'), 0o700)
    const outcome = await run('setpriv', ['--reuid', '65534', '--clear-groups', muster, 'status'], {
      env: environment(path.join(dir, 'private')),
    })
    expectSentence(outcome, 1, /with sudo/)
  })

  it('on a host without Go is told by doctor, by up and by publish', async () => {
    const env = environment(path.join(dir, 'no-go'), { PATH: path.join(dir, 'few') })
    const doctor = await run(muster, ['doctor'], { env })
    expect(doctor.stdout).toMatch(/MISSING +go +not found +Install Go/)
    expect(doctor.code).toBe(1)
    const publish = await run(muster, ['publish', path.join(dir, 'module')], { env: { ...env, MUSTER_STATE: asleep } })
    expectSentence(publish, 1, /go could not be started\. Install Go/)
  })

  it('of a shell without HOME is none', async () => {
    const env = environment(path.join(dir, 'none'), { HOME: undefined, XDG_CACHE_HOME: undefined, MUSTER_CACHE: undefined })
    expectSentence(await run(muster, ['status'], { env }), 1, /Run "muster up" first/)
  })

  it('of a full disk is told as that', async () => {
    // A file system of its own that ends with the command, 64 KiB large.
    const script = `mkdir -p "$MUSTER_STATE/keys" && mount -t tmpfs -o size=64k none "$MUSTER_STATE/keys" && head -c 64k /dev/zero > "$MUSTER_STATE/keys/full"; exec "$@"`
    const outcome = await run('unshare', ['--mount', 'sh', '-c', script, 'sh', muster, 'publish', path.join(dir, 'good')], {
      env: environment(asleep),
    })
    expectSentence(outcome, 1, /no space left on the disk.*Make room/)
  })
})

describe('Ctrl-C', () => {
  it('ends the first build at once, with a sentence and nothing half made', async () => {
    const state = path.join(dir, 'interrupted')
    const child = spawn(muster, ['up', '--no-example', '--no-install'], { cwd: checkout, env: environment(state), stdio: 'pipe' })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (text.includes('Build Kubernetes')) child.kill('SIGINT')
    })
    const [code] = (await once(child, 'close')) as [number | null]
    expect(said).toMatch(/\nmuster: Stopped\. .*goes on from there\.\n$/)
    expect(code).toBe(130)
    expect(await readdir(dir)).not.toContain('interrupted')
    expect(await readdir(path.join(dir, 'cache', 'distro', 'tmp')).catch(() => [])).toEqual([])
  })
})

describe('kubectl’s exit code', () => {
  it('is that of muster kubectl', async () => {
    expect(await run(muster, ['kubectl', 'hub', '--', 'get', 'pods'], { env: environment(asleep) })).toMatchObject({ code: 7, stderr: '' })
  })
})

describe('help', () => {
  it('has examples, and no colours without a terminal', async () => {
    for (const command of [[], ['up'], ['key', 'create']]) {
      const page = await run(muster, [...command, '--help'], { env: environment(asleep) })
      expect(page.stdout).toContain('\nExamples:\n')
      expect(page.stdout).not.toContain('\u001b[')
      expect(page.code).toBe(0)
    }
  })

  it('names the versions of Muster and of Kubernetes', async () => {
    const both = await Promise.all(['version', '--version'].map((word) => run(muster, [word], { env: environment(asleep) })))
    for (const { stdout } of both) expect(stdout).toMatch(/^muster \d\S*\nkubernetes v1\.\d+\.\d+\n$/)
  })
})

describe('completion in bash', () => {
  it.each([
    ['st', 'status'],
    ['kubectl ', 'alpha hub'],
    ['place x --on h', 'hub'],
    ['status -o ', 'table json'],
    ['component ', 'stop start restart'],
    ['up --no-e', '--no-example'],
  ])('of "muster %s" gives %s', async (typed, words) => {
    const script = `source <("$0" completion bash); COMP_WORDS=(muster "$@"); COMP_CWORD=$#; _muster; echo "\${COMPREPLY[*]}"`
    const { stdout } = await run('bash', ['-c', script, muster, ...typed.split(' ')], { env: environment(asleep) })
    expect(stdout.trim()).toBe(words)
  })
})
