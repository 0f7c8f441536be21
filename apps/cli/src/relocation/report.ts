import { type Counts, formatCounts, type Packed, type Relocated } from '@muster/relocate'

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** `12.3 MiB` */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

export function relocatedText({ source, target, digest, before, after, moved, mirrors }: Relocated): string {
  const { blobs, manifests, bytes, mounted, present } = moved
  const taken = mounted === 0 ? '' : `, ${mounted} taken over inside the registry`
  const lines = [
    ...headOf({ source, target, digest, before, after }),
    `  sent ${formatBytes(bytes)} (${bytes} bytes): ${blobs} blobs and ${manifests} manifests${taken}; ${present} were there`,
    ...mirrors.map((mirror) => `  nodes find it in ${mirror}`),
  ]
  return `${lines.join('\n')}\n`
}

export function packedText({ artifacts, files, bytes, content, omitted, resumed }: Packed): string {
  const lines = artifacts.flatMap(headOf)
  const left = omitted === 0 ? '' : `; ${omitted} blobs left out that are there`
  lines.push(`wrote ${formatBytes(bytes)}: ${content.blobs} blobs of ${formatBytes(content.bytes)} (${content.bytes} bytes)${left}`)
  if (resumed > 0) lines.push(`went on after ${formatBytes(resumed)} of an earlier run`)
  return `${[...lines, ...files.map((file) => `  ${file}`)].join('\n')}\n`
}

function headOf({ source, target, digest, before, after }: Omit<Relocated, 'moved' | 'mirrors'>): string[] {
  return [`${source} → ${target}`, `  ${digest}`, `  ${formatCounts(before)} → ${isSame(before, after) ? 'the same' : formatCounts(after)}`]
}

function isSame(before: Counts, after: Counts): boolean {
  return formatCounts(before) === formatCounts(after)
}
