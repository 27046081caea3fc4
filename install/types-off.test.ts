import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { exec, execOk } from '#common/exec.ts';

const tool = fileURLToPath(new URL('types-off.js', import.meta.url));
const node = ['--disable-warning=ExperimentalWarning'];
/** Says whether Node's own type stripper was loaded for a module and all that it imports. */
const script = (path: string): string => `
  const loaded = await import(${JSON.stringify(new URL(path, import.meta.url).href)});
  console.log(Object.keys(loaded).length > 0, process.moduleLoadList.some((name) => name.includes('amaro')));`;

it('runs sources without the type stripper, once their types are taken off', async () => {
  await execOk(process.execPath, [...node, tool]);
  expect(await execOk(process.execPath, [...node, '--import', tool, '--input-type=module', '-e', script('../controlplane/main.ts')])).toBe('true false\n');
  // A few sources are enough to see what is spared.
  expect(await execOk(process.execPath, [...node, '--input-type=module', '-e', script('../common/clock.ts')], { env: { NODE_COMPILE_CACHE: '' } })).toBe('true true\n');
});

it('leaves to Node what it does not have', async () => {
  const other = 'data:text/javascript,console.log("other")';
  expect(await exec(process.execPath, [...node, '--import', tool, '--input-type=module', '-e', `await import(${JSON.stringify(other)})`])).toEqual({ exitCode: 0, stdout: 'other\n', stderr: '' });
});
