import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, expect, it } from 'vitest';
import type { Io } from '../types.ts';
import { command } from './node-fence.ts';

const folder = mkdtempSync(join(tmpdir(), 'cleat-fence-'));
const kubeconfig = join(folder, 'kubeconfig');
writeFileSync(kubeconfig, 'apiVersion: v1\nkind: Config\n');
afterAll(() => { rmSync(folder, { recursive: true }); });

/** No server answers here: what is refused must be refused before anything is asked. */
const io: Io = { out: () => true, err: () => true, env: { KUBECONFIG: kubeconfig }, stdin: Readable.from([]), terminal: false, interrupted: new AbortController().signal };

it.each([
  [[], 'say what to do: fence or unfence'],
  [['kill', 'pi-3'], 'unknown subcommand "kill": expected fence or unfence'],
  [['fence'], 'name the node to fence; see cleat nodes'],
  [['unfence', '--force'], 'name the node to unfence'],
  [['fence', 'pi-3', '--yes'], '--yes'],
])('refuses %j', async (argv, message) => {
  await expect(command.run([...argv, '--server=https://127.0.0.1:1'], io)).rejects.toThrow(message);
});
