import { defineConfig } from 'vitest/config';

/** `unit` needs nothing but Node; `contract` and `e2e` need root and the packages that install/packages.sh brings. */
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['{api,common,controlplane,agent,cli,install,test}/**/*.test.ts'], exclude: ['**/*.contract.test.ts', 'test/e2e/**'] } },
      { test: { name: 'contract', include: ['{controlplane,agent,test}/**/*.contract.test.ts'], testTimeout: 120_000, hookTimeout: 120_000 } },
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], testTimeout: 300_000, hookTimeout: 300_000, fileParallelism: false } },
    ],
  },
});
