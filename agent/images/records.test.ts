import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { silentLog } from '#common/log.ts';
import { ImageRecords } from './records.ts';

let folder: string;
beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'image-records-')); });
afterEach(() => rm(folder, { recursive: true, force: true }));
const open = (): Promise<ImageRecords> => ImageRecords.open(join(folder, 'images.json'), silentLog);

it('remembers which images are not made for every host, until they are gone', async () => {
  const records = await open();
  const only = { image: 'registry.local/only', architectures: ['arm64'] };
  await records.noteMadeFor('registry.local/only:latest', only);
  await records.noteMadeFor('registry.local/all:1', { image: 'registry.local/all:1', architectures: ['amd64', 'arm64', 's390x'] });
  expect(records.madeFor).toEqual([only]);
  expect((await open()).madeFor).toEqual([only]);
  await records.forget(['registry.local/only:latest']);
  expect((await open()).madeFor).toEqual([]);
});

it('takes back what a later build has put right, and tells of fifty at most', async () => {
  const records = await open();
  for (let i = 0; i < 55; i++) await records.noteMadeFor(`r/i:${String(i)}`, { image: `r/i:${String(i)}`, architectures: ['amd64'] });
  expect(records.madeFor.map(({ image }) => image)).toEqual(Array.from({ length: 50 }, (_, i) => `r/i:${String(i + 5)}`));
  await records.noteMadeFor('r/i:54', { image: 'r/i:54', architectures: ['amd64', 'arm64'] });
  expect(records.madeFor).toHaveLength(49);
});

it.each(['{"madeFor":[1]}', '{"madeFor":{"a":1,"b":{"image":2}}}', 'no JSON'])('makes nothing of %s', async (text) => {
  await writeFile(join(folder, 'images.json'), text);
  expect((await open()).madeFor).toEqual([]);
});
