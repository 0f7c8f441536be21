import type { Command } from 'commander'
import type { Context } from '../context.ts'

/** From any place to any other. */
export function registerRelocate(_command: Command, _context: () => Context): void {}
