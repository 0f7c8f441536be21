import * as z from 'zod'
import { SealError } from './errors.ts'
import { type PrivateSealingKey, privateKeySchema, usable } from './key.ts'

const storedSchema = z.strictObject({ key: privateKeySchema, createdAt: z.iso.datetime(), retiredAt: z.iso.datetime().optional() })

/** A key of a cluster. One that was retired unseals what was sealed to it; nothing new is sealed to it. */
export type StoredKey = z.infer<typeof storedSchema>

/** The keys of a cluster: the present one first, then those that were retired, the newest first. Never empty once made. */
export type Keyring = readonly StoredKey[]

const suffix = '.json'

/** The keys as they stand in a Secret: an entry for each, named by its thumbprint. */
export function formatKeyring(keyring: Keyring): Record<string, string> {
  return Object.fromEntries(keyring.map((stored) => [`${stored.key.kid}${suffix}`, JSON.stringify(stored)]))
}

/**
 * Reads the entries of a Secret. Entries of other names are nobody's business here.
 * @throws SealError `KeyInvalid` with the entry's name: what is damaged must not read as "no key"
 */
export async function parseKeyring(entries: Readonly<Record<string, string>>): Promise<Keyring> {
  const stored: StoredKey[] = []
  for (const [name, text] of Object.entries(entries)) {
    if (!name.endsWith(suffix)) continue
    stored.push(await parseEntry(name, text))
  }
  return inOrder(stored)
}

async function parseEntry(name: string, text: string): Promise<StoredKey> {
  try {
    const stored = storedSchema.parse(JSON.parse(text))
    if (`${stored.key.kid}${suffix}` !== name) throw new SealError('KeyInvalid', 'it holds a key of another name')
    await usable(stored.key)
    return stored
  } catch (cause) {
    // Neither zod's message nor JSON's: they may quote what they could not read.
    const why = cause instanceof SealError ? ` (${cause.message})` : ''
    throw new SealError('KeyInvalid', `The entry ${name} of the sealing keys is damaged${why}. Restore the Secret, or take the entry out.`)
  }
}

function inOrder(stored: readonly StoredKey[]): Keyring {
  const newest = stored.toSorted((a, b) =>
    a.createdAt > b.createdAt ? -1 : a.createdAt < b.createdAt ? 1 : a.key.kid < b.key.kid ? -1 : 1,
  )
  return [...newest.filter(({ retiredAt }) => retiredAt === undefined), ...newest.filter(({ retiredAt }) => retiredAt !== undefined)]
}

/**
 * Puts a new key in front; the others are retired from now on.
 * @param now the time of its making; where somebody asked for it by a clock that is ahead, that time
 */
export function withNewKey(keyring: Keyring, key: PrivateSealingKey, now: Date): Keyring {
  const retired = keyring.map((stored) => (stored.retiredAt === undefined ? { ...stored, retiredAt: now.toISOString() } : stored))
  return inOrder([{ key, createdAt: now.toISOString() }, ...retired])
}

/**
 * Whether a new key is due: there is none, the present one is older than a key may be, or somebody asked for one after it was made.
 * @param maxAgeMs cryptoperiod of a key, in milliseconds (NIST SP 800-57 part 1, 5.3.6: one to two years for a private key-agreement key)
 */
export function newKeyDue(
  keyring: Keyring,
  { now, maxAgeMs, askedAt }: { now: Date; maxAgeMs: number; askedAt?: string | undefined },
): boolean {
  const present = keyring.find(({ retiredAt }) => retiredAt === undefined)
  if (present === undefined) return true
  const made = Date.parse(present.createdAt)
  return now.getTime() - made >= maxAgeMs || (askedAt !== undefined && Date.parse(askedAt) > made)
}

/** Leaves out keys that were retired longer ago than the grace and to which nothing in use is sealed any more. */
export function withoutUnused(
  keyring: Keyring,
  { now, graceMs, used }: { now: Date; graceMs: number; used: ReadonlySet<string> },
): Keyring {
  return keyring.filter(
    ({ key, retiredAt }) => retiredAt === undefined || used.has(key.kid) || now.getTime() - Date.parse(retiredAt) < graceMs,
  )
}
