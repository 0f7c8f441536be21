import * as z from 'zod'
import { type apiVersion, conditionSchema, type KindDefinition, nameSchema, type ObjectMeta } from './kind.ts'
import { overlaySchema, parameterValuesSchema } from './release-settings.ts'

const reason = z.string().min(1).max(1024)

const spec = z.strictObject({
  /** The release that is made different here. */
  release: nameSchema,
  /** Why, for everybody who sees it in a report. */
  reason,
  values: parameterValuesSchema.optional(),
  overlay: overlaySchema.optional(),
  /** When it ends by itself. */
  until: z.iso.datetime().optional(),
})

const status = z.strictObject({
  conditions: z.array(conditionSchema).max(16).optional(),
  observedGeneration: z.int().optional(),
})

/** Fields of objects that sites may change: of a kind (`Deployment`, `Deployment.apps`), a name, at or below a path. What is left out is any. */
export const siteFieldsSchema = z.array(
  z.strictObject({
    kind: z.string().min(1).max(253).optional(),
    name: z.string().min(1).max(253).optional(),
    path: z.string().min(1).max(512).optional(),
  }),
)

/** Kind `SiteOverlay`: what a site makes different in one release, in its own cluster's API. The hub cannot write it, and sees it in reports. */
export interface SiteOverlay {
  readonly apiVersion: typeof apiVersion
  readonly kind: 'SiteOverlay'
  readonly metadata: ObjectMeta
  readonly spec: z.infer<typeof spec>
  readonly status?: z.infer<typeof status>
}

/** A customization as releases and reports show it. */
export const customizationReportSchema = z.strictObject({
  name: z.string().max(253),
  level: z.enum(['all', 'environment', 'group', 'cluster', 'site']),
  /** Of a site's overlay: why, and when it ends. */
  reason: reason.optional(),
  until: z.string().max(64).optional(),
})
export type CustomizationReport = z.infer<typeof customizationReportSchema>
/** So many are shown: what a placement may have, and as many of the site. */
export const maxCustomizations = 512

export const siteOverlayKind: KindDefinition = {
  kind: 'SiteOverlay',
  plural: 'siteoverlays',
  singular: 'siteoverlay',
  shortNames: ['mso'],
  scope: 'Cluster',
  description: 'What a site makes different in one release, within what the bundle and the policies of the site allow.',
  spec,
  status,
  columns: [
    { name: 'Release', type: 'string', jsonPath: '.spec.release' },
    { name: 'Until', type: 'string', jsonPath: '.spec.until' },
    { name: 'Reason', type: 'string', jsonPath: '.spec.reason' },
  ],
}
