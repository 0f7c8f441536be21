import { KubeError } from './error.ts'

const newline = 0x0a

/** Cuts a byte stream into lines, whatever its chunks are. A line longer than the limit ends it. */
export class LineParser {
  readonly #limit: number
  #pending: Buffer[] = []
  #size = 0

  /** @param limit longest line, in bytes without its end */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Bytes of a line that has not ended yet. */
  get pending(): number {
    return this.#size
  }

  /** Gives the lines that this chunk completes. Throws `BadResponse` at a line beyond the limit. */
  push(chunk: Buffer): string[] {
    const lines: string[] = []
    let start = 0
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      this.#keep(chunk.subarray(start, end))
      lines.push(this.#take())
      start = end + 1
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start))
    return lines
  }

  #keep(part: Buffer): void {
    this.#size += part.length
    if (this.#size > this.#limit)
      throw new KubeError('BadResponse', `A line of the stream is longer than ${this.#limit} bytes. Check what answers at this address.`)
    this.#pending.push(part)
  }

  #take(): string {
    const [first] = this.#pending
    const line = this.#pending.length === 1 && first ? first.toString('utf8') : Buffer.concat(this.#pending).toString('utf8')
    this.#pending = []
    this.#size = 0
    return line
  }
}
