import { describe, expect, it } from 'vitest'
import { runHere } from '../testing/run.ts'
import { statementOf } from './break-glass.ts'

const now = new Date('2026-03-01T12:00:00.000Z')
const asked = { cluster: 'alpha', reason: 'orders fail', by: 'ada', for: '30m' }

describe('muster break-glass', () => {
  it('signs for one cluster, one release and a time, each time another', () => {
    const one = statementOf('shop', asked, now)
    expect(one).toMatchObject({ cluster: 'alpha', release: 'shop', reason: 'orders fail', by: 'ada' })
    expect([one.notBefore, one.until]).toEqual(['2026-03-01T12:00:00.000Z', '2026-03-01T12:30:00.000Z'])
    expect(statementOf('shop', asked, now).nonce).not.toBe(one.nonce)
  })

  it.each(['', '0m', '30', '-1h', '25h', '30d', '1e3m', '90000s'])('refuses "%s" as a time', (text) => {
    expect(() => statementOf('shop', { ...asked, for: text }, now)).toThrow(/--for is a time/)
  })

  it.each([
    [['shop', '--cluster', 'alpha'], /for how long and why/],
    [['shop', '--cluster', 'alpha', '--for', '30m'], /for how long and why/],
    [['shop', '--for', '30m', '--reason', 'x'], /--cluster/],
    [['shop', '--cluster', 'alpha', '--for', '30m', '--reason', 'a\nb'], /one line/],
    [['shop', '--cluster', 'alpha', '--end', '--approve'], /one of/],
    [['shop', '--cluster', 'alpha', '--end', '--for', '1h'], /leave out/],
    [['--cluster', 'alpha', '--end'], /for which release/],
    [['Shop!', '--cluster', 'alpha', '--end'], /no name of a release/],
  ])('says of %j what is wrong, with exit code 2', async (args, sentence) => {
    const { code, err } = await runHere('break-glass', ...args)
    expect(err).toMatch(sentence)
    expect(code).toBe(2)
  })
})
