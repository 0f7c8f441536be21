import type { Hash } from 'node:crypto'
import type { Frame } from './zstd.ts'

/** Where the frames of an archive go. */
export interface Sink {
  write(bytes: Uint8Array, frame: Frame): Promise<void>
}

/** Where writing goes on in a tar of which an earlier run wrote the beginning. */
export interface Start {
  /** What is there. */
  readonly frames: readonly Frame[]
  /** How much of the tar is in it. In bytes. */
  readonly offset: number
  /** The content that `offset` is in the middle of. */
  readonly begun?: Begun | undefined
}

/** The beginning of an entry's content, which is there and not verified before the rest has come. */
export interface Begun {
  /** Never none, and never all. */
  readonly bytes: number
  /** Over them (sha256). Copy it. */
  readonly hash: Hash
}
