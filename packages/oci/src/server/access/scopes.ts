import { isPattern, matches } from '../pattern.ts'

/** What may be done to a repository. */
export type Action = 'pull' | 'push' | 'delete'

const actions: ReadonlySet<string> = new Set<Action>(['pull', 'push', 'delete'])

/** What a token is good for: actions on the repositories of a pattern, or reading the metrics. */
export type Scope =
  | { readonly kind: 'repository'; readonly pattern: string; readonly actions: readonly Action[] }
  | { readonly kind: 'metrics' }

/**
 * Reads `repository:PATTERN:pull,push,delete` (distribution "Token Scope Documentation", with patterns) or `registry:metrics:pull`.
 * Undefined: it is none.
 */
export function parseScope(text: string): Scope | undefined {
  if (text === 'registry:metrics:pull') return { kind: 'metrics' }
  const match = /^repository:([^:]+):([a-z]+(?:,[a-z]+)*)$/.exec(text)
  const [, pattern = '', list = ''] = match ?? []
  const named = list.split(',')
  if (match === null || !isPattern(pattern) || named.some((name) => !actions.has(name))) return undefined
  return { kind: 'repository', pattern, actions: [...new Set(named)] as Action[] }
}

export function allows(scopes: readonly Scope[], action: Action, repository: string): boolean {
  return scopes.some((scope) => scope.kind === 'repository' && scope.actions.includes(action) && matches(scope.pattern, repository))
}
