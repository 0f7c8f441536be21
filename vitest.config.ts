import { defineConfig } from 'vitest/config'
import { ClosingLine } from './test/environment/closing-line.ts'

const everywhere = { exclude: ['**/node_modules/**'] }

/**
 * Unit tests need nothing. Integration and end-to-end tests share one environment of real clusters, which
 * `test/environment/setup.ts` brings up once per run under an instance id of its own.
 */
export default defineConfig({
  cacheDir: '.cache/vitest',
  test: {
    reporters: ['default', new ClosingLine()],
    projects: [
      {
        test: {
          ...everywhere,
          name: 'unit',
          include: ['{packages,apps,examples,test}/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/*.integration.test.ts', 'test/e2e/**'],
          pool: 'threads',
          // Some make keys from passphrases or start processes: a machine under load takes many times longer.
          testTimeout: 30_000,
          hookTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...everywhere,
          name: 'integration',
          sequence: { groupOrder: 1 },
          include: ['{packages,apps,examples}/**/*.integration.test.ts'],
          globalSetup: ['test/environment/setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          ...everywhere,
          name: 'e2e',
          sequence: { groupOrder: 2 },
          include: ['test/e2e/*.test.ts'],
          globalSetup: ['test/environment/setup.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
