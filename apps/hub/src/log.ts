/** What the hub needs of a logger: pino has it, and a test may bring its own. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** An error as fields of a log line: its code and message, with those of what caused it. Never its data, which may hold secrets. */
export function errorFields(error: unknown): { readonly error: string; readonly code?: string; readonly cause?: string } {
  if (!(error instanceof Error)) return { error: String(error) }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  const cause = error.cause instanceof Error ? error.cause.message : undefined
  return { error: error.message, ...(code === undefined ? {} : { code }), ...(cause === undefined ? {} : { cause }) }
}
