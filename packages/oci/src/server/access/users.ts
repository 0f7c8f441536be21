import { createHash, timingSafeEqual } from 'node:crypto'

/** `read`: pull everything; `write`: and push and delete everything; `admin`: and keep the registry (tokens, retention, mirrors). */
export type UserAccess = 'read' | 'write' | 'admin'

export interface RegistryUser {
  readonly name: string
  readonly password: string
  readonly access: UserAccess
}

export interface KnownUser {
  readonly name: string
  readonly access: UserAccess
}

/** Checks names and passwords in a time that tells nothing: hashes are compared, for every user, to the end. */
export class Users {
  readonly #users: readonly { user: KnownUser; nameHash: Buffer; passwordHash: Buffer }[]

  constructor(users: readonly RegistryUser[]) {
    this.#users = users.map(({ name, password, access }) => ({
      user: { name, access },
      nameHash: sha256(name),
      passwordHash: sha256(password),
    }))
  }

  authenticate(given: { readonly username: string; readonly password: string }): KnownUser | undefined {
    const nameHash = sha256(given.username)
    const passwordHash = sha256(given.password)
    let found: KnownUser | undefined
    for (const candidate of this.#users) {
      const sameName = timingSafeEqual(candidate.nameHash, nameHash)
      const samePassword = timingSafeEqual(candidate.passwordHash, passwordHash)
      if (sameName && samePassword) found = candidate.user
    }
    return found
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest()
}
