import type { Command } from 'commander'
import type { Context } from '../context.ts'

/** Keys, signatures, attestations. */
export function registerTrust(_command: Command, _context: () => Context): void {}
