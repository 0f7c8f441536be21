import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, it } from 'vitest'
import { checkout } from './command.ts'

it('every promise of docs/reliability.md names a test that exists', async () => {
  const page = await readFile(path.join(checkout, 'docs/reliability.md'), 'utf8')
  const rows = [...page.matchAll(/\| `([^`]+\.test\.ts)`: (.+) \|$/gm)]
  expect(rows.length).toBeGreaterThan(30)
  const missing: string[] = []
  for (const [, file = '', title = ''] of rows) {
    const source = await readFile(path.join(checkout, file), 'utf8').catch(() => '')
    if (!source.includes(title)) missing.push(`${file}: ${title}`)
  }
  expect(missing).toEqual([])
})
