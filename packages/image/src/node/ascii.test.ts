import { describe, expect, it } from 'vitest'
import { asciiRegularExpressions } from './ascii.ts'

describe('regular expressions of a bundle', () => {
  it('are written in ASCII, and match the same', () => {
    const source = String.raw`const units=/(\d+)(ns|µs|[ä-ö/"]|\é|\\ü)/g,face=/^😀$/u;`
    const written = asciiRegularExpressions(source)
    expect(written).toBe(String.raw`const units=/(\d+)(ns|\u00b5s|[\u00e4-\u00f6/"]|\u00e9|\\\u00fc)/g,face=/^\ud83d\ude00$/u;`)
    const of = (text: string): { units: RegExp; face: RegExp } => new Function(`${text};return{units,face}`)() as ReturnType<typeof of>
    const sample = String.raw`1µs 2ö 3é 4\ü 5ns 6/ 7x`
    expect(sample.match(of(written).units)).toEqual(sample.match(of(source).units))
    expect(of(written).face.test('😀')).toBe(true)
  })

  it('alone: text in templates and what is no literal stay as they are', () => {
    for (const source of ['tag`a/µ/b`', 'tag`=/µ`', 'a=b/c/d', 'a=/* µ */1']) expect(asciiRegularExpressions(source)).toBe(source)
  })
})
