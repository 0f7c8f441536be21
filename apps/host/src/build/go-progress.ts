import { BuildError } from './build-error.ts'

/** One package that a build is made of. */
export interface GoPackage {
  readonly importPath: string
  /** Not in Go's build cache: the build will compile it. */
  readonly stale: boolean
  /** Number of Go files: a rough measure of the time that compiling it takes. */
  readonly files: number
}

/** Template for `go list -deps -f`, read by {@link parsePackageList}. */
export const packageListFormat = '{{.ImportPath}}\t{{.Stale}}\t{{len .GoFiles}}'

/** @throws BuildError ToolFailed when a line is not of that format */
export function parsePackageList(output: string): GoPackage[] {
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [importPath, stale, files] = line.split('\t')
      if (importPath === undefined || (stale !== 'true' && stale !== 'false') || files === undefined || !/^\d+$/.test(files)) {
        throw new BuildError('ToolFailed', `go list said a line that is not understood: ${line.slice(0, 200)}`)
      }
      return { importPath, stale: stale === 'true', files: Number(files) }
    })
}

/** What one line of `go build -v` or `go list` on standard error means. */
export type GoLine = { kind: 'downloading'; module: string } | { kind: 'package'; importPath: string } | { kind: 'other' }

export function parseGoLine(line: string): GoLine {
  const module = /^go: downloading (\S+ \S+)$/.exec(line)?.[1]
  if (module !== undefined) return { kind: 'downloading', module }
  if (/^[A-Za-z0-9][^\s:]*$/.test(line)) return { kind: 'package', importPath: line }
  return { kind: 'other' }
}

/**
 * Counts the packages of one build. The total is what Go said it will compile, not all it knows, so that a build that is
 * mostly cached does not start at a false 90 %. `go build -v` names a package when it starts to compile it, so one that was
 * named counts as done when the next is named.
 */
export class CompileMeter {
  readonly total: number
  readonly #weights: ReadonlyMap<string, number>
  readonly #seen = new Set<string>()
  readonly #mainPackage: string
  #weight = 0
  readonly #totalWeight: number

  constructor(packages: readonly GoPackage[], mainPackage: string) {
    const stale = packages.filter((each) => each.stale)
    this.#weights = new Map(stale.map((each) => [each.importPath, 1 + each.files]))
    this.#totalWeight = stale.reduce((sum, each) => sum + 1 + each.files, 0)
    this.total = stale.length
    this.#mainPackage = mainPackage
  }

  /** @returns whether the line named a package of this build */
  see(line: string): boolean {
    const said = parseGoLine(line)
    if (said.kind !== 'package') return false
    const weight = this.#weights.get(said.importPath)
    if (weight === undefined || this.#seen.has(said.importPath)) return false
    this.#seen.add(said.importPath)
    this.#weight += weight
    return true
  }

  get done(): number {
    return Math.max(0, this.#seen.size - 1)
  }

  /** The main package was named: what follows is linking, of which Go says nothing. */
  get linking(): boolean {
    return this.#seen.has(this.#mainPackage)
  }

  /**
   * Milliseconds that compiling will still take at the pace so far, weighed by the packages' files. Undefined while too little
   * was seen to say anything honest, and while linking.
   */
  remainingMs(elapsedMs: number): number | undefined {
    if (this.linking || elapsedMs < 5_000 || this.#weight < this.#totalWeight * 0.03) return undefined
    return Math.round((elapsedMs * (this.#totalWeight - this.#weight)) / this.#weight)
  }
}
