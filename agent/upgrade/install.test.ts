import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { silentLog } from '#common/log.ts';
import { install } from './install.ts';
import { receivedPath } from './paths.ts';

const path = process.env['PATH'];
afterEach(() => { process.env['PATH'] = path; });

function script(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\n${text}\n`);
  chmodSync(file, 0o755);
}

it('sets its guard anew when one of an upgrade before still waits', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'install-'));
  const [executable, said, sha256] = [join(folder, 'bin/cleat'), join(folder, 'said'), 'a'.repeat(64)];
  script(executable, 'echo v1.0.0');
  script(receivedPath(folder, sha256), 'echo v1.2.3');
  for (const name of ['systemctl', 'systemd-run']) script(join(folder, 'fake', name), `echo ${name} "$@" >>${said}`);
  process.env['PATH'] = `${join(folder, 'fake')}:${path ?? ''}`;
  await install({ log: silentLog, nowMs: () => 0 }, { stateDir: folder, executable, supervised: true }, { task: 'upgrade', sha256, version: '1.2.3', confirmMs: 1000 });
  expect(readFileSync(said, 'utf8').split('\n')).toEqual(['systemctl stop cleat-upgrade-guard.timer', expect.stringMatching(/^systemd-run .*--unit=cleat-upgrade-guard/), '']);
  expect(readFileSync(executable, 'utf8')).toContain('1.2.3');
});
