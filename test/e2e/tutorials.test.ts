import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { checkout, run } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'

const instance = sharedInstance()
const env = { ...process.env, MUSTER_INSTANCE: instance.id, MUSTER_STATE: instance.state, NO_COLOR: '1' }

/** The commands of a page's console blocks, as a reader would type them. Those that bring the instance up or down are the environment's. */
async function commandsOf(page: string): Promise<string[]> {
  const text = await readFile(path.join(checkout, page), 'utf8')
  const blocks = [...text.matchAll(/```console\n([\s\S]*?)```/g)].map((match) => match[1] ?? '')
  return blocks
    .flatMap((block) => block.replaceAll('\\\n', ' ').split('\n'))
    .filter((line) => line.startsWith('$ ./muster '))
    .map((line) => line.slice('$ '.length))
    .filter((line) => !/^\.\/muster (up|down)\b/.test(line))
}

afterAll(async () => {
  await instance.succeed('component', 'start', 'registry')
})

describe.each(['README.md', 'docs/bundle.md'])('the commands in %s', (page) => {
  it('work in the order in which they are written', async () => {
    const commands = await commandsOf(page)
    expect(commands.length).toBeGreaterThan(3)
    for (const command of commands) {
      const outcome = await run('bash', ['-c', command], { env })
      expect(outcome.code, `${command}\n${outcome.stdout}\n${outcome.stderr}`).toBe(0)
      if (command.includes('?name=Ada')) expect(outcome.stdout).toContain('Good morning, Ada!')
    }
  })
})
