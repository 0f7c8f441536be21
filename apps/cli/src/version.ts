import { readFileSync } from 'node:fs'
import path from 'node:path'

/** What `muster version` prints: Muster's own version, and that of the Kubernetes that it builds. */
export function versionText(): string {
  const read = (...parts: string[]): string => readFileSync(path.join(import.meta.dirname, ...parts), 'utf8')
  const own = JSON.parse(read('../package.json')) as { readonly version: string }
  const kubernetes = /^\s*(?:require )?k8s\.io\/kubernetes (v\S+)/m.exec(read('../../../distro/kubernetes/go.mod'))?.[1]
  return `muster ${own.version}\nkubernetes ${kubernetes ?? 'unknown'}\n`
}
