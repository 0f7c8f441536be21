import { readFile } from 'node:fs/promises'
import { type Context, kubeconfigOf } from '../context.ts'

/** `muster kubeconfig CLUSTER`: the administrator's kubeconfig on stdout. */
export async function kubeconfig(context: Context, cluster: string): Promise<void> {
  context.stdout.write(await readFile(await kubeconfigOf(context, cluster), 'utf8'))
}
