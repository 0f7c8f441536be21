/** A thing that the depot keeps. */
export interface Item {
  readonly sku: string
  readonly name: string
  readonly quantity: number
  readonly location?: string
}

export interface Api {
  items(): Promise<readonly Item[]>
  /** Something comes in, or goes out where the quantity is below 0. Gives the words to say to who asked. */
  move(movement: { readonly sku: string; readonly quantity: number; readonly reason: string }): Promise<string>
}

const deadlineMs = 12_000
const answerLimit = 4 << 20

/** The depot's API at a URL. Its answers are not trusted further than their form. */
export function apiAt(url: string): Api {
  const ask = async (path: string, init: RequestInit = {}): Promise<{ ok: boolean; body: unknown }> => {
    const response = await fetch(new URL(path, url), { ...init, redirect: 'error', signal: AbortSignal.timeout(deadlineMs) })
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of response.body ?? []) {
      size += chunk.length
      if (size > answerLimit) throw new Error('the answer of the API is too long')
      chunks.push(chunk)
    }
    return { ok: response.ok, body: JSON.parse(Buffer.concat(chunks).toString('utf8')) }
  }
  return {
    async items() {
      const { ok, body } = await ask('/items')
      if (!ok) throw new Error(errorOf(body))
      const items = (body as { items?: unknown }).items
      return Array.isArray(items) ? items.filter(isItem) : []
    },
    async move(movement) {
      const headers = { 'content-type': 'application/json' }
      const { ok, body } = await ask('/movements', { method: 'POST', headers, body: JSON.stringify(movement) })
      if (!ok) return `Not done: ${errorOf(body)}.`
      return isItem(body) ? `Done: ${body.quantity} × ${body.name} are there now.` : 'Done.'
    },
  }
}

function isItem(value: unknown): value is Item {
  const item = value as Partial<Item> | null
  return (
    typeof item === 'object' &&
    typeof item?.sku === 'string' &&
    typeof item.name === 'string' &&
    typeof item.quantity === 'number' &&
    (item.location === undefined || typeof item.location === 'string')
  )
}

function errorOf(body: unknown): string {
  const { error } = (body ?? {}) as { error?: unknown }
  return typeof error === 'string' ? error : 'the API gave no reason'
}
