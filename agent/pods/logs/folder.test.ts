import { mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { testPod } from '../testing.ts';
import { logFileOf, podPaths, type PodPaths } from '../paths.ts';
import { linkLog, makeLogFolder, makeLogFolders, removeAllLogFolders, removeLogFolder, unlinkLog } from './folder.ts';

let dir: string;
const names = (folder: string): Promise<string[]> => readdir(join(dir, folder)).then((found) => found.sort(), () => []);

beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-log-folder-')); });
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

async function pod(name: string, podLogsDir: string | undefined = join(dir, 'log/pods')): Promise<PodPaths> {
  const paths = podPaths({ stateDir: dir, podLogsDir }, { namespace: 'default', name, uid: `${name.slice(0, 20)}-uid` });
  await makeLogFolder(paths);
  for (const container of ['app', 'side']) {
    await mkdir(join(paths.logs, container), { recursive: true });
    await writeFile(join(paths.logs, logFileOf(container, 0)), `${container} of ${name}\n`);
    await linkLog(paths, testPod(name), { name: container, id: `${container}-id`, attempt: 0 });
  }
  return paths;
}

it('has logs where collectors look for them, by the names that they know, and takes them away with the pod', async () => {
  const web = await pod('web');
  await pod('web-2');
  expect(await names('log/pods')).toEqual(['default_web-2_web-2-uid', 'default_web_web-uid']);
  expect(await names('log/containers')).toEqual(['web-2_default_app-app-id.log', 'web-2_default_side-side-id.log', 'web_default_app-app-id.log', 'web_default_side-side-id.log']);
  expect(await readFile(join(dir, 'log/containers/web_default_app-app-id.log'), 'utf8')).toBe('app of web\n');
  expect(await readlink(join(dir, 'log/containers/web_default_app-app-id.log'))).toBe(join(dir, 'log/pods/default_web_web-uid/app/0.log'));
  // Done again, it is as it was.
  await makeLogFolder(web);
  await unlinkLog(web, testPod('web'), { name: 'side', id: 'side-id' });
  expect(await names('log/containers')).toEqual(['web-2_default_app-app-id.log', 'web-2_default_side-side-id.log', 'web_default_app-app-id.log']);
  await removeLogFolder(web.root);
  expect([await names('log/pods'), await names('log/containers')]).toEqual([['default_web-2_web-2-uid'], ['web-2_default_app-app-id.log', 'web-2_default_side-side-id.log']]);
  await writeFile(join(dir, 'log/containers/of-others.log'), '');
  await removeAllLogFolders(dir);
  expect([await names('log'), await names('log/containers')]).toEqual([['containers'], ['of-others.log']]);
});

it('keeps links of long names apart, and finds them', async () => {
  const name = 'n'.repeat(253);
  const paths = await pod(name);
  expect((await names('log/containers')).map((file) => `${String(file.length)} ${file.replace(/^n+/, '')}`).sort()).toEqual(['255 _default_app-app-id.log', '255 _default_side-side-id.log']);
  await removeLogFolder(paths.root);
  expect([await names('log/pods'), await names('log/containers')]).toEqual([[], []]);
});

it('keeps what containers write where another place is chosen, and leaves nothing behind in either', async () => {
  for (const place of ['old', 'log', 'old', 'new']) await pod('web', join(dir, place, 'pods'));
  for (const place of ['old', 'log', 'new']) expect(await readFile(join(dir, place, 'containers/web_default_app-app-id.log'), 'utf8')).toBe('app of web\n');
  await removeAllLogFolders(dir);
  expect([await names('old'), await names('log'), await names('new')]).toEqual([[], [], []]);
});

it('tells which folders for all pods it makes, the outermost first', async () => {
  const made: string[] = [];
  await mkdir(join(dir, 'log/containers'), { recursive: true });
  for (const podLogsDir of ['log/pods', 'log/pods', 'data/log/pods']) await makeLogFolders(join(dir, podLogsDir), (folder) => { made.push(relative(dir, folder)); return Promise.resolve(); });
  expect([made, await names('log'), await names('data/log')]).toEqual([['log/pods', 'data', 'data/log', 'data/log/pods', 'data/log/containers'], ['containers', 'pods'], ['containers', 'pods']]);
});

it('has them among the pod\'s files, and no links, where no place is given', async () => {
  const paths = podPaths({ stateDir: dir }, { namespace: 'default', name: 'web', uid: 'web-uid' });
  await makeLogFolder(paths);
  await linkLog(paths, testPod('web'), { name: 'app', id: 'app-id', attempt: 0 });
  expect([paths.logs, await removeLogFolder(paths.root), await names('.')]).toEqual([paths.root, [], ['pods']]);
});
