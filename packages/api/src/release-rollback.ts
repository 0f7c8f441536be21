import * as z from 'zod'
import { digestSchema, nameSchema } from './kind.ts'

/** What of a release's settings shapes its objects, as JSON text, is kept up to so many characters. */
export const maxShapeLength = 32_768

/** A version that was healthy here, with all that it takes to bring it back. */
export const goodVersionSchema = z.object({
  /** Stands for the bundle, its namespace and what shapes it. */
  key: z.string(),
  bundle: z.object({ repository: z.string(), version: z.string(), digest: digestSchema, size: z.int().min(0) }),
  namespace: nameSchema.optional(),
  /** Customizations and sealed values as they were, JSON; absent where they are too large to be kept here. */
  shape: z.string().max(maxShapeLength).optional(),
})
export type GoodVersion = z.infer<typeof goodVersionSchema>

/** A version that is not healthy yet: until when it may take is said by `rollout.progressDeadlineSeconds`. */
export const trialSchema = z.object({ key: z.string(), startedAt: z.iso.datetime() })

/** A version that was not healthy in time, and the one that was taken back for it. It is not tried again while the channel asks for the same. */
export const rollbackSchema = z.object({
  /** Of the version that failed. */
  key: z.string(),
  from: z.object({ version: z.string(), digest: digestSchema }),
  to: z.object({ version: z.string(), digest: digestSchema }),
  at: z.iso.datetime(),
  /** Why it was not healthy: a reason of `Release`, and its message. */
  reason: z.string(),
  message: z.string().max(2048),
})
export type Rollback = z.infer<typeof rollbackSchema>
