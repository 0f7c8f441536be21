import type { EnclavePolicy } from '@muster/api'
import type { ReadBundle } from '@muster/bundle'
import type { Allowance } from './allowed.ts'
import type { Layer } from './customize.ts'

/** A policy of the site, as far as it says what overlays of the site may change. */
export interface SiteRule {
  readonly metadata: { readonly name: string }
  readonly spec: Pick<EnclavePolicy['spec'], 'siteOverlays'>
}

/**
 * What an overlay of a site may change: what the bundle's owner allows, and what each policy of the site does. An owner who says nothing
 * lets a site set the parameters that are not secret, which have their schemas, and change no field beside them.
 */
export function siteBounds(
  { config, parameters }: Pick<ReadBundle, 'config' | 'parameters'>,
  policies: readonly SiteRule[],
): NonNullable<Layer['within']> {
  const { allow = [], parameters: settable } = config.siteOverlays ?? {}
  const said = policies.flatMap(({ metadata, spec: { siteOverlays } }) =>
    siteOverlays === undefined ? [] : [{ by: `EnclavePolicy ${metadata.name}`, ...siteOverlays }],
  )
  const fields = said.flatMap(({ by, allow: own, forbid }): Allowance[] => {
    if (forbid === true) return [{ by, fields: [] }]
    return own === undefined ? [] : [{ by, fields: own }]
  })
  const forbidding = said.find(({ forbid }) => forbid === true)
  return {
    fields: [{ by: 'the bundle', fields: allow }, ...fields],
    parameter: (name) => {
      if (forbidding !== undefined) return `${forbidding.by} forbids overlays of sites.`
      if (settable !== undefined)
        return settable.includes(name) ? undefined : `the bundle lets a site set ${settable.join(', ') || 'none'}.`
      const secret = parameters.some((one) => one.name === name && one.secret === true)
      return secret ? 'its values are secret, and whoever may read SiteOverlays would see them.' : undefined
    },
  }
}
