const largeBytes = 256 * 1024
const smallBytes = 32 * 1024
/**
 * So many large blocks, 8 MiB, may be in use at once; whoever comes then works with small ones. What a block holds is in memory a second
 * time while it waits, encrypted, for a slow peer.
 */
const largeBlocks = 32
/** So many are kept for those who come next. */
const keptBlocks = 32

/**
 * Memory that content passes through on its way between disk and network. Large blocks keep the calls to the system and between threads
 * few, blocks used again spare the garbage collector, and their number bounds the memory however many come at once.
 */
export class Blocks {
  readonly #free: Uint8Array[] = []
  #used = 0

  /** Whether most of the large blocks are in use: nobody should hold many. */
  get scarce(): boolean {
    return this.#used > (largeBlocks * 3) / 4
  }

  take(): Uint8Array {
    this.#used += 1
    if (this.#used > largeBlocks) return Buffer.allocUnsafeSlow(smallBytes)
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(largeBytes)
  }

  /** Nobody may touch the block any more: the next to take one gets it. */
  giveBack(block: Uint8Array): void {
    this.#used -= 1
    if (block.length === largeBytes && this.#free.length < keptBlocks) this.#free.push(block)
  }

  /** Gives up a block that the system may still be reading. */
  drop(): void {
    this.#used -= 1
  }
}

/** Those of this process: it is the memory of the process that is bounded. */
export const blocks: Blocks = new Blocks()
