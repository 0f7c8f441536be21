import type { Command } from 'commander'
import type { Context } from '../context.ts'

/** Bundles: made, listed, looked into, compared. */
export function registerBundle(_command: Command, _context: () => Context): void {}
