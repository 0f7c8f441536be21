import * as z from 'zod'
import { apiVersion, type KindDefinition } from './kind.ts'

type Json = { [key: string]: unknown }

/**
 * The CustomResourceDefinition of a kind, its structural schema derived from the zod schemas of spec and status, so that
 * what the API server refuses and what the code refuses cannot differ.
 */
export function customResourceDefinition(
  definition: KindDefinition,
): Json & { apiVersion: string; kind: string; metadata: { name: string } } {
  const [group, version] = apiVersion.split('/') as [string, string]
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${definition.plural}.${group}` },
    spec: {
      group,
      scope: definition.scope,
      names: {
        kind: definition.kind,
        listKind: `${definition.kind}List`,
        plural: definition.plural,
        singular: definition.singular,
        shortNames: [...definition.shortNames],
        categories: ['muster'],
      },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: definition.columns.map((column) => ({ ...column })),
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description: definition.description,
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: { type: 'object' },
                spec: structuralSchema(definition.spec),
                status: structuralSchema(definition.status),
              },
            },
          },
        },
      ],
    },
  }
}

/** A zod schema as a Kubernetes structural schema: OpenAPI v3 without the keywords that a structural schema forbids. */
export function structuralSchema(schema: z.ZodType): Json {
  return structural(z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input' }) as Json)
}

function structural(node: Json): Json {
  // What may be anything: JSON Schema says so with nothing at all, a structural schema in a word of its own.
  if (Object.keys(node).every((key) => key === '$schema' || key === 'description'))
    return { ...node, 'x-kubernetes-preserve-unknown-fields': true }
  const result: Json = {}
  for (const [key, value] of Object.entries(node)) {
    if (key === '$schema') continue
    if (key === 'additionalProperties' && (value === false || 'properties' in node)) continue
    if (key === 'properties') result[key] = mapValues(value as Json, (child) => structural(child as Json))
    else if (key === 'pattern' && node['format'] === 'date-time') continue
    else if (isObject(value)) result[key] = structural(value)
    else result[key] = value
  }
  return result
}

function mapValues(object: Json, change: (value: unknown) => unknown): Json {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]))
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
