import * as z from 'zod'
import { apiVersion, conditionSchema, digestSchema, type KindDefinition, nameSchema, type ObjectMeta } from './kind.ts'
import { placementSettings } from './release-settings.ts'
import { maxHistory, placementHistoryEntrySchema } from './release-site.ts'

const spec = z.object({
  bundle: z.object({
    /** Repository in the fleet's registry, such as `bundles/podinfo`. */
    repository: z.string().min(1).max(255),
    version: z.string().min(1).max(128),
    /** Digest of the bundle's index: what is placed is this and nothing else. */
    digest: digestSchema,
  }),
  /** Namespace for the bundle's objects that name none; made when it is missing. */
  namespace: nameSchema.optional(),
  /** Which clusters: by name, by label, or all. An empty `names` list with no selector means none, which must be said. */
  clusters: z.object({
    names: z.array(nameSchema).max(5000).optional(),
    matchLabels: z.record(z.string(), z.string()).optional(),
    all: z.boolean().optional(),
  }),
  ...placementSettings,
})

const { bundle, ...besideBundle } = spec.shape

/**
 * A Placement as it stands in a file. Unlike in the hub's API, its bundle need not be said in full: what is left out is looked up in the
 * registry, so that a file can be kept from one version to the next. Unknown fields are mistakes.
 */
export const writtenPlacementSchema = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal('Placement'),
  metadata: z.strictObject({
    name: nameSchema,
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
  spec: z.strictObject({
    ...besideBundle,
    bundle: z.strictObject(bundle.partial().shape).optional(),
    clusters: z.strictObject(besideBundle.clusters.shape),
  }),
})

export const maxRolledBack = 16

const status = z.object({
  conditions: z.array(conditionSchema).max(16).optional(),
  observedGeneration: z.int().optional(),
  /** Clusters that the placement selects now. */
  selected: z.int().optional(),
  /** Of these, the clusters that report this digest as ready. */
  ready: z.int().optional(),
  /** Clusters that took it as it is now and went back from it, since it did not become healthy there; the first 16. */
  rolledBack: z.array(nameSchema).max(maxRolledBack).optional(),
  /** Bundles that it named, the newest first. */
  history: z.array(placementHistoryEntrySchema).max(maxHistory).optional(),
})

/** Kind `Placement`: a signed bundle and the clusters that it goes to, in the hub's API. Its name is the name of the release. */
export interface Placement {
  readonly apiVersion: typeof apiVersion
  readonly kind: 'Placement'
  readonly metadata: ObjectMeta
  readonly spec: z.infer<typeof spec>
  readonly status?: z.infer<typeof status>
}

/** Reasons of a `Placement`'s `Ready` condition. */
export const placementReasons = {
  ready: 'Ready',
  progressing: 'Progressing',
  /** Ready wherever it goes, but in clusters whose site holds the release at another version. */
  held: 'Held',
  noClusters: 'NoClusters',
  /** It depends on itself by way of others: it can never become ready. */
  dependencyCycle: 'DependencyCycle',
} as const

export const placementKind: KindDefinition = {
  kind: 'Placement',
  plural: 'placements',
  singular: 'placement',
  shortNames: ['mpl'],
  scope: 'Cluster',
  description: 'A signed bundle, by digest, and the clusters that it goes to.',
  spec,
  status,
  columns: [
    { name: 'Version', type: 'string', jsonPath: '.spec.bundle.version' },
    { name: 'Selected', type: 'integer', jsonPath: '.status.selected' },
    { name: 'Ready', type: 'integer', jsonPath: '.status.ready' },
  ],
}
