import { type RegistryCredentials, registryTokenName, registryTokenScopes } from '@muster/fleet'
import type { Context } from './context.ts'
import { findRegistryAccess } from './registry.ts'
import { administering } from './registry-administration.ts'

/** Makes a cluster its own token for the registry; undefined where this instance knows no administrator of the registry. */
export async function registryTokenIssuer(context: Context, cluster: string): Promise<(() => Promise<RegistryCredentials>) | undefined> {
  if ((await findRegistryAccess(context))?.admin === undefined) return undefined
  const wanted = { name: registryTokenName(cluster), scopes: registryTokenScopes(cluster), replace: true }
  return async () => {
    const { token } = await administering(context, (administration) => administration.createToken(wanted, { signal: context.signal }))
    return { username: wanted.name, password: token }
  }
}

export async function registryTokenRevoker(context: Context, cluster: string): Promise<(() => Promise<void>) | undefined> {
  if ((await findRegistryAccess(context))?.admin === undefined) return undefined
  return async () => {
    // One that joined before clusters had tokens has none.
    await administering(context, (administration) => administration.revokeToken(registryTokenName(cluster), { signal: context.signal }))
  }
}
