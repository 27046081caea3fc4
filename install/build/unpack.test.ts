import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { unpack, type Carried } from './unpack.ts';

const files = new Map([['a.json', '{}'], ['deep/er/b.node', 'code']]);
const carried: Carried = { names: () => [...files.keys()], read: (name) => Buffer.from(files.get(name) ?? '') };
const contentsOf = (folder: string): string[] => [...files.keys()].map((name) => readFileSync(join(folder, name), 'utf8'));

const temporaryDirectory = (): string => mkdtempSync(join(tmpdir(), 'unpack-'));

describe('unpack', () => {
  it('writes everything once, for all who come later', () => {
    const cache = join(temporaryDirectory(), 'cache');
    const folder = unpack(carried, 'v1', cache);
    expect(folder).toBe(join(cache, 'v1'));
    expect(contentsOf(folder)).toEqual([...files.values()]);
    const before = statSync(join(folder, 'a.json')).mtimeMs;
    expect(unpack(carried, 'v1', cache)).toBe(folder);
    expect(statSync(join(folder, 'a.json')).mtimeMs).toBe(before);
    expect(readdirSync(cache)).toEqual(['v1']);
  });

  it('writes anew what is not whole', () => {
    const cache = temporaryDirectory();
    const folder = unpack(carried, 'v1', cache);
    writeFileSync(join(folder, 'deep/er/b.node'), 'co');
    expect(contentsOf(unpack(carried, 'v1', cache))).toEqual([...files.values()]);
  });

  it.each([['the cache', ''], ['the folder', 'v1']])('does not trust %s when others can write there', (_, which) => {
    const cache = join(temporaryDirectory(), 'cache');
    mkdirSync(join(cache, 'v1'), { recursive: true });
    for (const [name, text] of files) {
      mkdirSync(join(cache, 'v1', name, '..'), { recursive: true });
      writeFileSync(join(cache, 'v1', name), text.replaceAll(/./g, 'x'));
    }
    chmodSync(join(cache, which), 0o777);
    const folder = unpack(carried, 'v1', cache);
    expect(contentsOf(folder)).toEqual([...files.values()]);
    if (which === '') expect(folder.startsWith(cache)).toBe(false);
  });

  it('takes a place of its own where the cache cannot be written', () => {
    const file = join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    const folder = unpack(carried, 'v1', join(file, 'cache'));
    expect(existsSync(join(folder, 'a.json'))).toBe(true);
  });
});
