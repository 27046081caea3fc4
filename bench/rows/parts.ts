import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Step } from '../parts-process.ts';
import type { Row } from '../row.ts';

/** What each part of a control plane holds in memory: JavaScript's heap and buffers, from sources whose types were taken off, as servers run. A few seconds. */
export async function run(): Promise<Row[]> {
  const typesOff = fileURLToPath(new URL('../../install/types-off.js', import.meta.url));
  execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', typesOff]);
  const child = fork(fileURLToPath(new URL('../parts-process.ts', import.meta.url)), [], {
    execArgv: ['--disable-warning=ExperimentalWarning', '--expose-gc', '--no-turbofan', '--no-maglev', '--no-sparkplug', '--import', typesOff], env: { ...process.env, NODE_COMPILE_CACHE: '' },
  });
  const ended = new AbortController();
  child.once('exit', (code) => { if (code !== 0) ended.abort(new Error(`the measured process ended with ${String(code)}`)); });
  const [steps] = await once(child, 'message', { signal: ended.signal }) as [Step[]];
  return steps.map(({ name, heldBytes }, i) => ({ name: `memory: ${name}`, value: Math.round((heldBytes - (steps[i - 1]?.heldBytes ?? 0)) / 1e4) / 100, unit: 'MB' }));
}
