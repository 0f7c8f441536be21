import { Metadata, MetadataKind, type Root } from '@tufjs/models'
import * as z from 'zod'
import { refusing, TrustError } from '../errors.ts'
import { keyId, kindOf, readPublicKey } from '../keys/keys.ts'
import {
  demandUnderstood,
  jsonObject,
  metadataBytes,
  readCanonical,
  signaturesSchema,
  signMetadata,
  specVersion,
  specVersionSchema,
  toTufTime,
  tufTime,
} from './metadata.ts'

const maxRootBytes = 64 * 1024

/** A key of a root. Where the private half is given, the root is signed with it. */
export interface RootKey {
  readonly publicKey: string
  readonly privateKey?: string
}

export interface CreateRootOptions {
  /** Keys that may sign the next root, kept offline, and how many of them it takes. */
  readonly rootKeys: readonly RootKey[]
  readonly rootThreshold: number
  /** Keys that sign channels (TUF's role `targets`), held by hubs, and how many of them it takes. */
  readonly channelKeys: readonly RootKey[]
  readonly channelThreshold: number
  /** ISO 8601; kept to the second. */
  readonly expires: string
  /** 1 for the first; each later one is the last plus one. */
  readonly version: number
}

const publicKeySchema = z.strictObject({ keytype: z.literal('ecdsa'), scheme: z.string(), keyval: z.strictObject({ public: z.string() }) })
const roleSchema = z.strictObject({ keyids: z.array(z.string()).min(1).max(32), threshold: z.int().min(1).max(32) })
const rootSchema = z.strictObject({
  signatures: signaturesSchema,
  signed: z.strictObject({
    _type: z.literal('root'),
    spec_version: specVersionSchema,
    version: z.int().min(1),
    expires: tufTime,
    consistent_snapshot: z.boolean(),
    keys: z.record(z.string(), publicKeySchema),
    roles: z.strictObject({ root: roleSchema, targets: roleSchema, snapshot: roleSchema, timestamp: roleSchema }),
  }),
})

/**
 * Makes a trust root: TUF root metadata (TUF specification, 4.3), signed with the root keys whose private halves are given. With
 * fewer than `rootThreshold` of them it must still be signed ({@link signRoot}) where the others are.
 * @throws TrustError `KeyUnreadable`, `KeyNotAllowed`, `RootMalformed`
 */
export function createRoot(options: CreateRootOptions): Uint8Array {
  const role = (keys: readonly RootKey[], threshold: number) => ({ keyids: keys.map((key) => keyId(key.publicKey)), threshold })
  const channel = role(options.channelKeys, options.channelThreshold)
  const metadata = refusing('RootMalformed', `The trust root of version ${options.version} cannot be made as it is asked for.`, () =>
    Metadata.fromJSON(
      MetadataKind.Root,
      jsonObject({
        signatures: [],
        signed: {
          _type: 'root',
          spec_version: specVersion,
          version: options.version,
          expires: toTufTime(options.expires),
          consistent_snapshot: true,
          keys: Object.fromEntries(
            [...options.rootKeys, ...options.channelKeys].map((key) => [keyId(key.publicKey), tufKey(key.publicKey)]),
          ),
          // A channel is the whole desired state in one file: TUF's snapshot and timestamp roles have nothing of their own to say.
          roles: { root: role(options.rootKeys, options.rootThreshold), targets: channel, snapshot: channel, timestamp: channel },
        },
      }),
    ),
  )
  signMetadata(
    metadata,
    options.rootKeys.flatMap((key) => (key.privateKey === undefined ? [] : [key.privateKey])),
  )
  const bytes = metadataBytes(metadata)
  readRoot(bytes)
  return bytes
}

/**
 * Adds signatures to a root: the other holders' of m-of-n, and, to take over from an older root, those of the older one's keys.
 * @throws TrustError `RootMalformed`, `KeyUnreadable`, `KeyNotAllowed`
 */
export function signRoot(root: Uint8Array | string, privateKeys: readonly string[]): Uint8Array {
  const { metadata } = readRoot(root)
  signMetadata(metadata, privateKeys)
  return metadataBytes(metadata)
}

/** A root that was read, not yet trusted. */
export interface ReadRoot {
  readonly metadata: Metadata<Root>
  readonly version: number
  readonly bytes: Uint8Array
}

/** Reads a root, strictly; its signatures are not looked at. @throws TrustError `RootMalformed` */
export function readRoot(root: Uint8Array | string): ReadRoot {
  const bytes = typeof root === 'string' ? Buffer.from(root) : root
  return refusing(
    'RootMalformed',
    'The trust root is not TUF root metadata as Muster writes it, or it is damaged. Take it from its source again.',
    () => {
      const json = rootSchema.parse(readCanonical(bytes, maxRootBytes))
      for (const [id, key] of Object.entries(json.signed.keys)) {
        // One key under two names would count twice towards a threshold.
        if (keyId(key.keyval.public) !== id || schemeOf(key.keyval.public) !== key.scheme)
          throw new Error(`key ${id} is not the one that its id says`)
      }
      for (const role of Object.values(json.signed.roles)) {
        if (role.keyids.some((id) => !Object.hasOwn(json.signed.keys, id))) throw new Error('a role names a key that is not there')
        if (role.threshold > role.keyids.length) throw new Error('a threshold is larger than the number of keys')
      }
      const metadata = Metadata.fromJSON(MetadataKind.Root, jsonObject(json))
      demandUnderstood(metadata, bytes)
      return { metadata, version: json.signed.version, bytes }
    },
  )
}

/**
 * Goes from a trusted root to the newest of those offered, one version at a time, each signed by enough keys of the one before and
 * by enough of its own (TUF specification, 5.3). Older ones are skipped.
 * @throws TrustError `RootMalformed`, `RootSignature`, `RootChainBroken`
 */
export function followRoots(trustedRoot: Uint8Array | string, offered: readonly (Uint8Array | string)[]): ReadRoot {
  let trusted = readRoot(trustedRoot)
  demandSigned(trusted, trusted, 'its own keys')
  const chain = offered.map(readRoot).sort((a, b) => a.version - b.version)
  for (const next of chain) {
    if (next.version < trusted.version) continue
    if (next.version > trusted.version + 1)
      throw new TrustError(
        'RootChainBroken',
        `The trust root goes from version ${trusted.version} to ${next.version}; the ones between must be published with it.`,
      )
    demandSigned(next, trusted, `the keys of the trusted root, version ${trusted.version}`)
    if (next.version === trusted.version) {
      if (!next.metadata.signed.equals(trusted.metadata.signed))
        throw new TrustError(
          'RootSignature',
          `There are two trust roots of version ${next.version}. Ask the holders of the root keys which is meant.`,
        )
      continue
    }
    demandSigned(next, next, 'its own keys')
    trusted = next
  }
  return trusted
}

function demandSigned(root: ReadRoot, by: ReadRoot, whose: string): void {
  try {
    by.metadata.verifyDelegate('root', root.metadata)
  } catch (cause) {
    throw new TrustError('RootSignature', `The trust root of version ${root.version} is not signed by enough of ${whose}.`, cause)
  }
}

function tufKey(publicKey: string): z.infer<typeof publicKeySchema> {
  return { keytype: 'ecdsa', scheme: schemeOf(publicKey), keyval: { public: publicKey } }
}

function schemeOf(publicKey: string): string {
  const kind = kindOf(readPublicKey(publicKey))
  if (kind === 'rsa') throw new TrustError('KeyNotAllowed', 'Roots and channels are signed with ECDSA keys; this one is RSA.')
  return kind === 'secp384r1' ? 'ecdsa-sha2-nistp384' : 'ecdsa-sha2-nistp256'
}
