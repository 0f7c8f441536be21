import { bundleFromJSON } from '@sigstore/bundle'
import { TransparencyLogEntry } from '@sigstore/protobuf-specs'
import type { SignedEntity } from '@sigstore/verify'
import { refusing, TrustError } from '../errors.ts'
import type { Signed } from './signed.ts'
import { maxTimestampBytes, maxTimestamps, type ReadTimestamp, readTimestamp } from './timestamp.ts'

const maxEntries = 16
const maxProofHashes = 64

/** Log entries and time stamps that came with a signature. */
export interface Proofs {
  readonly entries: readonly ReadEntry[]
  readonly stamps: readonly ReadTimestamp[]
  /** Times that the entries and stamps claim. */
  readonly times: readonly Date[]
}

export type ReadEntry = SignedEntity['tlogEntries'][number]

/** Reads what came with a signature, within bounds; nothing of it is verified. @throws TrustError `UnknownFormat` */
export function readProofs(signed: Signed): Proofs {
  const { entries, stamps } = refusing('UnknownFormat', `What came with ${signed.what} is not as its format demands.`, () => {
    if (signed.bundle !== undefined) {
      const material = bundleFromJSON(signed.bundle).verificationMaterial
      return {
        entries: material.tlogEntries.map(withSignedProof),
        stamps: (material.timestampVerificationData?.rfc3161Timestamps ?? []).map((stamp) => stamp.signedTimestamp),
      }
    }
    return { entries: (signed.material.tlogEntries ?? []).map(entryOf), stamps: signed.material.timestamps ?? [] }
  })
  if (entries.length > maxEntries || stamps.length > maxTimestamps || stamps.some((stamp) => stamp.length > maxTimestampBytes))
    throw new TrustError('UnknownFormat', `There are more log entries or time stamps with ${signed.what} than are read.`)
  if (entries.some((entry) => (entry.inclusionProof?.hashes.length ?? 0) > maxProofHashes))
    throw new TrustError('UnknownFormat', `A proof of inclusion of ${signed.what} is longer than any log.`)
  const copies = [
    ...entries.map((entry) => `${entry.logId.keyId.toString('hex')} ${entry.canonicalizedBody.toString('hex')}`),
    ...stamps.map(hexOf),
  ]
  if (new Set(copies).size < copies.length)
    throw new TrustError('UnknownFormat', `A log entry or a time stamp is there twice with ${signed.what}.`)
  const read = stamps.map(readTimestamp)
  const logged = refusing('UnknownFormat', `A log entry of ${signed.what} has no readable time.`, () =>
    entries.filter(hasTime).map((entry) => {
      const time = new Date(Number(BigInt(entry.integratedTime)) * 1000)
      if (Number.isNaN(time.getTime())) throw new Error('no time')
      return time
    }),
  )
  return { entries, stamps: read, times: [...logged, ...read.map(({ at }) => at)] }
}

/** v0.1 let a proof come without a checkpoint, and so unsigned: it cannot be checked, and is refused rather than passed over. */
function withSignedProof(entry: ReadEntry): ReadEntry {
  if (entry.inclusionProof && !entry.inclusionProof.checkpoint) throw new Error('a proof of inclusion without a checkpoint')
  return entry
}

function entryOf(json: unknown): ReadEntry {
  const { logId, kindVersion, ...entry } = TransparencyLogEntry.fromJSON(json)
  if (!logId || !kindVersion || (entry.inclusionProof && !entry.inclusionProof.checkpoint)) throw new Error('a field is missing')
  return { ...entry, logId, kindVersion } as ReadEntry
}

/** Rekor v1 signs the time with its promise; without one, and in v2, the time proves nothing. */
export function hasTime(entry: ReadEntry): boolean {
  return entry.inclusionPromise !== undefined && entry.integratedTime !== '' && entry.integratedTime !== '0'
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
