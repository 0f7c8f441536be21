import { describe, expect, it } from 'vitest'
import { lastWords } from './last-words.ts'

const logged = (level: number, msg: string): string => `${JSON.stringify({ level, time: 1, name: 'host', msg })}\n`

describe('why the daemon ended', () => {
  it('is the last error that it logged, as a sentence', () => {
    const log = logged(30, 'listening') + logged(50, 'The state folder is damaged.') + logged(30, 'stopping')
    expect(lastWords(log)).toBe('The state folder is damaged.')
  })

  it('is what Node itself said, where the daemon could say nothing', () => {
    const log = `${logged(30, 'listening')}node:internal/modules\n    throw new X\nError: Cannot find module 'zod'\n    at file:1\n`
    expect(lastWords(log)).toBe("Error: Cannot find module 'zod'")
  })

  it('is unknown when nothing was written', () => {
    expect(lastWords('')).toBe('')
    expect(lastWords(logged(30, 'listening'))).toBe('')
  })
})
