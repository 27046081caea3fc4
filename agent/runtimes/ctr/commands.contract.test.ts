import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { commandChannels } from '#common/streams/channels.ts';
import { containerConfig, sandboxConfig } from '../test-configs.ts';
import { openCtrLab, type CtrLab } from './test-lab.ts';

let lab: CtrLab;
let id: string;
const signal = AbortSignal.timeout(110_000);
beforeAll(async () => {
  lab = await openCtrLab();
  const sandbox = sandboxConfig(join(lab.host.stateDir, 'logs'));
  await mkdir(sandbox.logDirectory, { recursive: true });
  const sandboxId = await lab.driver.runSandbox(sandbox, signal);
  id = await lab.driver.createContainer(sandboxId, sandbox, containerConfig('sleep 1000'), signal);
  await lab.driver.startContainer(id, signal);
});
afterAll(async () => { await lab.close(); });

it('nothing that commands say is lost, however many of them run and however slowly one reads', async () => {
  const brief = Array.from({ length: 24 }, async () => lab.driver.exec(id, ['/bin/sh', '-c', 'echo out; echo err >&2; exit 3'], 60_000, signal));
  for (const { exitCode, output } of await Promise.all(brief)) expect([exitCode, output.split('\n').toSorted()]).toEqual([3, ['', 'err', 'out']]);
  const channels = await lab.driver.execStream(id, ['/bin/sh', '-c', 'busybox seq 1 100000'], { stdin: false, stdout: true, stderr: true, tty: false });
  let text = '';
  for await (const chunk of channels.channel(commandChannels.stdout)) {
    text += Buffer.from(chunk).toString();
    if (text.length < 100_000) await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
  expect([text.length, text.endsWith('\n100000\n')]).toEqual([588_895, true]);
  await channels.closed;
  // A process that stays behind holds nobody up for long.
  expect((await lab.driver.exec(id, ['/bin/sh', '-c', 'sleep 60 & echo begun'], 20_000, signal)).output).toBe('begun\n');
  await expect(lab.driver.exec(id, ['/none'], 5000, signal)).rejects.toThrow(/\/none/);
  await expect(lab.driver.exec(id, ['sleep', '100'], 300, signal)).rejects.toMatchObject({ code: 'Timeout' });
  expect(await readdir(join(lab.host.stateDir, 'run/ctr/exec'))).toEqual([]);
});
