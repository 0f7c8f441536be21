import { type Explanation, explainRelease } from '@muster/fleet'
import { printable } from '../bundles.ts'
import type { Context } from '../context.ts'
import { Failure } from '../errors.ts'
import { demandReleaseName, readReleases, type WhereOptions } from '../releases.ts'

export interface ReleaseExplainOptions extends WhereOptions {
  readonly output: 'text' | 'json'
}

/** `muster release explain NAME`: what it waits for, since when, what happens next, what one can do. */
export async function releaseExplain(context: Context, name: string, options: ReleaseExplainOptions): Promise<void> {
  demandReleaseName(name)
  const views = await readReleases(context, options)
  const meant = views.filter((view) => view.name === name)
  if (meant.length === 0) {
    const others = [...new Set(views.map((view) => view.name))]
    const there = others.length === 0 ? 'There are none at all.' : `There are: ${others.join(', ')}.`
    throw new Failure(
      `No release "${name}" is wanted or installed${options.cluster === undefined ? '' : ` on ${options.cluster}`}. ${there}`,
    )
  }
  const explained = meant.map((view) => explainRelease(view, new Date()))
  const text = options.output === 'json' ? JSON.stringify(explained, undefined, 2) : explained.map(explanationText).join('\n\n')
  context.stdout.write(`${text}\n`)
}

const width = 110
const margin = 20

/** An explanation for people: a headline, then its parts beside what they are about. */
export function explanationText(one: Explanation): string {
  const parts: readonly (readonly [string, string | undefined])[] = [
    ['What it is', one.is],
    ['What is wanted', one.wanted],
    [one.ready ? 'What to know' : 'What it waits for', one.waits],
    ['Since when', one.since],
    ['What happens next', one.next],
  ]
  const told = parts.flatMap(([title, text]) => (text === undefined ? [] : [paragraph(title, text)]))
  const longest = Math.max(0, ...one.can.map(([command]) => command.length))
  const can = one.can.map(([command, does], at) => {
    const title = (at === 0 ? 'What you can do' : '').padEnd(margin)
    const beside = margin + longest + 3 + does.length <= width
    return beside ? `${title}${command.padEnd(longest)}   ${does}` : `${title}${command}\n${' '.repeat(margin + 2)}${does}`
  })
  return [`${one.name} in ${one.cluster}: ${one.ready ? 'ready' : 'not ready'} (${one.reason})`, ...told, ...can].join('\n')
}

function paragraph(title: string, text: string): string {
  const lines: string[] = []
  let line = ''
  for (const word of printable(text).split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width - margin) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  lines.push(line)
  return lines.map((one, at) => (at === 0 ? title : '').padEnd(margin) + one).join('\n')
}
