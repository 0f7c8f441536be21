import * as z from 'zod'
import { type apiVersion, conditionSchema, type KindDefinition, nameSchema, type ObjectMeta } from './kind.ts'

const text = z.string().min(1).max(1024)

/** What somebody signs to open the write guard for one release of one cluster for a time: the predicate of an in-toto statement. */
export const breakGlassStatementSchema = z.strictObject({
  cluster: nameSchema,
  release: nameSchema,
  reason: text,
  /** Who asks, by their own word; who signed is known by the signature. */
  by: z.string().min(1).max(253),
  notBefore: z.iso.datetime(),
  until: z.iso.datetime(),
  /** Tells one from another. */
  nonce: z.string().regex(/^[A-Za-z0-9_-]{16,64}$/),
})
export type BreakGlassStatement = z.infer<typeof breakGlassStatementSchema>

/** Signatures on one statement: no more are read. */
export const maxBreakGlassSignatures = 8
const maxSignatureLength = 65_536

const spec = z.strictObject({
  /** Sigstore bundles (JSON) over the same statement, one for each who signed it. */
  signatures: z.array(z.string().min(2).max(maxSignatureLength)).min(1).max(maxBreakGlassSignatures),
})

const status = z.strictObject({
  conditions: z.array(conditionSchema).max(16).optional(),
  observedGeneration: z.int().optional(),
  by: z.string().max(253).optional(),
  reason: z.string().max(1024).optional(),
  until: z.string().max(64).optional(),
  signedBy: z.array(z.string().max(253)).max(maxBreakGlassSignatures).optional(),
})

/**
 * Kind `BreakGlass`: opens the write guard for the release of its name, in the cluster in which it is. Whoever may write it proves
 * nothing; only the signatures in it count.
 */
export interface BreakGlass {
  readonly apiVersion: typeof apiVersion
  readonly kind: 'BreakGlass'
  readonly metadata: ObjectMeta
  readonly spec: z.infer<typeof spec>
  readonly status?: z.infer<typeof status>
}

/** Reasons of a `BreakGlass`'s condition `Open`. All but the first say why it is not. */
export const breakGlassReasons = {
  open: 'Open',
  /** It is from now on, and not yet. */
  notYet: 'NotYet',
  /** Its time is over. */
  expired: 'Expired',
  /** It was open and was ended early, or by its time: it does not open again. */
  ended: 'Ended',
  /** A newer one was open since it was signed. */
  replayed: 'Replayed',
  /** Not signed by enough of those who may. */
  notSigned: 'NotSigned',
  /** For another cluster or another release, longer than is allowed, or not understood. */
  refused: 'Refused',
  /** There is no such release here. */
  unknownRelease: 'UnknownRelease',
} as const
export type BreakGlassReason = (typeof breakGlassReasons)[keyof typeof breakGlassReasons]

/** The last opening of a release, as its Release remembers it: what is older does not count any more. */
export const breakGlassRecordSchema = z.object({
  by: z.string().max(253),
  reason: z.string().max(1024),
  signedBy: z.array(z.string().max(253)).max(maxBreakGlassSignatures),
  from: z.iso.datetime(),
  until: z.iso.datetime(),
  nonce: z.string().max(64),
  /** When it ended; it is open while this is absent. */
  endedAt: z.iso.datetime().optional(),
})
export type BreakGlassRecord = z.infer<typeof breakGlassRecordSchema>

export const breakGlassKind: KindDefinition = {
  kind: 'BreakGlass',
  plural: 'breakglasses',
  singular: 'breakglass',
  shortNames: ['mbg'],
  scope: 'Cluster',
  description: 'Opens the write guard for the release of its name for a time. Only the signatures in it count.',
  spec,
  status,
  columns: [
    { name: 'Open', type: 'string', jsonPath: '.status.conditions[?(@.type=="Open")].status' },
    { name: 'State', type: 'string', jsonPath: '.status.conditions[?(@.type=="Open")].reason' },
    { name: 'By', type: 'string', jsonPath: '.status.by' },
    { name: 'Until', type: 'string', jsonPath: '.status.until' },
    { name: 'Reason', type: 'string', jsonPath: '.status.reason' },
  ],
}
