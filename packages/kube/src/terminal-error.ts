/** Thrown by a reconcile where trying again cannot help: the key waits for the next change. `cause` holds what went wrong. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError'

  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
  }
}
