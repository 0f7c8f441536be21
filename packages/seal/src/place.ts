/** Where a sealed value belongs, and nowhere else. */
export interface Place {
  readonly cluster: string
  readonly release: string
  readonly parameter: string
}

/** As people name it: `parameter password of release shop in cluster alpha`. */
export function describePlace({ cluster, release, parameter }: Place): string {
  return `parameter ${parameter} of release ${release} in cluster ${cluster}`
}
