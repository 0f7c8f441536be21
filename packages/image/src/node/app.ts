import type { Layer } from '../layer.ts'

/** What goes into the image of an application: its layers, and the file that Node starts, relative to its folder. */
export interface NodeApp {
  readonly main: string
  readonly layers: readonly Layer[]
}
