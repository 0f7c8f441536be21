import { mkdir, realpath, symlink } from 'node:fs/promises'
import path from 'node:path'
import type { Benchmark } from './harness.ts'
import { manyBundles } from './reconcile/many.ts'
import { oneBundle } from './reconcile/one.ts'

const programs = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kubectl'] as const

export const reconcile: Benchmark = {
  name: 'reconcile',
  about: '1,000 bundles by one agent and by Flux, one bundle of 5,000 objects by Muster and by kapp, and nothing to do',
  run: async (context) => {
    const { state } = await context.instance()
    const bin = path.join(context.scratch, 'bin')
    await mkdir(bin)
    // They lie in the cache, and outlive the instance.
    for (const program of programs) await symlink(await realpath(path.join(state, 'bin', program)), path.join(bin, program))
    await context.release()
    return [...(await manyBundles(context, bin)), ...(await oneBundle(context, bin))]
  },
}
