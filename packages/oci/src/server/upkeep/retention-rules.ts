import * as z from 'zod'
import { isPattern } from '../pattern.ts'
import type { RetentionRule } from './retention-plan.ts'

export const patternSchema = z.string().refine(isPattern, 'is no pattern: use names with * and **')
const milliseconds = z.int().min(0)
/** A push may take so long between an index's parts and the index. */
const shortestUntaggedMs = 60 * 60 * 1000

/** Rules as they go over the wire. A rule that keeps nothing is taken for a mistake. */
export const retentionRulesSchema = z
  .array(
    z.strictObject({
      repositories: patternSchema,
      keep: z
        .strictObject({
          newest: z.int().min(1).max(1_000_000).optional(),
          youngerMs: milliseconds.optional(),
          tags: z.array(patternSchema).max(256).optional(),
        })
        .refine((keep) => keep.newest !== undefined || keep.youngerMs !== undefined || (keep.tags?.length ?? 0) > 0, 'keeps nothing'),
      untaggedAfterMs: milliseconds.min(shortestUntaggedMs).optional(),
    }),
  )
  .min(1)
  .max(256) satisfies z.ZodType<readonly RetentionRule[]>
