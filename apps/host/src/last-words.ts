import * as z from 'zod'

const line = z.object({ level: z.number(), msg: z.string() })
const errorLevel = 50

/**
 * Why a daemon ended, by what it wrote to its log: the last error that it logged, or else its last line of any other kind, such as one of
 * Node's own. Empty when it said nothing.
 * @param log lines of pino's JSON, and whatever else was written to the same file
 */
export function lastWords(log: string): string {
  const lines = log.split('\n').filter((one) => one.trim() !== '')
  const errors = lines.flatMap((one) => {
    const { success, data } = line.safeParse(parsed(one))
    return success && data.level >= errorLevel ? [data.msg] : []
  })
  const plain = lines.filter((one) => parsed(one) === undefined)
  return errors.at(-1) ?? plain.findLast((one) => /error/i.test(one))?.trim() ?? plain.at(-1)?.trim() ?? ''
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
