const remembered = 50_000

/**
 * When manifests were last asked for. Who has just found one is about to rely on it (the hub, which names it in a channel; a push, which
 * names it in an index), so retention leaves it alone for a while. Of more than are remembered, the oldest are forgotten.
 */
export class RecentReads {
  readonly #at = new Map<string, number>()

  note(repository: string, reference: string, now: number): void {
    const key = `${repository} ${reference}`
    this.#at.delete(key)
    this.#at.set(key, now)
    if (this.#at.size > remembered) for (const oldest of this.#at.keys().take(1)) this.#at.delete(oldest)
  }

  since(repository: string, reference: string, from: number): boolean {
    return (this.#at.get(`${repository} ${reference}`) ?? Number.NEGATIVE_INFINITY) >= from
  }
}
