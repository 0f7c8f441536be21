import type { Metadata, Targets } from '@tufjs/models'
import * as z from 'zod'
import { refusing, TrustError } from '../errors.ts'
import { type ChannelContent, musterSchema, targetsSchema, toContent, toMuster, toTargets } from './channel-content.ts'
import {
  channelMetadata,
  demandUnderstood,
  metadataBytes,
  readCanonical,
  signaturesSchema,
  signMetadata,
  specVersion,
  specVersionSchema,
  toTufTime,
  tufTime,
} from './metadata.ts'
import { followRoots } from './root.ts'

/** A larger channel is not read. 5,000 releases take about half of it. */
export const maxChannelBytes = 4 * 1024 * 1024

const channelSchema = z.strictObject({
  signatures: signaturesSchema,
  signed: z.strictObject({
    _type: z.literal('targets'),
    spec_version: specVersionSchema,
    version: z.int().min(1),
    expires: tufTime,
    targets: targetsSchema,
    muster: musterSchema,
  }),
})

/**
 * Signs a channel: TUF targets metadata (TUF specification, 4.5), a target per release, with fields of our own under `muster`.
 * @throws TrustError `ChannelMalformed` (the content breaks a rule), `KeyUnreadable`, `KeyNotAllowed`
 */
export function signChannel(content: ChannelContent, privateKeys: readonly string[]): Uint8Array {
  const bytes = refusing('ChannelMalformed', `The channel of ${content.cluster} cannot be written as it is.`, () => {
    const metadata = channelMetadata({
      signatures: [],
      signed: {
        _type: 'targets',
        spec_version: specVersion,
        version: content.generation,
        expires: toTufTime(content.expiresAt),
        targets: toTargets(content),
        muster: toMuster(content),
      },
    })
    signMetadata(metadata, privateKeys)
    return metadataBytes(metadata)
  })
  // What would be refused where it is read must not be published.
  readChannel(bytes)
  return bytes
}

/** Adds signatures, where a channel takes more than one. @throws TrustError `ChannelMalformed`, `KeyUnreadable`, `KeyNotAllowed` */
export function addChannelSignatures(channel: Uint8Array, privateKeys: readonly string[]): Uint8Array {
  const { metadata } = readChannel(channel)
  signMetadata(metadata, privateKeys)
  return metadataBytes(metadata)
}

export interface VerifyChannelOptions {
  /** The newest root that this cluster trusts: at first the one that it was given when it joined. */
  readonly trustedRoot: Uint8Array | string
  /** Root or roots that came with the channel, in any order. */
  readonly rootBytes: Uint8Array | string | readonly (Uint8Array | string)[]
  readonly channelBytes: Uint8Array
  /** Name of this cluster. */
  readonly cluster: string
  /** Generation of the newest channel that was accepted; 0 before the first. */
  readonly lastGeneration: number
  readonly now: Date
}

export interface VerifiedChannel {
  readonly content: ChannelContent
  /** The root to trust from now on: to be stored before the content is acted on. */
  readonly root: Uint8Array
  readonly rootVersion: number
  /** ISO 8601: when the channel or its root expires, whichever is earlier. */
  readonly expiresAt: string
  /** True when the channel or its root has expired: take nothing new from it, and keep what runs. */
  readonly expired: boolean
}

/**
 * Verifies a channel from the trusted root on. Pure.
 *
 * Rules (TUF specification, 5.3 and 5.6): roots follow one another without a gap, each signed by the last and by itself; the
 * channel is signed by enough channel keys of the newest; it names this cluster; its generation is not below the last accepted.
 * Expiry is reported and not thrown, since an outage of the hub must not stop what runs.
 * @throws TrustError `RootMalformed`, `RootSignature`, `RootChainBroken`, `ChannelMalformed`, `ChannelSignature`,
 *   `ChannelWrongCluster`, `ChannelRollback`
 */
export function verifyChannel(options: VerifyChannelOptions): VerifiedChannel {
  const { rootBytes, channelBytes, cluster, lastGeneration, now } = options
  const offered = typeof rootBytes === 'string' || rootBytes instanceof Uint8Array ? [rootBytes] : rootBytes
  const root = followRoots(options.trustedRoot, offered)
  const { metadata, content } = readChannel(channelBytes)
  try {
    root.metadata.verifyDelegate('targets', metadata)
  } catch (cause) {
    throw new TrustError('ChannelSignature', `The channel is not signed by enough keys of the trust root, version ${root.version}.`, cause)
  }
  if (content.cluster !== cluster)
    throw new TrustError(
      'ChannelWrongCluster',
      `The channel is the one of ${content.cluster}, not of ${cluster}. The registry mixes them up, or someone does.`,
    )
  if (content.generation < lastGeneration)
    throw new TrustError(
      'ChannelRollback',
      `The channel has generation ${content.generation}; ${lastGeneration} was accepted before. An old one was put back.`,
    )
  const ends = [content.expiresAt, root.metadata.signed.expires].map((time) => Date.parse(time))
  return {
    content,
    expiresAt: new Date(Math.min(...ends)).toISOString(),
    root: root.bytes,
    rootVersion: root.version,
    expired: now.getTime() >= Math.min(...ends),
  }
}

/**
 * Reads the content of a channel without trusting it: for the hub, which asks what it published last, and for showing.
 * @throws TrustError `ChannelMalformed`
 */
export function readChannelContent(channelBytes: Uint8Array): ChannelContent {
  return readChannel(channelBytes).content
}

function readChannel(bytes: Uint8Array): { readonly metadata: Metadata<Targets>; readonly content: ChannelContent } {
  return refusing('ChannelMalformed', 'The channel is not in the form that Muster writes, or it is damaged.', () => {
    const json = channelSchema.parse(readCanonical(bytes, maxChannelBytes))
    const { version, expires, targets, muster } = json.signed
    const metadata = channelMetadata(json)
    demandUnderstood(metadata, bytes)
    return { metadata, content: toContent(version, expires, targets, muster) }
  })
}
