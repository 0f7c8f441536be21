import { execFile } from 'node:child_process'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { copy, type Descriptor, Registry, serveRegistry } from '@muster/oci'
import { describe, expect, it, onTestFinished } from 'vitest'
import { runHere, runWith } from '../testing/run.ts'
import { type SignedMedia, scanType, signedMedia } from '../testing/signed-media.ts'
import type { Report } from '../verification/report.ts'

const signedRules = [{ name: 'signed', match: { bundles: ['bundles/*'] }, signatures: [{ authorities: ['release'] }] }]
const scannedRules = [
  ...signedRules,
  {
    name: 'scanned',
    match: { images: ['registry.example/**'] },
    attestations: [{ predicateType: scanType, authorities: ['scanner'], maxAge: '7d', where: ['predicate.critical == 0'] }],
  },
]
const scan = (critical: number, at = new Date()) => ({ critical, metadata: { scanFinishedOn: at.toISOString() } })

function report(...args: string[]): Promise<{ code: number; report: Report }> {
  return reportWith({}, ...args)
}

async function reportWith(settings: Readonly<Record<string, string>>, ...args: string[]): Promise<{ code: number; report: Report }> {
  const { code, out, err } = await runWith(settings, 'verify', ...args, '-o', 'json')
  if (out === '') throw new Error(err)
  return { code, report: JSON.parse(out) as Report }
}

/** A registry of Muster's own on loopback with what the layout holds. */
async function served(media: SignedMedia): Promise<{ host: string; settings: Record<string, string> }> {
  const user = { name: 'writer', password: 'write me', access: 'write' as const }
  const server = await serveRegistry({ root: media.file('registry'), listen: { host: '127.0.0.1', port: 0 }, users: [user] })
  onTestFinished(() => server.close())
  const host = `127.0.0.1:${server.port}`
  const registry = new Registry({ host, plainHttp: true, credentials: { username: user.name, password: user.password } })
  await copy(media.layout, registry.repository('bundles/shop'), media.bundle, { referrers: true, tag: '1.0.0' })
  registry.close()
  const auth = Buffer.from(`${user.name}:${user.password}`).toString('base64')
  await writeFile(media.file('config.json'), JSON.stringify({ auths: { [host]: { auth } } }))
  return { host, settings: { DOCKER_CONFIG: media.dir } }
}

describe('muster verify', () => {
  it('verifies a bundle by a policy, and its images with it', async () => {
    const media = await signedMedia()
    await media.sign(media.bundle, 'release')
    const policy = await media.policy('org', signedRules)
    const { code, report: found } = await report(media.reference, '--policy', policy)
    expect(code).toBe(0)
    expect(found).toMatchObject({
      accepted: true,
      policies: ['org'],
      covered: { artifacts: 1, subjects: 2, byBundleOnly: 1, read: 1, unread: 0 },
    })
    expect(found.artifacts[0]?.subjects).toMatchObject([
      { kind: 'bundle', name: 'bundles/shop', digest: media.bundle.digest, coveredBy: 'rule' },
      { kind: 'image', name: 'registry.example/team/app', digest: media.image.digest, coveredBy: 'bundle' },
    ])
    const { out } = await runHere('verify', media.reference, '--policy', policy)
    expect(out).toMatch(
      /^ARTIFACT +RULE +NEEDS +FOUND +VERDICT\nbundles\/shop@sha256:\w{12} +org\/signed +signature by release +release +accepted\n/,
    )
    expect(out).toContain('1 image is covered by no rule but by the bundle that names the digest.')
  })

  it('exits with 3 and says why not, for people and in JSON', async () => {
    const media = await signedMedia()
    await media.sign(media.bundle, 'other')
    const policy = await media.policy('org', signedRules)
    const { code, report: found } = await report(media.reference, '--policy', policy)
    expect(code).toBe(3)
    expect(found).toMatchObject({ accepted: false, artifacts: [{ accepted: false, reason: 'WrongKey' }] })
    const { code: again, out } = await runHere('verify', media.reference, '--policy', policy)
    expect(again).toBe(3)
    expect(out).toContain('Why not:\n  bundles/shop: WrongKey: Rule signed of policy org asks for a signature by release')
  })

  it('holds images to attestations, their age and what they say', async () => {
    const media = await signedMedia()
    await media.sign(media.bundle, 'release')
    const policy = await media.policy('org', scannedRules)
    const reason = async () => (await report(media.reference, '--policy', policy)).report.artifacts[0]?.reason
    expect(await reason()).toBe('NoneFound')
    await media.attest(media.image, 'release', scan(0))
    expect(await reason()).toBe('WrongKey')
    await media.attest(media.image, 'scanner', scan(0, new Date('2020-01-01T00:00:00Z')))
    expect(await reason()).toBe('TooOld')
    await media.attest(media.image, 'scanner', scan(2))
    expect(await reason()).toBe('PredicateRefused')
    await media.attest(media.image, 'scanner', scan(0))
    expect(await reason()).toBeUndefined()
  })

  it('takes several policies, which only tighten', async () => {
    const media = await signedMedia()
    await media.sign(media.bundle, 'release')
    const [org, site] = [await media.policy('org', signedRules), await media.policy('site', scannedRules)]
    expect((await report(media.reference, '--policy', org)).code).toBe(0)
    expect((await report(media.reference, '--policy', org, '--policy', site)).code).toBe(3)
  })

  it('with --key asks for a signature on the bundle and on each image', async () => {
    const media = await signedMedia()
    const verify = () => report(media.reference, '--key', media.file('release.pub'))
    await media.sign(media.bundle, 'release')
    expect(await verify()).toMatchObject({ code: 3, report: { artifacts: [{ reason: 'NoneFound' }] } })
    await media.sign(media.image, 'release')
    expect(await verify()).toMatchObject({ code: 0, report: { covered: { byBundleOnly: 0, read: 2 } } })
  })

  it('verifies in a registry what it verifies in a folder', async () => {
    const media = await signedMedia()
    await media.sign(media.bundle, 'release')
    await media.attest(media.image, 'scanner', scan(0))
    const { host, settings } = await served(media)
    const policy = await media.policy('org', scannedRules)
    const verify = (name: string) => reportWith(settings, `${host}/bundles/${name}:1.0.0`, '--plain-http', '--policy', policy)
    const { code, report: found } = await verify('shop')
    expect(found.artifacts[0]?.message).toBeUndefined()
    expect(code).toBe(0)
    expect(await verify('other')).toMatchObject({ code: 3, report: { artifacts: [{ reason: 'NoneFound' }] } })
    expect((await report(`${host}/bundles/shop:1.0.0`, '--plain-http', '--policy', policy)).report.artifacts[0]?.reason).toBe(
      'RegistryUnreachable',
    )
  })

  it('says of each artifact of one call what it found', async () => {
    const media = await signedMedia()
    await media.sign(media.bundle, 'release')
    const policy = await media.policy('org', signedRules)
    const found = await report(
      media.reference,
      `oci:${media.file('media')}:none`,
      ...Array<string>(50).fill(media.reference),
      '--policy',
      policy,
    )
    expect(found.code).toBe(3)
    expect(found.report.covered).toMatchObject({ artifacts: 52, refused: 1 })
  })

  it.each([
    [['oci:x', '--policy', '/nonexistent'], 2, /cannot be read \(a policy\): there is no such file/],
    [['oci:x'], 2, /--policy FILE/],
    [['--policy', 'f'], 2, /missing required argument/],
  ])('of %j says what is wrong', async (args, expected, sentence) => {
    const { code, err } = await runHere('verify', ...args)
    expect(err).toMatch(sentence)
    expect(code).toBe(expected)
  })

  it('refuses a policy that it does not understand as wrong usage, and verifies nothing by it', async () => {
    const media = await signedMedia()
    const file = media.file('bad.yaml')
    for (const [text, sentence] of [
      ['kind: [', /no YAML/],
      ['apiVersion: muster.dev/v1alpha1\nkind: TrustPolicy\nmetadata: {name: x}\nspec: {rules: []}\n', /no trust policy: rules/],
      [
        'apiVersion: muster.dev/v1alpha1\nkind: TrustPolicy\nmetadata: {name: x}\nspec: {rules: [{name: r, match: {bundles: ["**"]}}]}\n',
        /demands nothing/,
      ],
      ['', /holds no rules/],
    ] as const) {
      await writeFile(file, text)
      const { code, err } = await runHere('verify', media.reference, '--policy', file)
      expect(err).toMatch(sentence)
      expect(code).toBe(2)
    }
  })
})

describe('pain 13: "unsigned" said for another reason', () => {
  it('of a registry that does not answer it is said that it does not', async () => {
    const media = await signedMedia()
    const { code, report: found } = await report('127.0.0.1:1/bundles/shop:1', '--plain-http', '--key', media.file('release.pub'))
    expect(code).toBe(3)
    expect(found.artifacts).toMatchObject([{ accepted: false, reason: 'RegistryUnreachable', subjects: [] }])
  }, 60_000)

  it('of a signature that was damaged it is said that it was', async () => {
    const media = await signedMedia()
    await media.sign(media.bundle, 'release')
    await media.sign(media.image, 'release')
    await damageSignatures(media, media.bundle)
    const { report: found } = await report(media.reference, '--key', media.file('release.pub'))
    expect(found.artifacts[0]).toMatchObject({ accepted: false, reason: 'DataDamaged' })
  })
})

describe('pain 14: missing data shown as "no findings"', () => {
  it('what could not be read is listed beside what is accepted', async () => {
    const media = await signedMedia()
    await media.sign(media.bundle, 'other')
    await damageSignatures(media, media.bundle)
    await media.sign(media.bundle, 'release')
    const policy = await media.policy('org', signedRules)
    const { code, report: found } = await report(media.reference, '--policy', policy)
    expect(code).toBe(0)
    expect(found.covered).toMatchObject({ read: 1, unread: 1 })
    expect((await runHere('verify', media.reference, '--policy', policy)).out).toContain('Not read:\n  bundles/shop: DataDamaged')
  })
})

describe('pain 12: "offline" that dials out', () => {
  // Whoever opens a socket, or asks for an address, ends the process.
  const noSocket = `data:text/javascript,${encodeURIComponent(
    `import net from 'node:net'; import dns from 'node:dns'; import dgram from 'node:dgram'; import tls from 'node:tls'
    const dial = (what) => () => { process.stderr.write('dialed out by ' + what); process.exit(99) }
    net.Socket.prototype.connect = dial('connect'); net.connect = net.createConnection = dial('net.connect'); tls.connect = dial('tls.connect')
    dns.lookup = dial('lookup'); dns.promises.lookup = dial('lookup'); dgram.createSocket = dial('dgram'); globalThis.fetch = dial('fetch')
    import { syncBuiltinESMExports } from 'node:module'; syncBuiltinESMExports()`,
  )}`
  const main = path.resolve(import.meta.dirname, '../main.ts')

  it('a folder is verified in a network namespace without a route, and no socket is opened', async () => {
    const media = await signedMedia()
    await media.sign(media.bundle, 'release')
    await media.attest(media.image, 'scanner', scan(0))
    const policy = await media.policy('org', scannedRules)
    const node = ['--import', noSocket, main, 'verify', media.reference, '--policy', policy]
    const { code, out, err } = await spawned('unshare', ['--user', '--map-root-user', '--net', process.execPath, ...node], media.dir)
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toContain('accepted. 2 signatures and attestations read, 0 could not be.')
    // The trap works: of a registry, the same call is caught.
    const dialing = ['--import', noSocket, main, 'verify', '127.0.0.1:1/x:1', '--plain-http', '--policy', policy]
    expect(await spawned(process.execPath, dialing, media.dir)).toMatchObject({ code: 99 })
  }, 60_000)
})

/** Changes a byte in each signature on a subject. */
async function damageSignatures({ layout, file }: SignedMedia, subject: Descriptor): Promise<void> {
  const blobs = path.join(file('media'), 'blobs/sha256')
  const layers = await Promise.all(
    (await layout.referrers(subject.digest)).map(async ({ digest }) => {
      const manifest = JSON.parse(Buffer.from((await layout.manifest(digest)).bytes).toString('utf8')) as { layers: Descriptor[] }
      return manifest.layers.map((layer) => layer.digest.slice('sha256:'.length))
    }),
  )
  const damaged = (await readdir(blobs)).filter((name) => layers.flat().includes(name))
  for (const name of damaged) {
    const bytes = await readFile(path.join(blobs, name))
    bytes[100] = (bytes[100] ?? 0) ^ 1
    await writeFile(path.join(blobs, name), bytes)
  }
}

function spawned(command: string, args: readonly string[], home: string): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const env = { PATH: process.env['PATH'], HOME: home, MUSTER_STATE: path.join(home, 'state') }
    execFile(command, args, { env, timeout: 50_000 }, (error, out, err) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, out, err })
    })
  })
}
