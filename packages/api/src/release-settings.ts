import * as z from 'zod'
import { nameSchema } from './kind.ts'

/** JSON text of all settings of one release is at most this long: they travel in a channel, and a channel is small. */
const maxPatchLength = 65_536

const text = (max: number) => z.string().min(1).max(max)
const texts = (max: number) => z.record(text(317), z.string().max(max))

/** Which objects a patch is for: what is given must hold. Kind, group, version, name and namespace are regular expressions over the whole, as in Kustomize. */
export const overlayTargetSchema = z.strictObject({
  group: text(253).optional(),
  version: text(63).optional(),
  kind: text(253).optional(),
  name: text(253).optional(),
  namespace: text(253).optional(),
  labelSelector: text(1024).optional(),
  annotationSelector: text(1024).optional(),
})

/** What is changed over a signed bundle, with the semantics of the fields of the same name in a kustomization.yaml. */
export const overlaySchema = z.strictObject({
  namespace: nameSchema.optional(),
  labels: z
    .array(z.strictObject({ pairs: texts(63), includeSelectors: z.boolean().optional(), includeTemplates: z.boolean().optional() }))
    .max(64)
    .optional(),
  annotations: texts(65_536).optional(),
  images: z
    .array(z.strictObject({ name: text(512), newName: text(512).optional(), newTag: text(128).optional(), digest: text(128).optional() }))
    .max(256)
    .optional(),
  replicas: z
    .array(z.strictObject({ name: text(253), count: z.int().min(0).max(1_000_000) }))
    .max(256)
    .optional(),
  /** YAML or JSON: a strategic merge patch, or a list of operations of a JSON patch (RFC 6902), which needs a target. */
  patches: z
    .array(z.strictObject({ target: overlayTargetSchema.optional(), patch: text(maxPatchLength) }))
    .max(256)
    .optional(),
})

/** Values of parameters, by their names. Whether they fit is said by the bundle's schemas. */
export const parameterValuesSchema = z.record(text(128), z.unknown())

/** Which clusters are meant: exactly one of these. In this order the later wins, whatever the order in which they are written. */
export const customizationLevels = ['all', 'environment', 'group', 'cluster'] as const
export type CustomizationLevel = (typeof customizationLevels)[number]

/** Labels of a Cluster that customizations are chosen by. */
export const environmentLabel = 'muster.dev/environment'
export const groupLabel = 'muster.dev/group'

/** What is made different, and in which clusters. */
export const customizationSchema = z.strictObject({
  name: nameSchema,
  for: z
    .strictObject({
      all: z.literal(true).optional(),
      environment: nameSchema.optional(),
      group: nameSchema.optional(),
      cluster: nameSchema.optional(),
    })
    .refine(
      (value) => Object.values(value).filter((one) => one !== undefined).length === 1,
      'needs exactly one of all, environment, group and cluster',
    ),
  values: parameterValuesSchema.optional(),
  overlay: overlaySchema.optional(),
})

/** A customization that was chosen for a cluster. */
const chosenSchema = z.strictObject({
  name: nameSchema,
  level: z.enum(customizationLevels),
  values: parameterValuesSchema.optional(),
  overlay: overlaySchema.optional(),
})

/** What must be ready first: a release of the same cluster, or of another. */
export const dependencySchema = z.strictObject({ release: nameSchema, cluster: nameSchema.optional() })

/** A field of objects, as a path such as `spec.replicas` or `spec.template.spec.containers[name=app].image`. */
const fieldPath = z
  .string()
  .max(512)
  .regex(
    /^\.?[A-Za-z_$][\w$-]*(?:\.[A-Za-z_$][\w$-]*|\["[^"]+"\]|\[(?:\*|[0-9]+|=[^\]"]+|[^\]"=,]+=[^\]",]*(?:,[^\]"=,]+=[^\]",]*)*)\])*$/,
    'must be a path of a field, such as spec.replicas or spec.template.spec.containers[name=app].image',
  )
const objectsSchema = z.strictObject({
  /** `Deployment`, `Deployment.apps` */
  kind: text(253).optional(),
  namespace: text(253).optional(),
  name: text(253).optional(),
})

export const driftModes = ['detect', 'correct', 'prevent'] as const
export type DriftMode = (typeof driftModes)[number]

const shared = {
  dependsOn: z.array(dependencySchema).max(256).optional(),
  drift: z
    .strictObject({
      /** `prevent` (the default): the API server refuses what others write, and what gets past that is put back. `correct`: it is put back. `detect`: it is reported. */
      mode: z.enum(driftModes).optional(),
      /** Differences that are meant, who answers for them, and until when. */
      ignore: z
        .array(
          objectsSchema.extend({ path: fieldPath, owner: text(253), until: z.iso.datetime().optional(), reason: text(1024).optional() }),
        )
        .max(256)
        .optional(),
      /** Controllers that may write some fields: an autoscaler, an operator. */
      controllers: z
        .array(objectsSchema.extend({ user: text(253), paths: z.array(fieldPath).min(1).max(64) }))
        .max(64)
        .optional(),
    })
    .optional(),
  /** What is done where another field manager owns a field that the bundle sets: refused with its name (the default), or taken from these. */
  conflicts: z.strictObject({ takeFrom: z.array(text(253)).max(64) }).optional(),
  /** Objects that are there already and that the release may take over. */
  adopt: z.array(objectsSchema).max(256).optional(),
  rollout: z
    .strictObject({
      /** How long a version may take until it is healthy. Default 600. */
      progressDeadlineSeconds: z.int().min(1).max(86_400).optional(),
      /** How long it must be healthy without a break before it counts as good. Default 10. */
      minHealthySeconds: z.int().min(0).max(3_600).optional(),
      /** What happens then: back to the last digest that was healthy, once (the default), or nothing. */
      onFailure: z.enum(['rollback', 'stay']).optional(),
    })
    .optional(),
  prune: z
    .strictObject({
      /** Largest share (0 to 1) of the release's objects that one version may take away without consent. */
      maxShare: z.number().min(0).max(1).optional(),
      /** Kinds that are protected, such as PersistentVolumeClaim, and may be deleted from this release all the same. */
      consent: z.array(text(253)).max(64).optional(),
      /** What becomes of the objects when the release is taken away: deleted (the default), or left as they are. */
      onRemoval: z.enum(['delete', 'orphan']).optional(),
    })
    .optional(),
  /** Nothing is applied, corrected or pruned while it is said. */
  suspend: z.strictObject({ reason: text(1024) }).optional(),
} as const

/** What a placement says of how its bundle is brought to clusters, beside which and where. */
export const placementSettings = {
  ...shared,
  customize: z.array(customizationSchema).max(256).optional(),
  /** Values sealed to one cluster's key (JWE, compact): cluster → parameter → value. */
  sealed: z.record(nameSchema, z.record(text(128), text(131_072))).optional(),
  /** Whose release it is: it acts as that tenant, within the tenant's grants. */
  tenant: nameSchema.optional(),
} as const

/** `Deployment.apps`, `ConfigMap`, `Pod/log` for a subresource; `*` for all kinds that live in namespaces. */
const kindPattern = /^(\*|[A-Z][A-Za-z0-9]*(\.[a-z0-9]([-a-z0-9.]*[a-z0-9])?)?(\/[a-z]+)?)$/

/** How closely Kubernetes looks at the pods of a namespace: the levels of its Pod Security Standards. */
export const podSecurityLevels = ['restricted', 'baseline', 'privileged'] as const

/** What a tenant may have its releases make, and until when. */
export const grantSchema = z.strictObject({
  name: nameSchema,
  /**
   * Kinds that it may write. `*` stands for all that live in namespaces, but for those by which a namespace is bounded (ResourceQuota,
   * LimitRange), which are only meant by their names.
   */
  kinds: z.array(text(253).regex(kindPattern, 'must be such as Deployment.apps, ConfigMap, Pod/log or *')).min(1).max(256),
  /** Namespaces that it may write in; the agent makes them. None: the kinds are those that live in no namespace. */
  namespaces: z.array(nameSchema).max(256).optional(),
  /** What the pods of these namespaces may. Default: `baseline`, which keeps them off the node. */
  podSecurity: z.enum(podSecurityLevels).optional(),
  /** From then on nothing new is applied by it, and its rights are gone; what runs stays. */
  until: z.iso.datetime().optional(),
})
export type Grant = z.infer<typeof grantSchema>

/** The settings of one release in one cluster, as its channel carries them. */
export const releaseSettingsSchema = z.strictObject({
  ...shared,
  /** In order of precedence: a later one wins. */
  customize: z.array(chosenSchema).max(256).optional(),
  sealed: z.record(text(128), text(131_072)).optional(),
  tenant: z.strictObject({ name: nameSchema, grants: z.array(grantSchema).max(64) }).optional(),
})

export type OverlaySpec = z.infer<typeof overlaySchema>
export type OverlayTarget = z.infer<typeof overlayTargetSchema>
export type Customization = z.infer<typeof customizationSchema>
export type ChosenCustomization = z.infer<typeof chosenSchema>
export type Dependency = z.infer<typeof dependencySchema>
export type ReleaseSettings = z.infer<typeof releaseSettingsSchema>
/** A tenant as the channel of a cluster has it. */
export type ReleaseTenant = NonNullable<ReleaseSettings['tenant']>
