import { globSync } from 'node:fs';
import { join } from 'node:path';

// Loads every module once, so that Node's compile cache has them without their types when this process ends.
// A module that cannot be loaded is left to whoever needs it.
const root = join(import.meta.dirname, '..');
/** Tests, what only they use, and programs, which would run. */
const left = /\.test\.|contract\.ts$|\/(testing|test-[^/]*|generate|crash[^/]*|child|compile)\.ts$|\/cli\/main\.ts$/;
const files = globSync(join(root, '{agent,api,cli,common,controlplane,install,proto}/**/*.ts')).filter((file) => !left.test(file));
await Promise.allSettled(files.map((file) => import(file)));
// It is a program, too, and the first that every command loads.
process.argv[2] = 'help';
process.stdout.write = () => true;
await import('../cli/main.ts');
