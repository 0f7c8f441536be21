import { InvalidArgumentError } from 'commander'

/** One more `key=value` of a repeatable option. */
export function collectLabel(text: string, labels: Readonly<Record<string, string>>): Record<string, string> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('Write it as key=value.')
  return { ...labels, [text.slice(0, at)]: text.slice(at + 1) }
}

const unitBytes: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1e3,
  KiB: 1024,
  MB: 1e6,
  MiB: 1024 ** 2,
  GB: 1e9,
  GiB: 1024 ** 3,
}

/** A number of bytes such as `1GiB`. */
export function byteCount(text: string): number {
  const [, number, unit = ''] = /^([0-9]{1,12}(?:\.[0-9]{1,3})?) ?([kKMG]?i?B?)$/.exec(text) ?? []
  const bytes = Number(number) * (unitBytes[unit] ?? Number.NaN)
  if (!(bytes >= 1)) throw new InvalidArgumentError('Write it as 1GiB, 500MB or a number of bytes.')
  return Math.floor(bytes)
}

/** One more bound of a rate: `20/s` for requests, `10MiB/s` for bytes. */
export function collectRate(
  text: string,
  rates: { readonly requestsPerSecond?: number; readonly bytesPerSecond?: number },
): { readonly requestsPerSecond?: number; readonly bytesPerSecond?: number } {
  const requests = /^([0-9]{1,6}(?:\.[0-9]{1,3})?)\/s$/.exec(text)?.[1]
  if (requests !== undefined && Number(requests) > 0) return { ...rates, requestsPerSecond: Number(requests) }
  if (!text.endsWith('/s') || !/B\/s$/.test(text)) throw new InvalidArgumentError('Write it as 20/s (requests) or 10MiB/s (bytes).')
  return { ...rates, bytesPerSecond: byteCount(text.slice(0, -2)) }
}

export function wholeNumber(text: string): number {
  if (!/^[1-9][0-9]{0,3}$/.test(text)) throw new InvalidArgumentError('It is a whole number from 1 on.')
  return Number(text)
}

/** One more value of a repeatable option. */
export function collectText(text: string, texts: readonly string[]): string[] {
  return [...texts, text]
}
