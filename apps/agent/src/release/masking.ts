/** Shorter values are no secrets, and words of every text. */
const minSecret = 4
/** Where programs break lines of base64: coreutils, and PEM (RFC 7468). */
const base64Lines = [76, 64] as const
/** A token of an account, such as the one that every pod has: a JWT of a JSON header. */
const jwt = /\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g
const mask = '****'

/**
 * A text without these values: whole, line by line, and as others would write them: in JSON, in a URL, in base64. Also not a part that stands at
 * the text's end, where it may have been cut. What a program made of a value otherwise is not found. Pure.
 */
export function withoutSecrets(text: string, values: Iterable<string>): string {
  const forms = new Set<string>()
  for (const value of values) for (const form of formsOf(value)) forms.add(form)
  const found = [...forms].filter((form) => text.includes(form))
  // Longer ones first, as one may hold another.
  const ordered = found.sort((a, b) => b.length - a.length)
  const whole = ordered.reduce((rest, form) => rest.replaceAll(form, mask), text).replace(jwt, mask)
  let cut = 0
  for (const form of forms) cut = Math.max(cut, commonEnd(whole, form))
  return cut < minSecret ? whole : `${whole.slice(0, -cut)}${mask}`
}

function formsOf(value: string): string[] {
  const lines = value.split('\n').map((line) => line.trim())
  const texts = [...new Set([value, value.trim(), ...lines])].filter((text) => text.length >= minSecret)
  const base64 = [value, value.trim()].flatMap((text) => {
    const bytes = Buffer.from(text)
    return [...base64Lines.flatMap((length) => pieces(bytes.toString('base64'), length)), bytes.toString('base64url')]
  })
  return [
    ...texts.flatMap((text) => [text, JSON.stringify(text).slice(1, -1), encoded(text)]),
    ...base64.flatMap((text) => [text, text.replace(/=+$/, '')]),
  ].filter((form) => form.length >= minSecret)
}

function encoded(text: string): string {
  // Half of a pair of surrogates has no such form.
  return text.isWellFormed() ? encodeURIComponent(text) : text
}

function pieces(text: string, length: number): string[] {
  return [text, ...(text.match(new RegExp(`.{1,${length}}`, 'g')) ?? [])]
}

/** How many characters at the end of a text are the beginning of another. */
function commonEnd(text: string, form: string): number {
  for (let length = Math.min(text.length, form.length); length >= minSecret; length--)
    if (text[text.length - length] === form[0] && text.endsWith(form.slice(0, length))) return length
  return 0
}
