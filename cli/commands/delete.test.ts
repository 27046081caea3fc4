import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, expect, it } from 'vitest';
import type { Io } from '../types.ts';
import { command } from './delete.ts';

const folder = mkdtempSync(join(tmpdir(), 'cleat-delete-'));
const kubeconfig = join(folder, 'kubeconfig');
writeFileSync(kubeconfig, 'apiVersion: v1\nkind: Config\n');
afterAll(() => { rmSync(folder, { recursive: true }); });

/** No server answers here: what is refused must be refused before anything is asked. */
const io: Io = { out: () => true, err: () => true, env: { KUBECONFIG: kubeconfig }, stdin: Readable.from([]), terminal: false, interrupted: new AbortController().signal };
const run = (...argv: string[]): Promise<number> => command.run([...argv, '--server=https://127.0.0.1:1'], io);

it.each([
  [['pod', 'web', '-l', 'app=web'], 'name cannot be provided when a selector is specified'],
  [['pod/web', '--all'], 'name cannot be provided when a selector is specified'],
  [['pods', '-l', 'app=web', '--all'], "setting 'all' parameter but found a non empty selector"],
  [['pods'], 'resource(s) were provided, but no name was specified'],
  [['pod', 'web', '--now', '--grace-period=5'], '--now and --grace-period cannot be specified together'],
  [['pod', 'web', '--force', '--grace-period=5'], '--force and --grace-period greater than 0 cannot be specified together'],
  [['pod', 'web', '--dry-run=maybe'], 'Invalid dry-run value (maybe)'],
  [['pod', 'web', '--cascade=maybe'], 'invalid cascade value (maybe)'],
])('refuses %j', async (argv, message) => {
  await expect(run(...argv)).rejects.toThrow(message);
});
