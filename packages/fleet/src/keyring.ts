import { mkdir, open, readFile, rename } from 'node:fs/promises'
import path from 'node:path'
import {
  type Authority,
  authorityFrom,
  certificateInfo,
  createAuthority,
  createKeyPair,
  type IssuedCertificate,
  issueCertificate,
  type KeyPair,
} from '@muster/pki'
import { createRoot } from '@muster/trust'
import { FleetError } from './errors.ts'
import { systemNamespace } from './names.ts'

const yearsOfRoot = 2

/**
 * The keys of a fleet that is set up on one machine. A fleet for real keeps the root keys offline and the publishers' keys
 * with the publishers; this keyring is for trying Muster, and for tests.
 */
export interface Keyring {
  /** Signs bundles and images. Its name is what `signed by` shows. */
  readonly publisher: KeyPair & { readonly name: string }
  /** Signs channels; the hub holds it. */
  readonly channel: KeyPair
  /** Signs the trust root, by which the channel key is known. */
  readonly root: KeyPair
  /** The signed trust root, `root.json`. */
  readonly trustRoot: string
  /** Signs the hub's certificate and the identities of clusters. */
  readonly hubAuthority: Authority
}

/** Opens the keyring in `dir`, making what is missing. Files are private to the user; each is written whole or not at all. */
export async function openKeyring(dir: string, now: Date): Promise<Keyring> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const publisher = await keyPair(dir, 'publisher')
  const channel = await keyPair(dir, 'channel')
  const root = await keyPair(dir, 'root')
  const authority = await once(path.join(dir, 'hub-authority.json'), async () =>
    JSON.stringify(await createAuthority('muster-hub', { days: 365 * 10, now })),
  )
  const trustRoot = await once(path.join(dir, 'trust-root.json'), async () => {
    const expires = new Date(now)
    expires.setUTCFullYear(expires.getUTCFullYear() + yearsOfRoot)
    return Buffer.from(
      createRoot({
        rootKeys: [root],
        rootThreshold: 1,
        channelKeys: [channel],
        channelThreshold: 1,
        version: 1,
        expires: expires.toISOString(),
      }),
    ).toString('utf8')
  })
  const { certificate, privateKey } = parse<Authority>(authority, dir)
  return { publisher: { name: 'publisher', ...publisher }, channel, root, trustRoot, hubAuthority: authorityFrom(certificate, privateKey) }
}

async function keyPair(dir: string, name: string): Promise<KeyPair> {
  const text = await once(path.join(dir, `${name}.keys.json`), async () => JSON.stringify(createKeyPair()))
  const keys = parse<KeyPair>(text, dir)
  // The public half also as a file of its own, for tools that verify.
  await once(path.join(dir, `${name}.pub`), async () => keys.publicKey)
  return keys
}

function parse<T>(text: string, dir: string): T {
  try {
    return JSON.parse(text) as T
  } catch (cause) {
    throw new FleetError(
      'KeysDamaged',
      `A key file in ${dir} is damaged. Restore it from a copy, or start anew with "muster down --purge".`,
      {
        cause,
      },
    )
  }
}

/** The content of a file, made by `make` when there is none. */
async function once(file: string, make: () => Promise<string>): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const content = await make()
  await writeWhole(file, content)
  return content
}

async function writeWhole(file: string, content: string): Promise<void> {
  const draft = `${file}.${process.pid}`
  const handle = await open(draft, 'w', 0o600)
  try {
    await handle.writeFile(content)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(draft, file)
}

const servingDays = 365
/** A serving certificate is made anew when less than this share of its life is left. */
const renewBelow = 1 / 3

/** The hub's serving certificate for `addresses`: the one in `dir` as long as it serves, else a new one. */
export async function hubCertificate(
  dir: string,
  authority: Authority,
  addresses: readonly string[],
  now: Date,
): Promise<IssuedCertificate> {
  const file = path.join(dir, 'hub-serving.json')
  const make = async (): Promise<string> =>
    JSON.stringify({
      addresses,
      ...(await issueCertificate(authority, {
        commonName: 'muster-hub',
        dns: ['muster-hub', `muster-hub.${systemNamespace}.svc`],
        addresses,
        usages: ['server'],
        days: servingDays,
        now,
      })),
    })
  type Kept = IssuedCertificate & { readonly addresses: readonly string[] }
  const kept = parse<Kept>(await once(file, make), dir)
  const serves =
    addresses.every((address) => kept.addresses.includes(address)) && certificateInfo(kept.certificate, now).remaining > renewBelow
  if (serves) return kept
  const content = await make()
  await writeWhole(file, content)
  return parse<Kept>(content, dir)
}
