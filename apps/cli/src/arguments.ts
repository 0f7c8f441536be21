import { InvalidArgumentError } from 'commander'

/** One more `key=value` of a repeatable option. */
export function collectLabel(text: string, labels: Readonly<Record<string, string>>): Record<string, string> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('Write it as key=value.')
  return { ...labels, [text.slice(0, at)]: text.slice(at + 1) }
}

export function wholeNumber(text: string): number {
  if (!/^[1-9][0-9]{0,3}$/.test(text)) throw new InvalidArgumentError('It is a whole number from 1 on.')
  return Number(text)
}

/** One more value of a repeatable option. */
export function collectText(text: string, texts: readonly string[]): string[] {
  return [...texts, text]
}
