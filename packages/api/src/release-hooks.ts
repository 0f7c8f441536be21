import * as z from 'zod'

/** Jobs that are hooks, of one release at most; each may run before, after, and on failure. */
const maxHooks = 512

/** What became of the hooks of the version that was last brought in: each runs once for it, whatever happens to the agent. */
export const hookRecordSchema = z.object({
  /** Stands for the version with all that shapes it. */
  key: z.string(),
  /** With which of its hooks it was brought in. */
  of: z.enum(['install', 'upgrade']),
  /** Part of what its jobs are labelled with: the same version, asked for again later, is another attempt. */
  attempt: z.int().min(0),
  /** `before-upgrade Job shop/migrate` */
  done: z.array(z.string().max(600)).max(3 * maxHooks),
  failed: z.object({ hook: z.string().max(600), message: z.string().max(2048) }).optional(),
  /** There are hooks to run should it fail, and they did not run. */
  onFailure: z.literal('pending').optional(),
})
export type HookRecord = z.infer<typeof hookRecordSchema>
