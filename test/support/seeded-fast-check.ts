/**
 * What tests get for `fast-check` (vitest.config.ts): the same, with a seed that does not change from run to run, so that CI
 * repeats itself. `CLEAT_TEST_SEED=$RANDOM npm run unit` tries others.
 */
// By its path: the name would lead back here.
import { configureGlobal } from '../../node_modules/fast-check/lib/fast-check.js';

configureGlobal({ seed: Number(process.env['CLEAT_TEST_SEED'] ?? 20_261) });

export * from '../../node_modules/fast-check/lib/fast-check.js';
export { default } from '../../node_modules/fast-check/lib/fast-check.js';
