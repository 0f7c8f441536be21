import type { Item } from './api.ts'

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** Text as it may stand in a page. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? '')
}

export interface Page {
  readonly site: string
  /** Undefined where it cannot be known now. */
  readonly items: readonly Item[] | undefined
  /** What became of what was asked for. */
  readonly said?: string
}

/** The whole page. It has no script. */
export function pageOf({ site, items, said }: Page): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(site)}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid #ddd }
td.quantity { text-align: right; font-variant-numeric: tabular-nums }
[role=status] { background: #fff3cd; padding: .6rem 1rem }
</style>
<h1>${escaped(site)}</h1>
${said === undefined ? '' : `<p role="status">${escaped(said)}</p>\n`}${tableOf(items)}
<h2>Something moves</h2>
<form method="post" action="/movements">
<label>Item <input name="sku" required maxlength="32"></label>
<label>Quantity <input name="quantity" type="number" required></label>
<label>Reason <input name="reason" required maxlength="200"></label>
<button>Write it down</button>
</form>
</html>
`
}

function tableOf(items: readonly Item[] | undefined): string {
  if (items === undefined) return '<p role="status">What is there cannot be known now: the API does not answer. Try again.</p>'
  if (items.length === 0) return '<p>Nothing is there yet.</p>'
  const rows = items.map(({ sku, name, quantity, location }) => {
    const cells = [sku, name, location ?? ''].map((text) => `<td>${escaped(text)}</td>`).join('')
    return `<tr>${cells}<td class="quantity">${quantity}</td></tr>`
  })
  return `<table>\n<tr><th>Number</th><th>Name</th><th>Where</th><th>How many</th></tr>\n${rows.join('\n')}\n</table>`
}
