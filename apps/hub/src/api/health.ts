import { ApiError } from './errors.ts'
import type { Route } from './router.ts'

/** `/healthz`: the process answers. `/readyz`: it has read the state of the fleet as well. */
export function healthRoutes(ready: () => boolean): Route[] {
  const ok = { status: 200, body: { status: 'ok' } }
  return [
    { method: 'GET', path: '/healthz', handle: async () => ok },
    {
      method: 'GET',
      path: '/readyz',
      handle: async () => {
        if (!ready()) throw new ApiError('Unavailable', 'The hub has not read the fleet yet.', { retryAfterSeconds: 1 })
        return ok
      },
    },
  ]
}
