import { Registry } from '@muster/oci'
import { loadBundle, type WantedBundle } from '../apps/agent/src/bundle-loader.ts'

/** Which bundle to verify, from where, and whose signature counts. */
export interface VerifyTask {
  readonly host: string
  readonly ca: string
  readonly credentials: { readonly username: string; readonly password: string }
  readonly bundle: WantedBundle
  readonly publishers: { readonly name: string; readonly publicKey: string }[]
  readonly publicKeyFile: string
}

/** What the agent does with a bundle that it never saw: the very same code, over a connection of its own. */
export async function verifyOnce({ host, ca, credentials, bundle, publishers }: VerifyTask, signal: AbortSignal): Promise<void> {
  const registry = new Registry({ host, ca, credentials })
  try {
    const { signedBy } = await loadBundle(registry.repository(bundle.repository), bundle, { publishers }, signal)
    if (signedBy.length !== 1) throw new Error(`The bundle is signed by ${signedBy.length} publishers.`)
  } finally {
    registry.close()
  }
}
