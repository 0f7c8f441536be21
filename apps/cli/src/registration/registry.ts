import type { Command } from 'commander'
import type { Context } from '../context.ts'

/** The embedded registry. */
export function registerRegistry(_command: Command, _context: () => Context): void {}
