import type { BundleImage, ChartParameter } from '../format.ts'
import type { HealthRule } from '../health.ts'
import { describeObject, identityOf, type KubeObjectLike } from '../object.ts'
import type { ReadBundle } from '../read.ts'
import { type Connection, connectionsOf } from './connections.ts'
import { type FieldChange, fieldChanges } from './fields.ts'
import { diffOffered, type OfferedChange, siteAllowances } from './offered.ts'
import { type Permission, permissionsOf } from './permissions.ts'

export interface Release {
  readonly name: string
  readonly version: string
  readonly digest: string
}

/** An image before and after; left out where it was not there, or is no more. */
export interface ImageChange {
  /** Without tag. */
  readonly repository: string
  readonly old?: { readonly name: string; readonly digest: string }
  readonly new?: { readonly name: string; readonly digest: string }
}

export interface ParameterChange {
  readonly chart: string
  readonly name: string
  readonly old?: ChartParameter
  readonly new?: ChartParameter
}

/** A chart before and after, as `name version`. */
export interface ChartChange {
  readonly component: string
  readonly old?: string
  readonly new?: string
}

/** What is another between two bundles. */
export interface BundleDiff {
  readonly from: Release
  readonly to: Release
  readonly images: readonly ImageChange[]
  readonly objects: {
    readonly added: readonly string[]
    readonly removed: readonly string[]
    readonly changed: readonly { readonly object: string; readonly fields: readonly FieldChange[] }[]
  }
  readonly permissions: { readonly added: readonly Permission[]; readonly removed: readonly Permission[] }
  readonly connections: { readonly added: readonly Connection[]; readonly removed: readonly Connection[] }
  /** How custom resources are judged. */
  readonly health: { readonly added: readonly HealthRule[]; readonly removed: readonly HealthRule[] }
  readonly charts: readonly ChartChange[]
  /** Of charts that both have. */
  readonly parameters: readonly ParameterChange[]
  /** Parameters of the bundles themselves. */
  readonly offered: readonly OfferedChange[]
  /** What a cluster's own site may change. */
  readonly site: { readonly added: readonly string[]; readonly removed: readonly string[] }
}

/** Compares two bundles, included ones with them. Pure; sorted, so that the same two give the same. */
export function diffBundles(from: ReadBundle, to: ReadBundle): BundleDiff {
  return {
    from: releaseOf(from),
    to: releaseOf(to),
    images: diffImages(from.config.images, to.config.images),
    objects: diffObjects(from.objects, to.objects),
    permissions: diffPermissions(permissionsOf(from.objects), permissionsOf(to.objects)),
    connections: diffSets(connectionsOf(from.objects), connectionsOf(to.objects)),
    health: diffSets(from.health, to.health),
    charts: diffCharts(from, to),
    parameters: diffParameters(from, to),
    offered: diffOffered(from, to),
    site: diffSets(siteAllowances(from), siteAllowances(to)),
  }
}

function releaseOf({ config: { name, version }, descriptor: { digest } }: ReadBundle): Release {
  return { name, version, digest }
}

function diffObjects(from: readonly KubeObjectLike[], to: readonly KubeObjectLike[]): BundleDiff['objects'] {
  const [old, now] = [byIdentity(from), byIdentity(to)]
  const changed = [...now].flatMap(([identity, object]) => {
    const before = old.get(identity)
    const fields = before === undefined ? [] : fieldChanges(before, object)
    return fields.length === 0 ? [] : [{ object: describeObject(object), fields }]
  })
  const missingIn = (other: ReadonlyMap<string, KubeObjectLike>, all: ReadonlyMap<string, KubeObjectLike>) =>
    [...all].filter(([identity]) => !other.has(identity)).map(([, object]) => describeObject(object))
  return {
    added: missingIn(old, now).sort(),
    removed: missingIn(now, old).sort(),
    changed: changed.sort((a, b) => (a.object < b.object ? -1 : a.object > b.object ? 1 : 0)),
  }
}

function byIdentity(objects: readonly KubeObjectLike[]): Map<string, KubeObjectLike> {
  return new Map(objects.map((object) => [identityOf(object), object]))
}

function diffImages(from: readonly BundleImage[], to: readonly BundleImage[]): ImageChange[] {
  const repositories = new Set([...from, ...to].map(({ name }) => repositoryOf(name)))
  return [...repositories].sort().flatMap((repository) => {
    const only = (images: readonly BundleImage[], others: readonly BundleImage[]) =>
      images
        .filter(({ name }) => repositoryOf(name) === repository)
        .filter((image) => !others.some(({ name, digest }) => name === image.name && digest === image.digest))
        .map(({ name, digest }) => ({ name, digest }))
    const [old, now] = [only(from, to), only(to, from)]
    return Array.from({ length: Math.max(old.length, now.length) }, (_, at) => {
      const [before, after] = [old[at], now[at]]
      return { repository, ...(before === undefined ? {} : { old: before }), ...(after === undefined ? {} : { new: after }) }
    })
  })
}

export function repositoryOf(name: string): string {
  return name.replace(/:[^/]+$/, '')
}

/** Verb by verb: what may be done more, and what less. */
function diffPermissions(from: readonly Permission[], to: readonly Permission[]): BundleDiff['permissions'] {
  const key = ({ who, what, where }: Permission) => [who, what, where ?? ''].join('\u0000')
  const beyond = (some: readonly Permission[], others: readonly Permission[]) => {
    const known = new Map(others.map((permission) => [key(permission), new Set(permission.verbs ?? [])]))
    return some.flatMap((permission): Permission[] => {
      const had = known.get(key(permission))
      if (had === undefined) return [permission]
      const verbs = (permission.verbs ?? []).filter((verb) => !had.has(verb))
      return verbs.length === 0 ? [] : [{ ...permission, verbs }]
    })
  }
  return { added: beyond(to, from), removed: beyond(from, to) }
}

function diffSets<T>(from: readonly T[], to: readonly T[]): { added: T[]; removed: T[] } {
  const text = (value: T) => JSON.stringify(value)
  const [old, now] = [new Set(from.map(text)), new Set(to.map(text))]
  return { added: to.filter((value) => !old.has(text(value))), removed: from.filter((value) => !now.has(text(value))) }
}

function diffCharts(from: ReadBundle, to: ReadBundle): ChartChange[] {
  const [old, now] = [chartsOf(from), chartsOf(to)]
  return [...new Set([...old.keys(), ...now.keys()])].sort().flatMap((component): ChartChange[] => {
    const [before, after] = [old.get(component), now.get(component)]
    if (before === after) return []
    return [{ component, ...(before === undefined ? {} : { old: before }), ...(after === undefined ? {} : { new: after }) }]
  })
}

function chartsOf({ config }: ReadBundle): Map<string, string> {
  return new Map((config.charts ?? []).map(({ component, name, version }) => [component, `${name} ${version}`]))
}

function diffParameters(from: ReadBundle, to: ReadBundle): ParameterChange[] {
  const [before, after] = [chartsOf(from), chartsOf(to)]
  const inBoth = new Set([...before.keys()].filter((component) => after.has(component)))
  const [old, now] = [parametersOf(from, inBoth), parametersOf(to, inBoth)]
  const keys = [...new Set([...old.keys(), ...now.keys()])].sort()
  return keys.flatMap((key): ParameterChange[] => {
    const [before, after] = [old.get(key), now.get(key)]
    if (JSON.stringify([before?.default, before?.value]) === JSON.stringify([after?.default, after?.value]) && before && after) return []
    const [chart = '', name = ''] = key.split('\u0000')
    return [{ chart, name, ...(before === undefined ? {} : { old: before }), ...(after === undefined ? {} : { new: after }) }]
  })
}

function parametersOf({ config }: ReadBundle, components: ReadonlySet<string>): Map<string, ChartParameter> {
  return new Map(
    (config.charts ?? []).flatMap(({ component, parameters }) =>
      (components.has(component) ? parameters : []).map((parameter): [string, ChartParameter] => [
        `${component}\u0000${parameter.name}`,
        parameter,
      ]),
    ),
  )
}
