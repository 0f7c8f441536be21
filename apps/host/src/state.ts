import * as z from 'zod'
import { readJson, writeAtomic } from './files.ts'
import { checkInstanceId, chooseX, type Instance, kernelNames, limits, paths } from './instance.ts'
import { takenAddresses } from './network.ts'

/** What the clusters are made from. All paths are absolute. */
export const hostConfigSchema = z.strictObject({
  /** Folder with etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl. */
  binaries: z.strictObject({ dir: z.string().startsWith('/') }),
  /** The nodes' root file system (erofs), and the digest that it must have. */
  nodeImage: z.strictObject({ path: z.string().startsWith('/'), digest: z.string().regex(/^sha256:[0-9a-f]{64}$/) }),
  /** OCI archive with the sandbox image, and its fully qualified name in it. */
  pause: z.strictObject({ archive: z.string().startsWith('/'), image: z.string().min(3) }),
  /** CoreDNS by digest ("muster.dev/coredns:v1@sha256:…"), pulled from the instance's registry. Without it clusters have no DNS. */
  dns: z.strictObject({ image: z.string().regex(/@sha256:[0-9a-f]{64}$/) }).optional(),
  /** Name of the cluster whose API the others may reach. */
  hub: z.string().default('hub'),
})
export type HostConfig = z.infer<typeof hostConfigSchema>
export type HostConfigInput = z.input<typeof hostConfigSchema>

const desiredSchema = z.object({
  running: z.boolean(),
  config: hostConfigSchema.optional(),
  clusters: z.array(
    z.object({
      name: z.string(),
      index: z
        .number()
        .int()
        .min(0)
        .max(limits.clusters - 1),
      nodes: z.number().int().min(1).max(limits.nodes),
    }),
  ),
})
/** What is to be, whatever happens to the daemon or the machine. */
export type Desired = z.infer<typeof desiredSchema>

const instanceSchema = z.object({ id: z.string(), x: z.number().int().min(64).max(127) })

/**
 * The instance of a state folder. Its number is chosen once, where no other instance or network of the machine is, and kept.
 * @throws HostError `AddressesTaken`, `InstanceInvalid`, `StateUnreadable`
 */
export async function ensureInstance(id: string, state: string): Promise<Instance> {
  checkInstanceId(id)
  const held = await readJson(paths(state).instance, instanceSchema)
  if (held !== undefined && held.id === id) return { id, x: held.x, state }
  const x = chooseX(id, await takenAddresses(kernelNames({ id, x: 0 }).alias))
  await writeAtomic(paths(state).instance, JSON.stringify({ id, x }))
  return { id, x, state }
}

export async function readDesired(state: string): Promise<Desired> {
  return (await readJson(paths(state).desired, desiredSchema)) ?? { running: false, clusters: [] }
}

export async function writeDesired(state: string, desired: Desired): Promise<void> {
  await writeAtomic(paths(state).desired, JSON.stringify(desired, undefined, 2))
}

/** The lowest index that no cluster has. */
export function freeIndex(desired: Desired): number | undefined {
  const used = new Set(desired.clusters.map((cluster) => cluster.index))
  return Array.from({ length: limits.clusters }, (_, index) => index).find((index) => !used.has(index))
}
