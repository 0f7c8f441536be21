import type { OverlaySpec } from '@muster/api'
import { type BundleParameter, type ImageFieldText, imageRule, imagesOf, type KubeObjectLike } from '@muster/bundle'
import { type Allowance, demandAllowed } from './allowed.ts'
import { OverlayError, type Problem } from './errors.ts'
import { applyImage } from './images.ts'
import { type Item, itemOf } from './item.ts'
import { applyNamespace } from './namespace.ts'
import { type From, fromBundle, isRecord, type MapNode, plain, treeOf } from './node.ts'
import { type FieldOrigin, type Level, type Origin, originsOf } from './origins.ts'
import { applyParameter, type GivenValue } from './parameters.ts'
import { applyPatch } from './patches.ts'
import { type ReadSchema, schemaReader } from './schema.ts'
import { describeSubject, identity, type Surroundings } from './subject.ts'
import { applyAnnotations, applyLabels, applyReplicas } from './transformers.ts'

/** One customization: values of parameters, and an overlay. */
export interface Layer {
  readonly name: string
  readonly level: Exclude<Level, 'default' | 'sealed'>
  readonly values?: Readonly<Record<string, unknown>> | undefined
  readonly overlay?: OverlaySpec | undefined
  /** Where others bound it: what it may change, and which parameters it may set. Unbounded where it is left out. */
  readonly within?: { readonly fields: readonly Allowance[]; readonly parameter: (name: string) => string | undefined } | undefined
}

export interface CustomizeOptions {
  readonly parameters?: readonly BundleParameter[] | undefined
  /** In order of precedence: a later one wins. */
  readonly layers: readonly Layer[]
  /** Values that were sealed, which win over all others; nobody sees them. */
  readonly sealed?: Readonly<Record<string, unknown>> | undefined
  /** Parameters that have a sealed value, where it cannot be unsealed: a stand-in is put where it would be. */
  readonly hidden?: readonly string[] | undefined
  /** Where objects go that name no namespace. */
  readonly namespace: string
  readonly imageFields?: readonly ImageFieldText[] | undefined
}

export interface CustomizedObject {
  readonly object: KubeObjectLike
  /** Fields that are not the bundle's, and what made them. */
  readonly origins: readonly FieldOrigin[]
}

export interface Customized {
  readonly objects: readonly CustomizedObject[]
  /** Why it cannot be used: nothing may be applied then. */
  readonly problems: readonly Problem[]
  /** Where objects go that name no namespace, after all overlays. */
  readonly namespace: string
}

/** What stands for a sealed value that cannot be unsealed here. */
const standIn = '<sealed>'

/**
 * A bundle's objects as they are to be in one cluster: first the values of its parameters, then overlay by overlay, each over what the
 * ones before made, with Kustomize's semantics. Pure, and the same every time; the objects given are left as they are. Problems are
 * collected, one per customization and parameter: whoever mends them sees all at once.
 */
export function customize(objects: readonly KubeObjectLike[], options: CustomizeOptions): Customized {
  const run = new Run(objects, options)
  run.parameters()
  for (const layer of options.layers) run.layer(layer)
  return run.end()
}

class Run {
  readonly #options: CustomizeOptions
  readonly #origins = new Map<From, Origin>()
  readonly #problems: Problem[] = []
  readonly #untouched = new Map<MapNode, KubeObjectLike>()
  #surroundings: Surroundings
  #schemas: ReadSchema | undefined
  #items: Item[]

  constructor(objects: readonly KubeObjectLike[], options: CustomizeOptions) {
    this.#options = options
    this.#surroundings = { namespace: options.namespace, clusterScoped: clusterScopedBy(objects) }
    this.#items = objects.map((object, number) => {
      const tree = treeOf(object, fromBundle) as MapNode
      this.#untouched.set(tree, object)
      return itemOf(number, tree, this.#surroundings)
    })
  }

  parameters(): void {
    const { parameters = [], layers, sealed = {}, hidden = [] } = this.#options
    const known = new Map(parameters.map((parameter) => [parameter.name, parameter]))
    for (const layer of layers) {
      for (const name of Object.keys(layer.values ?? {})) {
        const refusal = known.has(name) ? layer.within?.parameter(name) : undefined
        if (refusal !== undefined) this.#problem('NotAllowed', `${whose(layer)} sets the parameter ${name}: ${refusal}`)
        if (!known.has(name)) this.#problem('ParameterUnknown', `${whose(layer)} sets the parameter ${name}, ${unknownText(parameters)}`)
      }
    }
    for (const name of new Set([...Object.keys(sealed), ...hidden]))
      if (!known.has(name))
        this.#problem('ParameterUnknown', `There is a sealed value for the parameter ${name}, ${unknownText(parameters)}`)
    for (const parameter of parameters) {
      this.#try(`The parameter ${parameter.name}`, () => {
        const given = this.#valueOf(parameter)
        this.#items = applyParameter(this.#items, parameter, given, this.#surroundings)
      })
    }
  }

  /** The value that wins. Every value that was given must fit, also one that another wins over. */
  #valueOf(parameter: BundleParameter): GivenValue {
    const { name, secret = false } = parameter
    const { layers, sealed = {}, hidden = [] } = this.#options
    this.#schemas ??= schemaReader()
    const check = this.#schemas(parameter.schema)
    const demandFits = (value: unknown, giver: string): void => {
      const wrong = check(value)
      if (wrong !== undefined) throw new OverlayError('ValueInvalid', `the value that ${giver} gives is refused by its schema: ${wrong}.`)
    }
    let given: GivenValue | undefined
    const give = (value: unknown, origin: Omit<Origin, 'by' | 'parameter'>, isSecret: boolean): void => {
      given = { value, from: this.#made({ by: 'parameter', parameter: name, ...origin }), secret: isSecret }
    }
    if (parameter.default !== undefined) {
      demandFits(parameter.default, 'its default')
      give(parameter.default, { level: 'default' }, secret)
    }
    for (const layer of layers) {
      const values = layer.values ?? {}
      if (!Object.hasOwn(values, name)) continue
      demandFits(values[name], whoseLower(layer))
      give(values[name], { level: layer.level, name: layer.name }, secret)
    }
    if (Object.hasOwn(sealed, name)) {
      demandFits(sealed[name], 'the sealed one')
      give(sealed[name], { level: 'sealed' }, true)
    } else if (hidden.includes(name)) give(standIn, { level: 'sealed' }, true)
    if (given === undefined)
      throw new OverlayError(
        'ParameterMissing',
        `it has no default and no value was given. ${secret ? 'It is secret: seal one with "muster seal".' : 'Give one under values: of a customization.'}`,
      )
    return given
  }

  layer(layer: Layer): void {
    const { overlay } = layer
    if (overlay === undefined) return
    this.#try(whose(layer), () => {
      const before = this.#items
      const after = this.#overlaid(overlay, this.#made({ by: 'overlay', level: layer.level, name: layer.name }))
      if (layer.within !== undefined) demandAllowed(before, after, layer.within.fields)
      this.#items = after
      if (overlay.namespace !== undefined) this.#surroundings = { ...this.#surroundings, namespace: overlay.namespace }
    })
  }

  /** In Kustomize's order, whatever the order in which it is written. */
  #overlaid(overlay: OverlaySpec, from: From): Item[] {
    const around = this.#surroundings
    const { imageFields = [] } = this.#options
    let items = this.#items
    for (const [at, patch] of (overlay.patches ?? []).entries())
      items = inPart(`patch ${at + 1}`, () => applyPatch(items, patch, from, around))
    const { namespace } = overlay
    if (namespace !== undefined) items = inPart('namespace', () => applyNamespace(items, namespace, from, around))
    for (const labels of overlay.labels ?? []) items = inPart('labels', () => applyLabels(items, labels, from, around))
    const { annotations } = overlay
    if (annotations !== undefined) items = inPart('annotations', () => applyAnnotations(items, annotations, from, around))
    for (const replicas of overlay.replicas ?? []) items = inPart('replicas', () => applyReplicas(items, replicas, from, around))
    for (const image of overlay.images ?? []) items = inPart('images', () => applyImage(items, image, imageFields, from, around))
    return items
  }

  end(): Customized {
    const objects = this.#items.map(({ tree }): CustomizedObject => {
      const untouched = this.#untouched.get(tree)
      if (untouched !== undefined) return { object: untouched, origins: [] }
      return { object: plain(tree) as KubeObjectLike, origins: originsOf(tree, this.#origins) }
    })
    this.#refuseTwins()
    if (this.#problems.length === 0) for (const one of objects) this.#refuseUnpinned(one)
    return { objects, problems: this.#problems, namespace: this.#surroundings.namespace }
  }

  #refuseTwins(): void {
    const seen = new Set<string>()
    for (const { subject } of this.#items) {
      const key = identity(subject, this.#surroundings)
      if (seen.has(key)) this.#problem('DuplicateObject', `After all customizations there are two of ${describeSubject(subject)}.`)
      seen.add(key)
    }
  }

  /** What runs is known by its digest, whoever said so. */
  #refuseUnpinned({ object, origins }: CustomizedObject): void {
    if (origins.length === 0) return
    for (const { image } of imagesOf(object, (this.#options.imageFields ?? []).map(imageRule))) {
      if (/@sha256:[0-9a-f]{64}$/.test(image)) continue
      const what = describeSubject({ kind: object.kind, name: object.metadata.name, namespace: object.metadata.namespace })
      this.#problem('ImageNotPinned', `${what} names the image ${image.slice(0, 300)} without a digest. Give one: digest: sha256:….`)
    }
  }

  #made(origin: Origin): From {
    const from = this.#origins.size + 1
    this.#origins.set(from, origin)
    return from
  }

  #try(who: string, change: () => void): void {
    try {
      change()
    } catch (error) {
      if (!(error instanceof OverlayError)) throw error
      this.#problem(error.code, `${who}: ${error.message}`)
    }
  }

  #problem(code: Problem['code'], message: string): void {
    this.#problems.push({ code, message })
  }
}

function inPart<T>(part: string, change: () => T): T {
  try {
    return change()
  } catch (error) {
    // What cannot be read as YAML says so in the words of its reader.
    if (error instanceof OverlayError || (error instanceof Error && error.name === 'BundleError'))
      throw new OverlayError(error instanceof OverlayError ? error.code : 'Malformed', `${part}: ${error.message}`, { cause: error })
    throw error
  }
}

function whose({ name, level }: Layer): string {
  return level === 'site' ? `The site's overlay ${name}` : `The customization ${name} (${level})`
}

function whoseLower(layer: Layer): string {
  return whose(layer).replace('The', 'the')
}

function unknownText(parameters: readonly BundleParameter[]): string {
  if (parameters.length === 0) return 'and the bundle has no parameters.'
  const names = parameters.map(({ name }) => name)
  return `which the bundle does not have. It has: ${names.slice(0, 20).join(', ')}${names.length > 20 ? ', …' : ''}.`
}

/** Kinds that the bundle's own definitions make cluster-scoped. */
function clusterScopedBy(objects: readonly KubeObjectLike[]): Set<string> {
  const found = new Set<string>()
  for (const { kind, apiVersion, ...rest } of objects) {
    if (kind !== 'CustomResourceDefinition' || !apiVersion.startsWith('apiextensions.k8s.io/')) continue
    const spec = rest['spec']
    if (!isRecord(spec) || spec['scope'] !== 'Cluster' || !isRecord(spec['names'])) continue
    found.add(`${String(spec['names']['kind'])}.${String(spec['group'])}`)
  }
  return found
}
