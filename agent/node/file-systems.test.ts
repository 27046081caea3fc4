import { stat, statfs } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { deviceOf, fileSystemsOf } from './file-systems.ts';

const mounts = [
  '22 1 0:21 / /proc rw,relatime - proc proc rw', '29 1 179:99999 / / rw,relatime shared:1 master:2 - ext4 /dev/root rw', '30 29 0:45 / /data rw - overlay overlay rw',
].join('\n');

it('knows what a file system is on, by the numbers of the device or as it was mounted', () => {
  // As the C library has both numbers in one: the lower eight bits of the minor, twelve of the major, the rest of the minor.
  const dev = (major: number, minor: number): number => (minor & 0xff) + (major << 8) + (Math.floor(minor / 256) * 2 ** 20);
  expect([deviceOf(dev(0, 45), mounts), deviceOf(dev(179, 99_999), mounts), deviceOf(dev(0, 46), mounts)]).toEqual(['overlay', '/dev/root', undefined]);
});

it('tells of each file system once, and nothing of what is not there', async () => {
  const found = await fileSystemsOf(['/', import.meta.dirname, '/proc/self', '/none/at/all']);
  expect(found.map(({ device }) => device)).toEqual([...new Set(found.map(({ device }) => device))]);
  const [{ blocks, bsize, files }, { dev }, own] = [await statfs('/'), await stat('/'), await stat(import.meta.dirname)];
  expect(found[0]).toMatchObject({ capacityBytes: blocks * bsize, inodes: files });
  expect(found).toHaveLength(dev === own.dev ? 2 : 3);
  expect(found.at(-1)?.device).toBe('proc');
});
