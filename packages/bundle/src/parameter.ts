import { type OverlayTarget, overlayTargetSchema } from '@muster/api'
import * as z from 'zod'
import { limits } from './limits.ts'

/** Without recursion, so that what is nested without end overflows nothing. */
function isDeep(value: unknown, bound: number): boolean {
  let level: unknown[] = [value]
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > bound) return true
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []))
  }
  return false
}

/** Any value of JSON that is not nested without end. */
export const shallow = z.unknown().refine((value) => !isDeep(value, limits.depth), `is nested more than ${limits.depth} levels deep`)

const fieldPath = z.string().min(1).max(512)

export const bundleParameterSchema = z
  .strictObject({
    name: z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,62}$/, 'must be letters, digits, - and _, at most 63, a letter first'),
    description: z.string().max(1000).optional(),
    schema: z.record(z.string(), shallow),
    default: shallow.optional(),
    secret: z.boolean().optional(),
    set: z
      .array(z.strictObject({ target: overlayTargetSchema, path: fieldPath, template: z.string().max(4096).optional() }))
      .min(1)
      .max(64),
  })
  .refine((value) => value.secret !== true || value.default === undefined, 'is secret and has a default, which everybody could read')

export const siteOverlaysSchema = z.strictObject({
  allow: z
    .array(
      z.strictObject({
        kind: z.string().min(1).max(253).optional(),
        name: z.string().min(1).max(253).optional(),
        path: fieldPath.optional(),
      }),
    )
    .max(256)
    .optional(),
  parameters: z.array(z.string().max(128)).max(limits.ownParameters).optional(),
})

/** A value that each cluster may have its own of, and where it goes. */
export interface BundleParameter {
  /** In an included bundle's case after the name of that bundle: `cache.size`. */
  readonly name: string
  readonly description?: string | undefined
  /** JSON Schema (2020-12) of its values. */
  readonly schema: Readonly<Record<string, unknown>>
  /** Left out: a value must be given. */
  readonly default?: unknown
  /** Its values are nobody's to see. */
  readonly secret?: boolean | undefined
  readonly set: readonly {
    readonly target: OverlayTarget
    /** `spec.template.spec.containers[name=web].image`; items of lists must be there. */
    readonly path: string
    /** Text in which `$(value)` stands for the value. */
    readonly template?: string | undefined
  }[]
}

/** What a cluster's own site may change over the bundle. */
export interface BundleSiteOverlays {
  /** Fields of objects; none where it is left out. */
  readonly allow?:
    | readonly { readonly kind?: string | undefined; readonly name?: string | undefined; readonly path?: string | undefined }[]
    | undefined
  /** Parameters that it may set; all that are not secret where it is left out. */
  readonly parameters?: readonly string[] | undefined
}
