import type { Cluster } from './cluster.ts'
import { type ChosenCustomization, type Customization, customizationLevels, environmentLabel, groupLabel } from './release-settings.ts'

/** The customizations that are for a cluster, in order of precedence: by level, then as they are written. */
export function customizationsFor(cluster: Pick<Cluster, 'metadata'>, customizations: readonly Customization[]): ChosenCustomization[] {
  const labels = cluster.metadata.labels ?? {}
  const mine = { all: true, environment: labels[environmentLabel], group: labels[groupLabel], cluster: cluster.metadata.name } as const
  return customizationLevels.flatMap((level) =>
    customizations
      .filter((one) => one.for[level] !== undefined && one.for[level] === mine[level])
      .map(({ name, values, overlay }) => ({
        name,
        level,
        ...(values === undefined ? {} : { values }),
        ...(overlay === undefined ? {} : { overlay }),
      })),
  )
}
