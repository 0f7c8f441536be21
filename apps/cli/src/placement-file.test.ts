import { describe, expect, it } from 'vitest'
import { UsageError } from './errors.ts'
import { readPlacements } from './placement-file.ts'

const whole = `# what the shop is
apiVersion: muster.dev/v1alpha1
kind: Placement
metadata:
  name: shop
spec:
  bundle:
    version: 1.2.3
  clusters:
    names: [alpha]
  dependsOn:
    - release: database
      cluster: bravo
`

describe('a file of placements', () => {
  it('need not say the digest: it is looked up by the version', () => {
    expect(readPlacements(whole, 'shop.yaml')).toEqual([
      {
        metadata: { name: 'shop' },
        bundle: { version: '1.2.3' },
        spec: { clusters: { names: ['alpha'] }, dependsOn: [{ release: 'database', cluster: 'bravo' }] },
      },
    ])
  })

  it('may hold several, and JSON', () => {
    const other = JSON.stringify({
      apiVersion: 'muster.dev/v1alpha1',
      kind: 'Placement',
      metadata: { name: 'other' },
      spec: { clusters: { all: true } },
    })
    expect(readPlacements(`${whole}---\n${other}\n---\n`, 'two.yaml').map((one) => one.metadata.name)).toEqual(['shop', 'other'])
  })

  it.each([
    ['a value that does not fit', whole.replace('[alpha]', '[Alpha]'), /shop.yaml:10: spec.clusters.names\[0\]: must be lower-case/],
    ['a field that there is not', whole.replace('dependsOn', 'dependson'), /shop.yaml:11: spec.dependson: there is no such field/],
    ['what is missing', whole.replace(/ {2}clusters:\n.*\n/, ''), /shop.yaml:6: spec.clusters: /],
    ['another kind', whole.replace('kind: Placement', 'kind: Deployment'), /shop.yaml:3: kind: /],
    ['what is no YAML', `${whole}  - [`, /shop.yaml:\d+: this is no YAML/],
    ['nothing', '# nothing\n', /holds no Placement/],
    ['one name twice', `${whole}---\n${whole}`, /two Placements named "shop"/],
  ])('says of %s where it is and what is wrong', (_, text, message) => {
    expect(() => readPlacements(text, 'shop.yaml')).toThrow(message)
    expect(() => readPlacements(text, 'shop.yaml')).toThrow(UsageError)
  })

  it('is not blown up by aliases', () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c]`
    expect(() => readPlacements(bomb, 'bomb.yaml')).toThrow(UsageError)
  })
})
