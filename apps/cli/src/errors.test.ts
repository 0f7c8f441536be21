import { CommanderError } from 'commander'
import { describe, expect, it } from 'vitest'
import { ExitCode, exitCodeOf, explain, Failure, Interrupted, UsageError } from './errors.ts'

const system = (code: string, path?: string): Error =>
  Object.assign(new Error(`${code}: said the system`), { code, syscall: 'open', ...(path === undefined ? {} : { path }) })
const ofPackage = (code: string, cause?: Error): Error =>
  Object.assign(new Error('It did not work.', { cause }), { code, transient: false })

describe('an exit code', () => {
  it.each([
    ['wrong usage', new UsageError('no'), 2],
    ['a word that the parser does not know', new CommanderError(1, 'commander.unknownOption', 'no'), 2],
    ['help that was asked for', new CommanderError(0, 'commander.help', ''), 0],
    ['a signature that is missing', ofPackage('SignatureMissing'), 3],
    ['a key that is not allowed', ofPackage('KeyNotAllowed'), 3],
    ['a failure', new Failure('no'), 1],
    ['a mistake in Muster', new TypeError('undefined is not a function'), 1],
    ['Ctrl-C', new Interrupted('SIGINT'), 130],
    ['another program’s', new ExitCode(7), 7],
  ])('tells %s', (_what, error, code) => {
    expect(exitCodeOf(error)).toBe(code)
  })
})

describe('an explanation', () => {
  it.each([
    ['a package’s error', ofPackage('NotFound'), /^It did not work\.$/],
    ['with what the system said', ofPackage('NotFound', system('EACCES', '/a')), /^It did not work\. \(EACCES: said the system\)$/],
    [
      'a full disk below another error',
      ofPackage('NotFound', system('ENOSPC', '/a')),
      /^There is no space left on the disk of \/a\. Make room/,
    ],
    ['a missing file', system('ENOENT', '/a'), /^\/a is not there\./],
    ['a file of another', system('EACCES', '/a'), /sudo/],
    ['an address in use', system('EADDRINUSE'), /End what uses it/],
    [
      'what no one foresaw',
      new TypeError('x is undefined'),
      /^An unexpected error, which is a mistake in Muster: x is undefined\. .*MUSTER_DEBUG=1/,
    ],
    ['what is no error at all', 'boo', /^An unexpected error, .*boo/],
  ])('of %s is a sentence without a stack', (_what, error, sentence) => {
    expect(explain(error)).toMatch(sentence)
    expect(explain(error)).not.toMatch(/^\s+at /m)
  })

  it('shows the stack, with those of its causes, to who debugs', () => {
    const said = explain(new TypeError('x is undefined', { cause: system('ENOENT') }), { debug: true })
    expect(said).toMatch(/^\s+at /m)
    expect(said).toContain('caused by: Error: ENOENT')
  })
})
