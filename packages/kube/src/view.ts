import type { Selection } from './object.ts'

/** A live copy of objects, as it stands: what a metric says of it. */
export interface View {
  readonly selection: Selection
  /** Objects in it. */
  readonly size: number
  readonly synced: boolean
  /** Milliseconds since the server last said something of it (infinite before). */
  readonly lastActivityMs: number
}
