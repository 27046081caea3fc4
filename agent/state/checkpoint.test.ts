import { appendFile, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ConfigMap, Secret } from '#api/gen/types.ts';
import { configMaps, nodes, secrets, type Resource } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { isStatus } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { CheckpointStore } from './checkpoint.ts';
import { newFile } from './log-file.ts';
import type { StateChange } from './types.ts';

let folder: string;
let logged: { level: number; msg: string }[];
let log: Log;
let opened: CheckpointStore[] = [];
async function open(compactAfterBytes = 256 << 10): Promise<CheckpointStore> {
  const checkpoint = await CheckpointStore.open({ log }, { folder, compactAfterBytes });
  opened.push(checkpoint);
  return checkpoint;
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cleat-checkpoint-'));
  logged = [];
  log = pino({ level: 'debug' }, { write: (line: string) => { logged.push(JSON.parse(line) as { level: number; msg: string }); } });
});
afterEach(async () => {
  await Promise.all(opened.map((checkpoint) => checkpoint.close()));
  opened = [];
  await rm(folder, { recursive: true, force: true });
});

const map = (name: string, value: string): ConfigMap => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'default', name }, data: { value } });
const entry = (name: string, value: string): { resource: Resource; object: KubeObject } => ({ resource: configMaps, object: map(name, value) });
const set = (name: string, value: string): StateChange => ({ type: 'set', ...entry(name, value) });
const remove = (name: string): StateChange => ({ type: 'remove', resource: configMaps, namespace: 'default', name });
const generations = async (): Promise<string[]> => (await readdir(folder)).filter((name) => name.startsWith('checkpoint.')).sort();
const content = (checkpoint: CheckpointStore): Record<string, string> => Object.fromEntries(checkpoint.list(configMaps).map((m) => [m.metadata?.name ?? '', m.data?.['value'] ?? '']));

describe('the checkpoint', () => {
  it('starts unknown, and knows after an empty COMPLETE, also across restarts', async () => {
    let checkpoint = await open();
    expect(checkpoint.known).toBe(false);
    await checkpoint.complete([], 3);
    expect(checkpoint.known).toBe(true);
    await checkpoint.close();
    checkpoint = await open();
    expect([checkpoint.known, checkpoint.revision]).toEqual([true, 3]);
    await checkpoint.close();
  });

  it('keeps what it was told, privately, and tells listeners only what differs', async () => {
    let checkpoint = await open();
    const told: (readonly StateChange[])[] = [];
    checkpoint.subscribe((changes) => { told.push(changes); });
    await checkpoint.complete([entry('a', '1'), entry('b', '1')], 1);
    await checkpoint.incremental([set('b', '2'), set('a', '1'), remove('none'), set('c', '0'), set('c', '1')], 1, 2);
    await checkpoint.complete([entry('b', '2'), { resource: nodes, object: { metadata: { name: 'n' } } }], 9);
    expect(told.map((changes) => changes.map((c) => `${c.type} ${c.type === 'set' ? c.object.metadata?.name ?? '' : c.name}`))).toEqual([
      ['set a', 'set b'], ['set b', 'set c'], ['remove a', 'remove c', 'set n'],
    ]);
    expect(Object.isFrozen(checkpoint.get(configMaps, 'default', 'b')?.data)).toBe(true);
    await checkpoint.close();
    checkpoint = await open();
    expect(content(checkpoint)).toEqual({ b: '2' });
    expect(checkpoint.get(nodes, undefined, 'n')).toBeDefined();
    for (const name of await readdir(folder)) expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
    await checkpoint.close();
  });

  it('refuses a change that leaves a gap', async () => {
    const checkpoint = await open();
    await checkpoint.complete([], 5);
    await expect(checkpoint.incremental([set('a', '1')], 6, 7)).rejects.toSatisfy((e) => isStatus(e, 'Conflict'));
    expect(content(checkpoint)).toEqual({});
    await checkpoint.close();
  });

  it('writes nothing for what is there already', async () => {
    const checkpoint = await open();
    await checkpoint.complete([entry('a', '1')], 1);
    const path = join(folder, (await generations())[0]!);
    const before = await stat(path, { bigint: true });
    await checkpoint.complete([entry('a', '1')], 2);
    await checkpoint.incremental([set('a', '1')], 2, 3);
    expect(checkpoint.revision).toBe(3);
    const after = await stat(path, { bigint: true });
    expect([after.mtimeNs, after.size]).toEqual([before.mtimeNs, before.size]);
    await checkpoint.close();
  });

  it('stays small: old changes are folded into a snapshot, two generations are kept', async () => {
    const checkpoint = await open(1000);
    await checkpoint.complete([], 0);
    for (let i = 0; i < 200; i++) await checkpoint.incremental([set(`m${String(i % 3)}`, String(i))], i, i + 1);
    const names = await generations();
    expect(names).toHaveLength(2);
    for (const name of names) expect((await stat(join(folder, name))).size).toBeLessThan(3000);
    await checkpoint.close();
    expect(content(await open())).toEqual({ m0: '198', m1: '199', m2: '197' });
  });

  it('tells listeners when it becomes known or reliable, even when nothing else changes', async () => {
    const told: number[] = [];
    const listen = (checkpoint: CheckpointStore): CheckpointStore => { checkpoint.subscribe((changes) => { told.push(changes.length); }); return checkpoint; };
    let checkpoint = listen(await open());
    await checkpoint.complete([], 1);
    await checkpoint.complete([], 2);
    expect(told).toEqual([0]);
    await checkpoint.incremental([set('a', '1'), set('b', '1')], 2, 3);
    await checkpoint.incremental([set('b', '2')], 3, 4);
    await checkpoint.close();

    const path = join(folder, (await generations())[0]!);
    const damaged = await readFile(path);
    damaged[damaged.indexOf('"a"')] = 0;
    await writeFile(path, damaged);
    checkpoint = listen(await open());
    expect([checkpoint.known, checkpoint.reliable]).toEqual([true, false]);
    await checkpoint.complete([], 1);
    expect(checkpoint.reliable).toBe(true);
    expect(told.slice(3)).toEqual([0]);
    await checkpoint.close();
    expect((await open()).reliable).toBe(true);
  });

  it('goes on when a listener throws', async () => {
    const checkpoint = await open();
    checkpoint.subscribe(() => { throw new Error('no'); });
    await checkpoint.complete([entry('a', '1')], 1);
    expect(logged.some((line) => line.msg === 'a listener failed')).toBe(true);
    await checkpoint.close();
  });
});

describe('a checkpoint that was hurt', () => {
  /** Three records: a, then b, then c. Returns the path and where each record ends. */
  async function threeRecords(): Promise<{ path: string; ends: number[] }> {
    const checkpoint = await open();
    const ends: number[] = [];
    let path = '';
    for (const [i, name] of ['a', 'b', 'c'].entries()) {
      await (i === 0 ? checkpoint.complete([entry(name, '1')], 1) : checkpoint.incremental([set(name, '1')], i, i + 1));
      path = join(folder, (await generations())[0]!);
      ends.push((await stat(path)).size);
    }
    await checkpoint.close();
    return { path, ends };
  }

  it('loses only the record that was cut short, wherever it was cut', async () => {
    const { path, ends } = await threeRecords();
    const whole = await readFile(path);
    for (let size = ends[1]! + 1; size < ends[2]!; size++) {
      await writeFile(path, whole.subarray(0, size));
      logged = [];
      const checkpoint = await open();
      expect(content(checkpoint), `cut at ${String(size)}`).toEqual({ a: '1', b: '1' });
      expect(logged.map((line) => line.level)).toEqual([40]);
      expect((await stat(path)).size).toBe(ends[1]);
      await checkpoint.close();
    }
  });

  it.each([['zeros', Buffer.alloc(5000)], ['noise', Buffer.from('noise'.repeat(50))], ['a header without a payload', Buffer.from('0000001000000000', 'hex')]])('goes on after a tail of %s', async (_name, tail) => {
    const { path } = await threeRecords();
    await appendFile(path, tail);
    let checkpoint = await open();
    expect(content(checkpoint)).toEqual({ a: '1', b: '1', c: '1' });
    await checkpoint.incremental([set('d', '1')], 3, 4);
    await checkpoint.close();
    checkpoint = await open();
    expect(content(checkpoint)).toEqual({ a: '1', b: '1', c: '1', d: '1' });
    await checkpoint.close();
  });

  it('says so when bytes in the middle are damaged, and goes on with what came before', async () => {
    const { path, ends } = await threeRecords();
    const whole = await readFile(path);
    for (let at = ends[0]!; at < ends[1]!; at++) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      await writeFile(path, damaged);
      logged = [];
      const checkpoint = await open();
      expect(content(checkpoint), `byte ${String(at)}`).toEqual({ a: '1' });
      expect(logged.map((line) => line.msg).join()).toMatch(/damaged in the middle/);
      await checkpoint.close();
    }
    const checkpoint = await open();
    await checkpoint.complete([entry('a', '1'), entry('z', '1')], 8);
    await checkpoint.close();
    logged = [];
    expect(content(await open())).toEqual({ a: '1', z: '1' });
    expect(logged).toEqual([]);
  });

  it('falls back to the generation before when the newest cannot be read from its start', async () => {
    const checkpoint = await open(1);
    await checkpoint.complete([entry('a', '1')], 1);
    for (let i = 1; (await generations()).length < 2; i++) await checkpoint.incremental([set('b', String(i))], i, i + 1);
    await checkpoint.close();
    expect(await generations()).toEqual(['checkpoint.1', 'checkpoint.2']);
    for (const damage of [() => truncate(join(folder, 'checkpoint.2'), 20), () => truncate(join(folder, 'checkpoint.2'), 0), () => writeFile(join(folder, 'checkpoint.2'), 'CLEATcp\x02 of a newer version')]) {
      await damage();
      logged = [];
      const again = await open();
      expect(content(again)).toMatchObject({ a: '1', b: expect.stringMatching(/\d/) });
      expect(again.reliable).toBe(false);
      expect(logged.map((line) => line.level)).toEqual([50]);
      await again.close();
    }
    const repaired = await open();
    await repaired.incremental([set('c', '1')], repaired.revision, 9);
    await repaired.close();
    expect(content(await open())).toMatchObject({ a: '1', c: '1' });
  });

  it('always opens, whatever bytes are there', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (bytes, ours) => {
      await writeFile(join(folder, 'checkpoint.1'), Buffer.concat([Buffer.from(ours ? 'CLEATcp\x01' : ''), bytes]));
      const checkpoint = await open();
      expect(checkpoint.known).toBe(false);
      await checkpoint.close();
    }), { numRuns: 60 });
  });

  it('says what to do when its folder cannot be used', async () => {
    await rm(folder, { recursive: true });
    await writeFile(folder, 'a file');
    await expect(open()).rejects.toThrow(/cannot open the checkpoint.*check/);
  });

  describe('with Secrets', () => {
    const secret: { resource: Resource; object: Secret } = { resource: secrets, object: { apiVersion: 'v1', kind: 'Secret', metadata: { namespace: 'default', name: 's' }, data: { password: 'aHVudGVyMg==' } } };
    const files = async (): Promise<string> => (await Promise.all((await generations()).map((name) => readFile(join(folder, name), 'utf8')))).join('');

    it('shows them to nobody who has its files alone', async () => {
      const changed: Secret = { ...secret.object, data: { password: 'Y2hhbmdlZA==' } };
      let checkpoint = await open();
      await checkpoint.complete([secret, entry('a', 'plain')], 1);
      await checkpoint.incremental([{ type: 'set', resource: secrets, object: changed }], 1, 2);
      expect(await files()).toContain('plain');
      expect(await files()).not.toMatch(/aHVudGVyMg|Y2hhbmdlZA|password/);
      expect((await stat(join(folder, 'key'))).mode & 0o777).toBe(0o600);
      checkpoint = await open();
      expect(checkpoint.get(secrets, 'default', 's')).toMatchObject({ data: { password: 'Y2hhbmdlZA==' } });
    });

    it.each<[string, () => Promise<void>]>([
      ['lost', () => rm(join(folder, 'key'))], ['damaged', () => truncate(join(folder, 'key'), 5)], ['exchanged', () => writeFile(join(folder, 'key'), Buffer.alloc(32, 7))],
    ])('goes on without them when the key was %s', async (_how, harm) => {
      await (await open()).complete([secret, entry('a', '1')], 1);
      await harm();
      let checkpoint = await open();
      expect([checkpoint.known, checkpoint.reliable, content(checkpoint), checkpoint.list(secrets)]).toEqual([true, false, { a: '1' }, []]);
      expect(logged.some(({ msg }) => msg.startsWith('secrets in the checkpoint cannot be decrypted'))).toBe(true);
      await checkpoint.complete([secret, entry('a', '1')], 2);
      checkpoint = await open();
      expect([checkpoint.reliable, checkpoint.list(secrets).length]).toEqual([true, 1]);
    });

    it('encrypts those that an earlier version left plain, with its next change', async () => {
      await (await open()).complete([], 1);
      const plain = Buffer.from(JSON.stringify({ type: 'snapshot', revision: 1, changes: [{ set: 'secrets', object: secret.object }] }));
      await writeFile(join(folder, (await generations())[0] ?? ''), newFile(plain));
      const checkpoint = await open();
      expect(checkpoint.list(secrets)).toHaveLength(1);
      await checkpoint.incremental([set('a', '1')], 1, 2);
      expect(await readFile(join(folder, (await generations()).at(-1) ?? ''), 'utf8')).not.toContain('aHVudGVyMg');
    });
  });
});
