import { Failure } from './errors.ts'

/** Embedded clusters need namespaces, mounts and bridges. */
export function requireRoot(): void {
  if (process.getuid?.() !== 0) throw new Failure('Embedded clusters need root: run the command with sudo.')
}
