import { defineConfig } from 'vitest/config';

// Two projects: `unit` needs nothing but Node (and Python for the runners' own tests); `system` starts real
// stores, replicas and clusters from the built program. Both print why a test was skipped.
// Temporary files of a run lie in a folder of its own; what is left there at its end is named, and fails the run in CI.
export default defineConfig({
  test: {
    reporters: ['default'],
    globalSetup: ['test/support/leftovers.ts'],
    projects: [
      { test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: ['test/system/**'], testTimeout: 30_000, maxWorkers: 2 } },
      {
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
        },
      },
    ],
  },
});
