import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Volume } from '#api/gen/types.ts';
import { podPaths, type PodPaths } from '../paths.ts';
import type { ObjectLookup } from '../spec/env.ts';
import { testPod } from '../testing.ts';
import { isMountPoint } from './mounts.ts';
import { openSubPath } from './sub-path.ts';
import { ensureVolumes, isRecursive, removePodFiles } from './volumes.ts';

let dir: string;
let paths: PodPaths;
let data: Record<string, string>;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-volumes-'));
  paths = podPaths({ stateDir: dir }, { namespace: 'default', name: 'p', uid: 'u' });
  data = { 'a.txt': 'one', b: 'two' };
});
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

const lookup: ObjectLookup = {
  configMap: (_namespace, name) => (name === 'cfg' ? { data, binaryData: { bin: 'AAE=' } } : undefined),
  secret: () => ({ data: { password: Buffer.from('xyzzy').toString('base64') } }),
  services: () => [], runtimeClass: () => undefined,
};
const facts = { nodeName: 'n', hostIps: [], podIps: [], allocatable: { cpuMillis: 2000, memoryBytes: 1 << 30 } };
const ensure = (...volumes: Volume[]): Promise<number | undefined> => ensureVolumes(testPod('p', { volumes }, { labels: { x: 'y' } }), paths, lookup, facts);
const at = (...parts: string[]): string => join(paths.volumes, ...parts);

describe('volumes', () => {
  it.each<[object, boolean, boolean | string]>([
    [{ readOnly: true }, true, false], [{ readOnly: true, recursiveReadOnly: 'Disabled' }, true, false],
    [{ readOnly: true, recursiveReadOnly: 'IfPossible' }, true, true], [{ readOnly: true, recursiveReadOnly: 'IfPossible' }, false, false],
    [{ readOnly: true, recursiveReadOnly: 'Enabled', mountPropagation: 'None' }, true, true],
    [{ readOnly: true, recursiveReadOnly: 'Enabled' }, false, 'volume "v" requested recursive read-only mode, but it is not supported by the runtime'],
    [{ recursiveReadOnly: 'IfPossible' }, true, 'but it is not read-only'], [{ readOnly: true, recursiveReadOnly: 'Enabled', mountPropagation: 'HostToContainer' }, true, 'not compatible with propagation "HostToContainer"'],
  ])('are read-only with all that is inside where that is asked for and possible: %j, %s', (mount, possible, expected) => {
    const decide = (): boolean => isRecursive({ name: 'v', mountPath: '/v', ...mount }, possible);
    if (typeof expected === 'string') expect(decide).toThrow(expected);
    else expect(decide()).toBe(expected);
  });

  it('show the keys of a ConfigMap and change all at once', async () => {
    await ensure({ name: 'v', configMap: { name: 'cfg' } });
    expect((await readdir(at('v'))).filter((n) => !n.startsWith('..')).sort()).toEqual(['a.txt', 'b', 'bin']);
    expect(await readFile(at('v', 'a.txt'), 'utf8')).toBe('one');
    const before = await readlink(at('v', '..data'));
    await ensure({ name: 'v', configMap: { name: 'cfg' } });
    expect(await readlink(at('v', '..data'))).toBe(before);
    data = { 'a.txt': 'changed', c: 'new' };
    await ensure({ name: 'v', configMap: { name: 'cfg' } });
    expect(await readlink(at('v', '..data'))).not.toBe(before);
    expect((await readdir(at('v'))).sort()).toEqual([expect.stringMatching(/^\.\.2/), '..data', 'a.txt', 'bin', 'c']);
    expect(await readFile(at('v', 'a.txt'), 'utf8')).toBe('changed');
  });

  it('put projected sources together, with modes', async () => {
    await ensure({ name: 'v', projected: { sources: [
      { configMap: { name: 'cfg', items: [{ key: 'b', path: 'deep/b', mode: 0o600 }] } }, { secret: { name: 's' } },
      { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
    ] } });
    expect(await readFile(at('v', 'deep/b'), 'utf8')).toBe('two');
    expect((await stat(at('v', 'deep/b'))).mode & 0o777).toBe(0o600);
    expect(await readFile(at('v', 'password'), 'utf8')).toBe('xyzzy');
    expect(await readFile(at('v', 'labels'), 'utf8')).toBe('x="y"');
  });

  it('say what is missing', async () => {
    await expect(ensure({ name: 'v', configMap: { name: 'none' } })).rejects.toThrow('MountVolume.SetUp failed for volume "v" : configmap "none" not found');
    await ensure({ name: 'v', configMap: { name: 'none', optional: true } });
    await expect(ensure({ name: 'v', configMap: { name: 'cfg', items: [{ key: 'zzz', path: 'z' }] } })).rejects.toThrow('configmap references non-existent config key: zzz');
    await expect(ensure({ name: 'v', secret: { secretName: 's', items: [{ key: 'zzz', path: 'z' }] } })).rejects.toThrow('secret references non-existent secret key: zzz');
    await expect(ensure({ name: 'v', configMap: { name: 'cfg', items: [{ key: 'b', path: '../escape' }] } })).rejects.toMatchObject({ code: 'Invalid' });
    await expect(ensure({ name: 'v', iscsi: { targetPortal: 's', iqn: 'iqn.2000-01.x:y', lun: 0 } })).rejects.toThrow('not supported');
  });

  it('are made even when another cannot be', async () => {
    await expect(ensure({ name: 'v', configMap: { name: 'none' } }, { name: 'w', configMap: { name: 'cfg' } })).rejects.toThrow('"none" not found');
    expect(await readFile(at('w', 'b'), 'utf8')).toBe('two');
  });

  it('leave an emptyDir as the pod has made it', async () => {
    await ensure({ name: 'v', emptyDir: {} });
    expect((await stat(at('v'))).mode & 0o777).toBe(0o777);
    await chmod(at('v'), 0o700);
    await ensure({ name: 'v', emptyDir: {} });
    expect((await stat(at('v'))).mode & 0o777).toBe(0o700);
  });

  it('check host paths', async () => {
    await writeFile(join(dir, 'file'), '');
    await ensure({ name: 'v', hostPath: { path: join(dir, 'made'), type: 'DirectoryOrCreate' } }, { name: 'w', hostPath: { path: join(dir, 'file'), type: 'File' } });
    expect((await stat(join(dir, 'made'))).isDirectory()).toBe(true);
    await expect(ensure({ name: 'v', hostPath: { path: join(dir, 'file'), type: 'Directory' } })).rejects.toThrow(`hostPath type check failed: ${join(dir, 'file')} is not a directory`);
    await ensure({ name: 'v', hostPath: { path: join(dir, 'new.log'), type: 'FileOrCreate' } }, { name: 'w', hostPath: { path: join(dir, 'file'), type: 'FileOrCreate' } });
    expect((await stat(join(dir, 'new.log'))).isFile()).toBe(true);
    for (const [name, type, what] of [['made', 'FileOrCreate', 'file'], ['file', 'DirectoryOrCreate', 'directory'], ['none', 'Socket', 'socket file'], ['file', 'CharDevice', 'character device'], ['made', 'BlockDevice', 'block device']] as const) {
      await expect(ensure({ name: 'v', hostPath: { path: join(dir, name), type } })).rejects.toThrow(`hostPath type check failed: ${join(dir, name)} is not a ${what}`);
    }
    // What is there is looked at and not opened: a device would notice, and a pipe waits for its reader.
    await expect(ensure({ name: 'v', hostPath: { path: '/dev/null', type: 'FileOrCreate' } })).rejects.toThrow('hostPath type check failed: /dev/null is not a file');
    await ensure({ name: 'v', hostPath: { path: join(dir, 'made/deeper/still'), type: 'DirectoryOrCreate' } });
    await ensure({ name: 'v', hostPath: { path: join(dir, 'file') } }, { name: 'w', hostPath: { path: join(dir, 'new/too') } });
    expect((await stat(join(dir, 'new/too'))).isDirectory()).toBe(true);
    // Where nothing can be made this ends, too.
    await expect(ensure({ name: 'v', hostPath: { path: '/proc/none/deeper', type: 'DirectoryOrCreate' } })).rejects.toThrow('ENOENT');
  });

  it('are known as mounted by whatever path', async () => {
    await symlink('/', join(dir, 'root'));
    expect(await Promise.all(['/proc', '/proc/1', join(dir, 'root/proc'), join(dir, 'root/proc/none')].map(isMountPoint))).toEqual([true, false, true, false]);
  });

  it('do not let a subPath out of the volume', async () => {
    await ensure({ name: 'v', emptyDir: {} });
    const open = async (subPath: string, make = true): Promise<string> => {
      const part = await openSubPath(at('v'), subPath, make);
      await part.handle.close();
      return part.path;
    };
    expect(await open('in/side')).toBe(at('v', 'in/side'));
    // Whoever may write in the volume may write there, too.
    expect(await Promise.all(['in', 'in/side'].map(async (name) => (await stat(at('v', name))).mode & 0o7777))).toEqual([0o777, 0o777]);
    await mkdir(join(dir, 'outside'));
    await symlink(join(dir, 'outside'), at('v', 'link'));
    await symlink('in', at('v', 'inner'));
    for (const subPath of ['link', 'link/new', '../x', '/etc']) await expect(open(subPath)).rejects.toMatchObject({ code: 'Invalid' });
    // The whole host may be a volume, too.
    const { handle, path } = await openSubPath('/', at('v', 'inner').slice(1), false);
    await handle.close();
    expect(path).toBe(await realpath(at('v', 'in')));
    expect(await open('inner/side')).toBe(at('v', 'in/side'));
    await expect(open('none', false)).rejects.toMatchObject({ code: 'NotFound' });
    expect(await readdir(join(dir, 'outside'))).toEqual([]);
    // A container that exchanges a folder for a link meanwhile gets what was opened, or an error; never what is outside.
    await writeFile(join(dir, 'outside/file'), '');
    let swapping = true;
    const swap = (async () => {
      const steps = [() => symlink(join(dir, 'outside'), at('v', 'swap')), () => mkdir(at('v', 'swap'))];
      for (let i = 0; swapping; i++) {
        // Either may find what was made in the other's place.
        await rm(at('v', 'swap'), { recursive: true, force: true }).catch(() => undefined);
        await steps[i % 2]?.().catch(() => undefined);
      }
    })();
    for (let i = 0; i < 200; i++) {
      const part = await openSubPath(at('v'), 'swap/new', true).catch(() => undefined);
      if (part) expect(await readdir(`/proc/self/fd/${String(part.handle.fd)}`).catch(() => [])).toEqual([]);
      await part?.handle.close();
    }
    swapping = false;
    await swap;
    expect(await readdir(join(dir, 'outside'))).toEqual(['file']);
    await removePodFiles(paths, { releaseImage: () => Promise.resolve() }, new AbortController().signal);
    expect(await readdir(join(dir, 'pods'))).toEqual([]);
  });
});
