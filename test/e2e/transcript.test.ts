import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, inject, it } from 'vitest'
import { checkout } from '../environment/command.ts'
import '../environment/provided.ts'

it('what the README shows of "muster up" is what it prints', async () => {
  const readme = await readFile(path.join(checkout, 'README.md'), 'utf8')
  const shown = /```\n(· Build Kubernetes[\s\S]*?)```/.exec(readme)?.[1] ?? ''
  expect(steps(shown)).toHaveLength(22)
  expect(steps(inject('up'))).toEqual(steps(shown))
  expect(table(inject('up'))).toEqual(table(shown))
})

/** The steps' lines, without what differs from run to run: durations, addresses, digests. What a first build adds in between is left out. */
function steps(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => /^[·✓] /.test(line))
    .map(alike)
}

function table(text: string): string[] {
  return text.slice(text.indexOf('CLUSTER ')).split('\n\n', 1)[0]?.trimEnd().split('\n').map(alike) ?? []
}

function alike(line: string): string {
  return line
    .replace(/\(\d+(\.\d+)? (s|min)\)$|\(\d+ min \d+ s\)$/, '(TIME)')
    .replaceAll(/\b\d+\.\d+\.\d+\.\d+:\d+/g, 'ADDRESS')
    .replaceAll(/sha256:[0-9a-f]+/g, 'DIGEST')
}
