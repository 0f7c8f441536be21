import { describe, expect, it } from 'vitest'
import { labelSelector } from './labels.ts'

const labels = new Map([
  ['app', 'web'],
  ['tier', 'front'],
  ['empty', ''],
])

describe('a label selector', () => {
  it.each([
    'app=web',
    'app==web',
    'tier!=back',
    'none!=x',
    'app in (web, api),tier',
    '!none',
    'tier notin (back)',
    'none notin (a)',
    'empty=',
    '',
  ])('%s matches', (text) => expect(labelSelector(text)(labels)).toBe(true))
  it.each(['app=api', 'app!=web', 'app in (api)', 'none', '!app', 'tier notin (front,back)', 'none in (a)'])('%s does not', (text) =>
    expect(labelSelector(text)(labels)).toBe(false),
  )
  it.each(['a b', 'app in web', 'app=a=b', 'app in (a b)', '=x'])('%s is refused', (text) =>
    expect(() => labelSelector(text)).toThrow('is no label selector'),
  )
})
