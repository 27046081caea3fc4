import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

const globalSetup = 'test/support/temporary-files.ts';
/** For machines that are busy with something else: what waits for a condition waits until it is there. Projects inherit nothing. */
const expect = { poll: { timeout: 10_000, interval: 10 } };

/** Random tests repeat themselves. */
const resolve = { alias: [{ find: /^fast-check$/, replacement: join(import.meta.dirname, 'test/support/seeded-fast-check.ts') }] };

/**
 * `unit` needs nothing but Node; `contract` and `e2e` need root and the packages that install/packages.sh brings.
 * One kind after the other, and within a kind two files at a time: the machines that run this have two cores.
 * What unit tests leave in the folder for temporary files goes when the run ends. The others keep to
 * shorter paths, since a socket's may have 108 bytes, and remove them themselves.
 */
export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      { resolve, test: { name: 'unit', expect, testTimeout: 20_000, include: ['{api,common,controlplane,agent,cli,install,test,bench}/**/*.test.ts'], exclude: ['**/*.contract.test.ts', '**/*.vm.test.ts', 'test/e2e/**', 'test/vm/**'], globalSetup, sequence: { groupOrder: 0 } } },
      { resolve, test: { name: 'contract', expect, include: ['{controlplane,agent,test}/**/*.contract.test.ts'], testTimeout: 120_000, hookTimeout: 120_000, sequence: { groupOrder: 1 } } },
      { resolve, test: { name: 'e2e', expect, include: ['test/e2e/**/*.test.ts'], testTimeout: 300_000, hookTimeout: 300_000, sequence: { groupOrder: 2 } } },
    ],
  },
});
