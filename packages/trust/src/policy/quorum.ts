/** Who accepted: an authority, and the identity (key or certificate) that it accepted. */
export interface Acceptance {
  readonly authority: string
  readonly identity: string
}

/**
 * How many authorities have signed, where one identity never stands for two of them: the largest matching of authorities and
 * identities (augmenting paths; both sides are at most 64).
 */
export function quorumOf(acceptances: readonly Acceptance[]): number {
  const identitiesOf = new Map<string, Set<string>>()
  for (const { authority, identity } of acceptances) {
    const known = identitiesOf.get(authority) ?? new Set()
    identitiesOf.set(authority, known.add(identity))
  }
  const takenBy = new Map<string, string>()
  const place = (authority: string, tried: Set<string>): boolean => {
    for (const identity of identitiesOf.get(authority) ?? []) {
      if (tried.has(identity)) continue
      tried.add(identity)
      const holder = takenBy.get(identity)
      if (holder === undefined || place(holder, tried)) {
        takenBy.set(identity, authority)
        return true
      }
    }
    return false
  }
  return [...identitiesOf.keys()].filter((authority) => place(authority, new Set())).length
}
