import { Metadata, MetadataKind, type Root, type Signature, TargetFile, Targets, Signature as TufSignature } from '@tufjs/models'
import * as z from 'zod'
import { keyId, publicKeyOf, signBytes } from '../keys/keys.ts'

/** Signatures as TUF metadata carries them: hex of DER, by key id. */
export const signaturesSchema = z
  .array(z.strictObject({ keyid: z.string().regex(/^[0-9a-f]{64}$/), sig: z.string().regex(/^([0-9a-f]{2}){8,110}$/) }))
  .max(64)

/** Version of the TUF specification that the metadata follows; others of the same major version are read. */
export const specVersion = '1.0.31'
export const specVersionSchema = z.string().regex(/^1\.[0-9]{1,4}(\.[0-9]{1,4})?$/)

type JsonObject = Parameters<typeof Metadata.fromJSON>[1]

/** Plain data as the JSON that TUF's models take: without what is undefined. */
export function jsonObject(value: object): JsonObject {
  return JSON.parse(JSON.stringify(value))
}

/** A channel as TUF's model of it. The library's own reading and writing copies all targets once more for each of them. */
export function channelMetadata({ signatures, signed }: { readonly signatures: object; readonly signed: ChannelJson }): Metadata<Targets> {
  const { targets, ...rest } = signed
  const { signatures: given, signed: read } = Metadata.fromJSON(
    MetadataKind.Targets,
    jsonObject({ signatures, signed: { ...rest, targets: {} } }),
  )
  const files = Object.entries(targets).map(([name, target]) => [name, TargetFile.fromJSON(name, jsonObject(target))] as const)
  return new Metadata(new ChannelTargets({ ...read, targets: Object.fromEntries(files) }), given)
}

interface ChannelJson {
  readonly targets: Readonly<Record<string, object>>
  readonly [field: string]: unknown
}

class ChannelTargets extends Targets {
  override toJSON(): JsonObject {
    const { version, specVersion, expires, unrecognizedFields } = this
    const files = Object.entries(this.targets).map(([name, target]) => [name, target.toJSON()])
    return { ...new Targets({ version, specVersion, expires, unrecognizedFields }).toJSON(), targets: Object.fromEntries(files) }
  }
}

/** Times of TUF metadata: UTC, to the second (TUF specification, "File formats: general principles"). */
export const tufTime = z.iso.datetime({ precision: 0 })

/** @throws RangeError when `time` is none */
export function toTufTime(time: string): string {
  return `${new Date(time).toISOString().slice(0, 19)}Z`
}

/** Adds signatures by `privateKeys` (PKCS#8, PEM) to metadata. @throws TrustError `KeyUnreadable`, `KeyNotAllowed` */
export function signMetadata(metadata: Metadata<Root> | Metadata<Targets>, privateKeys: readonly string[]): void {
  for (const privateKey of privateKeys) {
    metadata.sign((bytes): Signature => {
      return new TufSignature({ keyID: keyId(publicKeyOf(privateKey)), sig: signBytes(bytes, privateKey).toString('hex') })
    })
  }
}

/** Metadata as the bytes that are stored: JSON with sorted keys and no white space. */
export function metadataBytes(metadata: Metadata<Root> | Metadata<Targets>): Uint8Array {
  return Buffer.from(JSON.stringify(sorted(metadata.toJSON())))
}

/**
 * Reads JSON that must be in the one form that {@link metadataBytes} writes. TUF signs the content and not the bytes; with one
 * form only, no byte can be changed, no key be given twice, and nothing be hidden beside what is signed.
 * @throws Error of any class
 */
export function readCanonical(bytes: Uint8Array, limit: number): unknown {
  if (bytes.length > limit) throw new Error(`${bytes.length} bytes; at most ${limit} are read`)
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  const value: unknown = JSON.parse(text)
  if (JSON.stringify(sorted(value)) !== text) throw new Error('not in canonical form: keys sorted, each once, no white space')
  return value
}

/**
 * Demands that metadata, as TUF's models understood it, is what was read. The models put defaults for what is empty, and it is their
 * understanding that signatures are checked on.
 * @throws Error
 */
export function demandUnderstood(metadata: Metadata<Root> | Metadata<Targets>, bytes: Uint8Array): void {
  if (!Buffer.from(metadataBytes(metadata)).equals(bytes)) throw new Error('understood as something else than was written')
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, child]) => [key, sorted(child)]),
  )
}
