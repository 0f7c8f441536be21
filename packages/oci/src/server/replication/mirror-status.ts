import * as z from 'zod'
import type { Credentials } from '../../client/authorizer.ts'

/** Repositories that are copied to or from another registry, with all that refers to what is in them. */
export interface Mirror {
  readonly name: string
  /** `push`: from here to there; `pull`: from there to here. */
  readonly direction: 'push' | 'pull'
  /** `host[:port]` */
  readonly registry: string
  readonly plainHttp?: boolean | undefined
  /** PEM */
  readonly ca?: string | undefined
  readonly credentials?: Credentials | undefined
  /** Patterns of repositories, by their names where they are copied from. */
  readonly repositories: readonly string[]
  /** Patterns of tags. Default: all. */
  readonly tags?: readonly string[] | undefined
  /** Put before the names of repositories where they are copied to, such as `from-alpha/`. */
  readonly prefix?: string | undefined
  /** Milliseconds between runs. Default: only when asked. */
  readonly everyMs?: number | undefined
}

export const mirrorStatusSchema = z.object({
  name: z.string(),
  state: z.enum(['never', 'running', 'done', 'failed']),
  startedMs: z.number().optional(),
  finishedMs: z.number().optional(),
  /** When it last came to its end without a failure. */
  succeededMs: z.number().optional(),
  repositories: z.number(),
  tags: z.number(),
  manifests: z.number(),
  blobs: z.number(),
  bytes: z.number(),
  /** What was there already. */
  skipped: z.number(),
  /** The first failures, each with what failed. */
  errors: z.array(z.string()),
})
export type MirrorStatus = z.infer<typeof mirrorStatusSchema>
/** A mirror as it is listed: what it is, and how its last run went. */
export type MirrorEntry = MirrorStatus & Pick<Mirror, 'direction' | 'registry' | 'everyMs'> & { readonly patterns: readonly string[] }
