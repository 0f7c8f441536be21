import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { buildImage, loadRecipe } from '@muster/image'
import { Layout, readBlob } from '@muster/oci'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const nonRoot = 65532
const bin = '/usr/lib/postgresql/15/bin'
let dir: string
let root: string
let port: string
let server: ChildProcess | undefined
let said = ''

/** The image's own files, unpacked as a container engine would, with a volume, a secret and devices. */
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-depot-'))
  await chmod(dir, 0o755)
  root = join(dir, 'root')
  const layout = await Layout.open(join(dir, 'layout'), { create: true })
  const baseDir = join(import.meta.dirname, 'db')
  const recipe = await loadRecipe(join(baseDir, 'image.yaml'))
  // As the command line keeps it: packages need not be downloaded for each run.
  const { MUSTER_CACHE: own, XDG_CACHE_HOME: general } = process.env
  const cacheDir = join(own ?? join(general ?? join(homedir(), '.cache'), 'muster'), 'images')
  const image = await buildImage(recipe, { target: layout, cacheDir, baseDir, env: process.env, name: 'example.test/depot/database:1' })
  for (const folder of ['dev', 'data', 'run/secrets/depot']) await mkdir(join(root, folder), { recursive: true })
  for (const { digest, size } of image.layers) {
    const input = await readBlob(layout, { mediaType: 'application/octet-stream', digest, size }, { limit: 200 << 20 })
    execFileSync('tar', ['--extract', '--gzip', '--preserve-permissions', '--numeric-owner', '--directory', root], { input })
  }
  await chown(join(root, 'data'), nonRoot, nonRoot)
  await setPassword("first 'one' \\ ü")
  port = await freePort()
})

afterAll(async () => {
  await stop()
  await rm(dir, { recursive: true, force: true })
})

const setPassword = (text: string) => writeFile(join(root, 'run/secrets/depot/password'), text)

async function freePort(): Promise<string> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  return String(typeof address === 'object' ? address?.port : 0)
}

/** A program in the image's files, as its user; the devices are the host's. */
function inside(...command: string[]): [string, string[]] {
  const script = 'root=$0 user=$1; shift; mount --rbind /dev "$root/dev" && exec chroot --userspec="$user" "$root" "$@"'
  return ['unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, root, `${nonRoot}:${nonRoot}`, ...command]]
}

async function start(): Promise<void> {
  said = ''
  const [program, args] = inside('/usr/local/bin/start', '-p', port, '-c', 'shared_buffers=16MB')
  const child = spawn(program, args, { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }, stdio: ['ignore', 'pipe', 'pipe'] })
  server = child
  const ready = new Promise<void>((resolve, reject) => {
    const hear = (text: string) => {
      said += text
      if (said.includes('database system is ready to accept connections')) resolve()
    }
    child.stdout.setEncoding('utf8').on('data', hear)
    child.stderr.setEncoding('utf8').on('data', hear)
    child.on('close', (code) => reject(new Error(`the database ended with ${code}:\n${said}`)))
  })
  await ready
}

async function stop(): Promise<void> {
  const child = server
  server = undefined
  if (child === undefined || child.exitCode !== null) return
  child.kill('SIGINT')
  await once(child, 'exit')
}

/** What the role of the depot gets to know, over the network. */
async function query(password: string, sql: string): Promise<string> {
  const url = `host=127.0.0.1 port=${port} user=depot dbname=depot connect_timeout=10`
  const [program, args] = inside(`${bin}/psql`, '--no-psqlrc', '--tuples-only', '--no-align', url, '--command', sql)
  const { stdout } = await promisify(execFile)(program, args, { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', PGPASSWORD: password } })
  return stdout.trim()
}

describe("the depot's database, from its image", () => {
  it('is made anew where its making was cut short', async () => {
    await mkdir(join(root, 'data/pg'))
    await writeFile(join(root, 'data/pg/PG_VERSION'), '15\n')
    for (const path of ['data/pg', 'data/pg/PG_VERSION']) await chown(join(root, path), nonRoot, nonRoot)
    await start()
    expect(await query("first 'one' \\ ü", 'create table kept (); select current_user')).toMatch(/depot$/)
  })

  it('asks everybody for the password, and never writes it down', async () => {
    await expect(query('another', 'select 1')).rejects.toThrow(/password authentication failed/)
    expect(said + (await readFile(join(root, 'data/start.log'), 'utf8'))).not.toContain("first 'one'")
  })

  it('keeps what it has over a restart, and takes the password that the secret has then', async () => {
    await stop()
    await setPassword('second\n')
    await start()
    expect(await query('second', "select to_regclass('kept')")).toBe('kept')
    await expect(query("first 'one' \\ ü", 'select 1')).rejects.toThrow(/password authentication failed/)
  })
})

describe("the depot's API", () => {
  it('passes its own tests over that database', async () => {
    const env = {
      ...process.env,
      GOFLAGS: '-mod=readonly',
      TEST_DATABASE_URL: `postgres://depot@127.0.0.1:${port}/depot`,
      TEST_PASSWORD_FILE: join(root, 'run/secrets/depot/password'),
    }
    const tested = await promisify(execFile)('go', ['test', '-count=1', '-v', './...'], {
      cwd: join(import.meta.dirname, 'api'),
      env,
    }).catch((error: { stdout: string; stderr: string }) => error)
    const { stdout, stderr } = tested
    expect(`${stdout}\n${stderr}`).toMatch(/^ok\s/m)
    expect(stdout.match(/^--- PASS/gm)?.length).toBeGreaterThanOrEqual(6)
  })
})
