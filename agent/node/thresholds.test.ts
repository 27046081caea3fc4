import { expect, it } from 'vitest';
import { nodePolicy, reservedProblem } from './policy.ts';
import { crossed, defaultThresholds, keptBack, parseReclaims, parseThresholds } from './thresholds.ts';

const gib = 1024 ** 3;
const readings = { cpuMillis: 1, memoryBytes: gib, memoryAvailableBytes: gib / 10, nodeIp: undefined, hugePages: {}, disk: { totalBytes: 100 * gib, availableBytes: 7 * gib, inodes: 0, freeInodes: 0 }, pids: { limit: 1000, used: 900 } };
const names = (text: string): string[] => crossed(parseThresholds(text), readings, () => false).map(({ signal }) => signal);

it('reads amounts and shares', () => {
  expect(names('memory.available<200Mi,nodefs.available<5%,pid.available<11%,nodefs.inodesFree<50%')).toEqual(['memory.available', 'pid.available']);
  expect(names('')).toEqual([]);
  expect(keptBack(parseThresholds('memory.available<10%,memory.available<1Mi'), 'memory.available', 1000)).toBe(1024 ** 2);
});

it('looks at the disk of the images where that is another one', () => {
  const full = { totalBytes: 100 * gib, availableBytes: gib, inodes: 100, freeInodes: 2 };
  const found = (imageDisk?: typeof full): string[] => crossed(defaultThresholds, { ...readings, pids: { limit: 9, used: 1 }, memoryAvailableBytes: gib, ...(imageDisk && { imageDisk }) }, () => false).map(({ signal }) => signal);
  expect(found()).toEqual([]);
  expect(found(full)).toEqual(['imagefs.available', 'imagefs.inodesFree']);
});

it.each([
  ['memory<1Gi', /no threshold; expected SIGNAL<AMOUNT with one of memory\.available/], ['memory.available<lots', /neither a quantity/], ['memory.available=1Gi', /no threshold/],
])('refuses %s', (text, message) => {
  expect(() => parseThresholds(text)).toThrow(message);
});

it('ends a pressure a fifth beyond its threshold, or what evictions have to bring beyond it', () => {
  const [mib, flags] = [1024 ** 2, { evictionHard: 'memory.available<100Mi,nodefs.available<10%', evictionSoft: '', evictionSoftGracePeriod: '', systemReserved: '', kubeReserved: '' }];
  const isPressed = (evictionMinimumReclaim: string, memoryAvailableBytes: number, had: boolean): boolean => crossed(nodePolicy({ ...flags, evictionMinimumReclaim }).thresholds, { ...readings, disk: { ...readings.disk, availableBytes: 50 * gib }, memoryAvailableBytes }, () => had).length > 0;
  expect([99, 101].map((n) => isPressed('', n * mib, false))).toEqual([true, false]);
  expect([119, 121].map((n) => isPressed('', n * mib, true))).toEqual([true, false]);
  expect([299, 301].map((n) => isPressed('memory.available=200Mi', n * mib, true))).toEqual([true, false]);
  expect([19, 21].map((percent) => crossed(nodePolicy({ ...flags, evictionMinimumReclaim: 'nodefs.available=10%' }).thresholds, { ...readings, memoryAvailableBytes: gib, disk: { ...readings.disk, availableBytes: percent * gib } }, () => true).length)).toEqual([1, 0]);
  for (const text of ['memory=1Gi', 'memory.available=lots', 'memory.available<1Gi']) expect(() => parseReclaims(text)).toThrow(/no amount to reclaim|neither a quantity/);
});

it('wants to know how long a soft one may last', () => {
  expect(parseThresholds('memory.available<1Gi', new Map([['memory.available', 90_000]]))).toMatchObject([{ graceMs: 90_000 }]);
  expect(() => parseThresholds('memory.available<1Gi', new Map())).toThrow(/needs a grace period/);
});

it('keeps for the system what is reserved, and refuses what cannot be', () => {
  const flags = { evictionHard: '', evictionSoft: 'memory.available<1Gi', evictionSoftGracePeriod: 'memory.available=1m30s', evictionMinimumReclaim: 'memory.available=100Mi', systemReserved: 'cpu=100m,memory=64Mi', kubeReserved: 'cpu=200m,pid=100' };
  expect(nodePolicy(flags)).toMatchObject({ reserved: { cpu: '300m', memory: '64Mi', pid: '100' } });
  expect(nodePolicy(flags).thresholds.at(-1)).toMatchObject({ signal: 'memory.available', graceMs: 90_000 });
  expect([reservedProblem('cpu=1'), reservedProblem('gpu=1'), reservedProblem('memory')?.slice(0, 16)]).toEqual([undefined, expect.stringContaining('expected amounts') as string, 'expected amounts']);
});
