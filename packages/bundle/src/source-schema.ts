import * as z from 'zod'
import { bundleName, imageFieldSchema, semanticVersion } from './format.ts'
import { healthRulesSchema } from './health.ts'
import { kubernetesVersion } from './helm/defaults.ts'
import { limits } from './limits.ts'
import { bundleParameterSchema, siteOverlaysSchema } from './parameter.ts'

export const apiVersion = 'muster.dev/v1alpha1'
export const kind = 'BundleSource'

const dnsLabel = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'must be lower-case letters, digits and -, at most 63')
const path = z
  .string()
  .min(1)
  .max(1024)
  .refine((text) => !text.startsWith('/') && !text.includes('\u0000'), 'must be a relative path')
const reference = z.string().min(1).max(512)
const goModulePattern = /^[A-Za-z0-9][A-Za-z0-9.~_/-]{0,200}@v[0-9][A-Za-z0-9.+-]{0,120}$/

const helmSchema = z
  .strictObject({
    chart: path.optional(),
    reference: reference.optional(),
    // Helm's own bound on the name of a release.
    release: dnsLabel.max(53, 'must be at most 53 characters, as Helm wants it').optional(),
    namespace: dnsLabel.optional(),
    values: z.record(z.string(), z.unknown()).default({}),
    valuesFiles: z.array(path).max(100).default([]),
    kubeVersion: z
      .string()
      .regex(/^1\.[0-9]{1,3}\.[0-9]{1,3}$/, `must be a version of Kubernetes, such as ${kubernetesVersion}`)
      .default(kubernetesVersion),
    apiVersions: z
      .array(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9./-]{0,300}$/, 'must be GROUP/VERSION or GROUP/VERSION/KIND'))
      .max(500)
      .default([]),
  })
  .refine((value) => (value.chart === undefined) !== (value.reference === undefined), 'needs exactly one of chart and reference')

const imgpkgSchema = z
  .strictObject({ dir: path.optional(), reference: reference.optional(), manifests: z.array(path).min(1).max(1000).optional() })
  .refine((value) => (value.dir === undefined) !== (value.reference === undefined), 'needs exactly one of dir and reference')

const componentSchema = z
  .strictObject({
    name: dnsLabel,
    manifests: z.array(path).min(1).max(1000).optional(),
    kustomize: path.optional(),
    helm: helmSchema.optional(),
    imgpkg: imgpkgSchema.optional(),
  })
  .refine(
    (value) => [value.manifests, value.kustomize, value.helm, value.imgpkg].filter((one) => one !== undefined).length === 1,
    'needs exactly one of manifests, kustomize, helm and imgpkg',
  )

const imageSchema = z
  .strictObject({
    match: z.string().regex(/^[A-Za-z0-9*][A-Za-z0-9._/:*-]{0,400}$/, 'must be an image name without tag, in which * stands for any text'),
    build: path.optional(),
    layout: path.optional(),
    reference: reference.optional(),
  })
  .refine(
    (value) => [value.build, value.layout, value.reference].filter((one) => one !== undefined).length === 1,
    'needs exactly one of build, layout and reference',
  )

const nestedSchema = z
  .strictObject({
    name: bundleName,
    digest: z.string().regex(/^sha256:[0-9a-f]{64}$/, 'must be a sha256 digest'),
    reference: reference.optional(),
    layout: path.optional(),
  })
  .refine((value) => (value.reference === undefined) !== (value.layout === undefined), 'needs exactly one of reference and layout')

export const sourceSchema = z
  .strictObject({
    apiVersion: z.literal(apiVersion),
    kind: z.literal(kind),
    name: bundleName,
    version: semanticVersion,
    description: z.string().max(1000).optional(),
    source: z
      .strictObject({
        goModule: z.string().regex(goModulePattern, 'must be a Go module and its version: path@v1.2.3'),
        sum: z
          .string()
          .regex(/^h1:[A-Za-z0-9+/]{43}=$/, 'must be a checksum as in go.sum: h1:…')
          .optional(),
      })
      .optional(),
    components: z.array(componentSchema).max(limits.components).default([]),
    bundles: z.array(nestedSchema).max(limits.nestedBundles).default([]),
    images: z.array(imageSchema).max(1000).default([]),
    imageFields: z.array(imageFieldSchema).max(limits.imageFields).default([]),
    health: healthRulesSchema.default([]),
    parameters: z
      .array(bundleParameterSchema)
      .max(limits.ownParameters)
      .refine((list) => new Set(list.map(({ name }) => name)).size === list.length, 'has two of one name')
      .default([]),
    siteOverlays: siteOverlaysSchema.optional(),
  })
  .refine((value) => value.components.length + value.bundles.length > 0, {
    message: 'needs one at least, or a bundle under bundles:',
    path: ['components'],
  })

export type ComponentData = z.infer<typeof componentSchema>
export type ImageData = z.infer<typeof imageSchema>
