import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '#common/log.ts';
import { ObjectSeal } from '#agent/state/seal.ts';
import { podPaths } from '../paths.ts';
import { testPod } from '../testing.ts';
import { MemoryVolumes, type SecretVolumes } from './secret-volumes.ts';
import { ensureVolumes } from './volumes.ts';

let dir: string;
beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-secrets-')); });
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

const sealed = (key = 1): MemoryVolumes => new MemoryVolumes({ seal: new ObjectSeal(Buffer.alloc(32, key)), log: silentLog });

describe('tokens that are kept', () => {
  it('can be read with the key of this host alone, and from their own file', async () => {
    const file = join(dir, 'tokens/v');
    await sealed().keep(file, new Map([['token', 'xyzzy']]));
    expect(await readFile(file, 'latin1')).not.toContain('xyzzy');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await sealed().kept(file)).toEqual(new Map([['token', 'xyzzy']]));
    expect(await sealed(2).kept(file)).toEqual(new Map());
    await sealed().keep(join(dir, 'tokens/w'), new Map());
    expect(await sealed().kept(join(dir, 'tokens/w'))).toEqual(new Map());
    expect(await sealed().kept(join(dir, 'none'))).toEqual(new Map());
  });

  it('stop nothing when they cannot be', async () => {
    await expect(sealed().keep(join('/dev/null', 'v'), new Map([['token', 'x']]))).resolves.toBeUndefined();
  });

  it('serve after a reboot, when the volume is empty and nobody can be asked', async () => {
    const paths = podPaths({ stateDir: dir }, { namespace: 'default', name: 'p', uid: 'u' });
    const pod = testPod('p', { volumes: [{ name: 'v', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }, { name: 's', secret: { secretName: 's' } }, { name: 'c', configMap: { name: 'c' } }] });
    const prepared: string[] = [];
    // What is in memory is gone with the host.
    const secretVolumes: SecretVolumes = { kept: (file) => sealed().kept(file), keep: (file, tokens) => sealed().keep(file, tokens), prepare: (folder) => { prepared.push(folder); return Promise.resolve(); } };
    const token = `h.${Buffer.from(JSON.stringify({ iat: 0, exp: 3600 })).toString('base64url')}.s`;
    const lookup = { configMap: () => ({ data: {} }), secret: () => ({ data: {} }), services: () => [], runtimeClass: () => undefined, secretVolumes };
    const facts = { nodeName: 'n', hostIps: [], podIps: [], allocatable: { cpuMillis: 2000, memoryBytes: 1 << 30 } };
    await ensureVolumes(pod, paths, { ...lookup, token: () => Promise.resolve(token) }, facts, 0, true);
    expect(prepared).toEqual([join(paths.volumes, 'v'), join(paths.volumes, 's')]);
    await rm(paths.volumes, { recursive: true });
    await ensureVolumes(pod, paths, lookup, facts, 1_800_000, true);
    expect(await readFile(join(paths.volumes, 'v/token'), 'utf8')).toBe(token);
  });
});

describe('a volume in memory', () => {
  const asked: string[] = [];
  const volumes = (refuses: (options: string) => boolean): MemoryVolumes => {
    asked.length = 0;
    return new MemoryVolumes({ seal: new ObjectSeal(Buffer.alloc(32)), log: silentLog, mount: (args) => {
      asked.push(args[3] ?? '');
      return refuses(args[3] ?? '') ? Promise.reject(new Error('wrong fs type, bad option')) : Promise.resolve();
    } });
  };

  it('does not go to swap', async () => {
    await volumes(() => false).prepare(join(dir, 'v'), true);
    expect(asked).toEqual(['mode=755,nosuid,nodev,noswap']);
  });

  it('is there without that, and asked for no more, where the kernel is too old', async () => {
    const old = volumes((options) => options.includes('noswap'));
    for (const name of ['v', 'w']) await old.prepare(join(dir, name), true);
    expect(asked).toEqual(['mode=755,nosuid,nodev,noswap', 'mode=755,nosuid,nodev', 'mode=755,nosuid,nodev']);
  });

  it('is an error where it cannot be at all', async () => {
    await expect(volumes(() => true).prepare(join(dir, 'v'), true)).rejects.toThrow('bad option');
  });
});
