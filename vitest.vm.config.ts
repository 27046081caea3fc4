import { defineConfig } from 'vitest/config';

/**
 * What needs a kernel of its own, run by install/test-vm.sh: contract suites inside a User-Mode Linux host (`guest`),
 * and hosts that tests boot and reboot themselves (`hosts`). System calls are slow there, so deadlines are long.
 */
export default defineConfig({
  test: {
    maxWorkers: 1,
    expect: { poll: { timeout: 60_000, interval: 50 } },
    projects: [
      { test: { name: 'guest', include: ['{agent,test}/**/*.vm.test.ts'], testTimeout: 300_000, hookTimeout: 300_000 } },
      { test: { name: 'hosts', include: ['test/vm/**/*.test.ts'], testTimeout: 900_000, hookTimeout: 900_000 } },
    ],
  },
});
