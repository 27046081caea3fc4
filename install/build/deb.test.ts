import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { execOk } from '#common/exec.ts';
import { linkLog, makeLogFolder } from '#agent/pods/logs/folder.ts';
import { podPaths, podsDir } from '#agent/pods/paths.ts';
import { testPod } from '#agent/pods/testing.ts';
import { removeLogs } from './deb.ts';

it('removes logs of pods with the package, wherever they are, and nobody else\'s', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'cleat-deb-'));
  try {
    for (const [name, place] of [['web', 'log/pods'], ['web-2', 'log/pods'], ['db', 'data/log/pods']] as const) {
      const paths = podPaths({ stateDir: dir, podLogsDir: join(dir, place) }, { namespace: 'default', name, uid: `${name}-uid` });
      await makeLogFolder(paths);
      await linkLog(paths, testPod(name), { name: 'app', id: 'id', attempt: 0 });
    }
    await mkdir(join(dir, 'pods/default_plain_uid'));
    await writeFile(join(dir, 'log/containers/of-others.log'), '');
    // Twice: one that was cut off is run again.
    for (let i = 0; i < 2; i++) await execOk('sh', ['-ec', removeLogs(podsDir(dir))]);
    expect([await readdir(join(dir, 'log')), await readdir(join(dir, 'log/containers')), await readdir(join(dir, 'data/log'))]).toEqual([['containers'], ['of-others.log'], []]);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
