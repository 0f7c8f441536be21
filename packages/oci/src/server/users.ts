import { createHash, timingSafeEqual } from 'node:crypto'

export interface RegistryUser {
  readonly name: string
  readonly password: string
  readonly access: 'read' | 'write'
}

export interface KnownUser {
  readonly name: string
  readonly access: 'read' | 'write'
}

/** Checks Basic credentials (RFC 7617) in a time that tells nothing: hashes are compared, for every user, to the end. */
export class Users {
  readonly #users: readonly { user: KnownUser; nameHash: Buffer; passwordHash: Buffer }[]

  constructor(users: readonly RegistryUser[]) {
    this.#users = users.map(({ name, password, access }) => ({
      user: { name, access },
      nameHash: sha256(name),
      passwordHash: sha256(password),
    }))
  }

  authenticate(authorization: string | undefined): KnownUser | undefined {
    const encoded = /^basic +([A-Za-z0-9+/_-]+=*) *$/i.exec(authorization ?? '')?.[1]
    const text = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8')
    const colon = text.indexOf(':')
    const nameHash = sha256(text.slice(0, Math.max(0, colon)))
    const passwordHash = sha256(text.slice(colon + 1))
    let found: KnownUser | undefined
    for (const candidate of this.#users) {
      const sameName = timingSafeEqual(candidate.nameHash, nameHash)
      const samePassword = timingSafeEqual(candidate.passwordHash, passwordHash)
      if (sameName && samePassword && colon >= 0) found = candidate.user
    }
    return found
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest()
}
