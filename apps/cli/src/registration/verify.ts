import type { Command } from 'commander'
import type { Context } from '../context.ts'

/** Verification. */
export function registerVerify(_command: Command, _context: () => Context): void {}
