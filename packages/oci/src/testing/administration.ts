import { administrator, basic, type RunningRegistry } from './registry.ts'

/** What the administrator's API answers, as JSON. */
export async function administer(
  registry: RunningRegistry,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; json: never }> {
  const response = await registry.raw(method, `/_muster/v1/${path}`, {
    headers: { authorization: basic(administrator) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, json: (text === '' ? undefined : JSON.parse(text)) as never }
}

/** A new token's text. */
export async function createToken(registry: RunningRegistry, name: string, scopes: readonly string[], expiresMs?: number): Promise<string> {
  const { json } = await administer(registry, 'POST', 'tokens', { name, scopes, ...(expiresMs === undefined ? {} : { expiresMs }) })
  return (json as { token: string }).token
}
