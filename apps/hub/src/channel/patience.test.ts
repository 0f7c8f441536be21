import { OciError } from '@muster/oci'
import { beforeEach, describe, expect, it } from 'vitest'
import { RegistryPatience } from './patience.ts'

const down = new OciError('Unreachable', 'The registry does not answer.')
const missing = new OciError('NotFound', 'There is no such repository.', { status: 404 })
let now: number
let asked: number
let patience: RegistryPatience

beforeEach(() => {
  now = 0
  asked = 0
  patience = new RegistryPatience(
    () => now,
    () => 0,
  )
})

function ask(answer: unknown): Promise<unknown> {
  return patience.ask(async () => {
    asked += 1
    if (answer instanceof Error) throw answer
    return answer
  })
}

describe('a registry that fails', () => {
  it('is asked ever less often, however often somebody wants to know, and at least each 15 s', async () => {
    const at: number[] = []
    for (now = 0; now < 90_000; now += 250) {
      const before = asked
      await expect(ask(down)).rejects.toBe(down)
      if (asked > before) at.push(now)
    }
    expect(at).toEqual([0, 1_000, 3_000, 7_000, 15_000, 30_000, 45_000, 60_000, 75_000])
  })

  it('is asked by one at a time until it answers', async () => {
    await expect(ask(down)).rejects.toBe(down)
    now = 1_000
    let answer = (_: string): void => undefined
    const first = patience.ask(() => new Promise<string>((resolve) => (answer = resolve)))
    await expect(ask('never asked')).rejects.toBe(down)
    answer('here again')
    await expect(first).resolves.toBe('here again')
    await expect(ask('asked')).resolves.toBe('asked')
  })

  it('has failed once when several were on their way', async () => {
    await Promise.allSettled([ask(down), ask(down), ask(down)])
    now = 1_000
    await expect(ask('here again')).resolves.toBe('here again')
  })

  it('and answers again is asked as before', async () => {
    await expect(ask(down)).rejects.toBe(down)
    now = 1_000
    await ask('here again')
    await expect(ask(down)).rejects.toBe(down)
    now = 2_000
    await expect(ask('and again')).resolves.toBe('and again')
  })
})

it('an answer that is a refusal is an answer', async () => {
  await expect(ask(down)).rejects.toBe(down)
  now = 1_000
  await expect(ask(missing)).rejects.toBe(missing)
  await expect(ask('asked')).resolves.toBe('asked')
})
