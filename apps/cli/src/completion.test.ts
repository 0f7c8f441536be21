import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Writable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { program } from './program.ts'

let state: string
let script: string

beforeAll(async () => {
  state = mkdtempSync(path.join(tmpdir(), 'muster-completion-'))
  mkdirSync(path.join(state, 'clusters', 'alpha'), { recursive: true })
  script = await printed('completion', 'bash')
})
afterAll(() => rmSync(state, { recursive: true, force: true }))

async function printed(...args: string[]): Promise<string> {
  let text = ''
  const stdout = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk)
      done()
    },
  })
  await program({ environment: {}, signal: new AbortController().signal, stdout, stderr: stdout }).parseAsync(['node', 'muster', ...args])
  return text
}

/** What bash offers for the last of these words. */
function offered(...words: string[]): string[] {
  const ask = `${script}\nCOMP_WORDS=(muster "$@"); COMP_CWORD=$#; _muster; printf '%s\\n' "\${COMPREPLY[@]}"`
  const answer = execFileSync('bash', ['-c', ask, 'bash', ...words], { env: { ...process.env, MUSTER_STATE: state } })
  return answer
    .toString()
    .split('\n')
    .filter((line) => line !== '')
}

describe('the shell', () => {
  it('completes commands, and the commands of a group', () => {
    expect(offered('si')).toEqual(['sign'])
    expect(offered('key', '')).toEqual(['create', 'show', 'convert'])
    expect(offered('key', 'c')).toEqual(['create', 'convert'])
  })

  it('completes options of a command in a group, and their values', () => {
    expect(offered('key', 'create', '--cu')).toEqual(['--curve'])
    expect(offered('key', 'create', '--curve', '')).toEqual(['P-256', 'P-384'])
    expect(offered('key', 'create', 'team', '--curve', 'P-384', '--format', '')).toEqual(['pkcs8', 'cosign'])
    expect(offered('sign', '--recursive', '--format', 'c')).toEqual(['cosign-tag'])
  })

  it('completes clusters where they are an argument, also behind an option with a value', () => {
    expect(offered('kubeconfig', 'a')).toEqual(['alpha'])
    expect(offered('leave', '--context', 'prod', 'a')).toEqual(['alpha'])
  })

  it('has a script for fish and zsh that knows groups, too', async () => {
    expect(await printed('completion', 'fish')).toContain(`-n '__muster_at " key"' -a create`)
    expect(await printed('completion', 'zsh')).toContain("'key create'")
  })
})
