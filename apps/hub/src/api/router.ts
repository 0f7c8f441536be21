import type { IncomingMessage } from 'node:http'
import { ApiError } from './errors.ts'

/** A request, as handlers see it. */
export interface ApiRequest {
  readonly message: IncomingMessage
  /** Parts of the path that the route names, decoded. */
  readonly params: Readonly<Record<string, string>>
  /** Reads the body as JSON. @throws ApiError `BodyTooLarge`, `BadRequest` */
  readonly json: () => Promise<unknown>
  readonly signal: AbortSignal
}

/** What a handler answers with; without a body it is 204. */
export interface ApiAnswer {
  readonly status?: number
  readonly body?: unknown
}

export interface Route {
  readonly method: 'GET' | 'POST'
  /** Such as `/v1/clusters/:name/report`. */
  readonly path: string
  /** Largest body, in bytes. Default: none is taken. */
  readonly maxBodyBytes?: number
  readonly handle: (request: ApiRequest) => Promise<ApiAnswer>
}

export interface Match {
  readonly route: Route
  readonly params: Readonly<Record<string, string>>
}

/** Finds the route of a request. @throws ApiError `NotFound`, `MethodNotAllowed` */
export function match(routes: readonly Route[], method: string, url: string): Match {
  const path = url.split('?', 1)[0] ?? ''
  const found = routes.flatMap((route) => {
    const params = matchPath(route.path, path)
    return params ? [{ route, params }] : []
  })
  if (found.length === 0) throw new ApiError('NotFound', 'There is nothing under this path.')
  const fitting = found.find(({ route }) => route.method === method)
  if (!fitting) throw new ApiError('MethodNotAllowed', `This path takes ${found.map(({ route }) => route.method).join(', ')}.`)
  return fitting
}

function matchPath(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = pattern.split('/')
  const given = path.split('/')
  if (wanted.length !== given.length) return undefined
  const params: [string, string][] = []
  for (const [at, part] of wanted.entries()) {
    const value = given[at] ?? ''
    if (part.startsWith(':')) {
      const decoded = decode(value)
      if (!decoded) return undefined
      params.push([part.slice(1), decoded])
    } else if (part !== value) return undefined
  }
  return Object.fromEntries(params)
}

function decode(part: string): string | undefined {
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}
