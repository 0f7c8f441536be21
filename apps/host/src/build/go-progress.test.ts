import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BuildError } from './build-error.ts'
import { CompileMeter, parseGoLine, parsePackageList } from './go-progress.ts'

const listed = ['errors\tfalse\t4', 'k8s.io/api/core/v1\ttrue\t9', 'k8s.io/klog/v2\ttrue\t19', 'example.test/kube\ttrue\t1', ''].join('\n')

describe('what Go says', () => {
  it('is understood: downloads, packages, everything else', () => {
    expect(parseGoLine('go: downloading k8s.io/api v0.37.2')).toEqual({ kind: 'downloading', module: 'k8s.io/api v0.37.2' })
    expect(parseGoLine('k8s.io/api/core/v1')).toEqual({ kind: 'package', importPath: 'k8s.io/api/core/v1' })
    expect(parseGoLine('./main.go:36:29: cannot use x')).toEqual({ kind: 'other' })
    expect(parseGoLine('# example.test/kube')).toEqual({ kind: 'other' })
  })

  it('is never a reason to fall over, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (line) => {
        expect(['downloading', 'package', 'other']).toContain(parseGoLine(line).kind)
      }),
    )
  })

  it('that is no package list is refused, not counted wrong', () => {
    expect(() => parsePackageList('go: warning\n')).toThrow(BuildError)
    expect(() => parsePackageList('errors\tperhaps\t4\n')).toThrow(BuildError)
  })
})

describe('the bar of a build', () => {
  it('counts to what Go will compile, not to all that Go knows', () => {
    const packages = parsePackageList(listed)
    expect(packages).toHaveLength(4)
    expect(new CompileMeter(packages, 'example.test/kube').total).toBe(3)
  })

  it('calls a package done when the next one starts, and the rest linking', () => {
    const meter = new CompileMeter(parsePackageList(listed), 'example.test/kube')
    expect(meter.see('k8s.io/klog/v2')).toBe(true)
    expect(meter.done).toBe(0)
    expect(meter.see('k8s.io/api/core/v1')).toBe(true)
    expect([meter.done, meter.linking]).toEqual([1, false])
    meter.see('example.test/kube')
    expect([meter.done, meter.linking]).toEqual([2, true])
  })

  it('is not moved by repeated, cached or unknown packages', () => {
    const meter = new CompileMeter(parsePackageList(listed), 'example.test/kube')
    meter.see('k8s.io/klog/v2')
    for (const line of ['k8s.io/klog/v2', 'errors', 'example.test/unknown', 'go: downloading a v1.0.0']) expect(meter.see(line)).toBe(false)
    expect(meter.done).toBe(0)
  })

  it('estimates from the files compiled, and says nothing while it knows too little', () => {
    const packages = Array.from({ length: 100 }, (_, index) => ({ importPath: `p${index}`, stale: true, files: 9 }))
    const meter = new CompileMeter(packages, 'p99')
    meter.see('p0')
    expect(meter.remainingMs(60_000)).toBeUndefined()
    for (let index = 1; index < 25; index++) meter.see(`p${index}`)
    expect(meter.remainingMs(1_000)).toBeUndefined()
    expect(meter.remainingMs(60_000)).toBe(180_000)
    meter.see('p99')
    expect(meter.remainingMs(60_000)).toBeUndefined()
  })

  it('never passes its end, in whatever order packages come', () => {
    const paths = ['a', 'b', 'c', 'd']
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...paths, 'x')), (lines) => {
        const meter = new CompileMeter(
          paths.map((importPath) => ({ importPath, stale: true, files: 1 })),
          'd',
        )
        let before = 0
        for (const line of lines) {
          meter.see(line)
          expect(meter.done).toBeGreaterThanOrEqual(before)
          expect(meter.done).toBeLessThan(meter.total)
          before = meter.done
        }
      }),
    )
  })
})
