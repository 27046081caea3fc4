import { describe, expect, it } from 'vitest';
import { planUpgrade, versionOf, type Host } from './plan.ts';

const host = (name: string, more: Partial<Host> = {}): Host => ({ name, address: name, architecture: 'amd64', version: '1', ready: true, ...more });
const fleet = (count: number): Host[] => Array.from({ length: count }, (_, i) => host(`n${String(i).padStart(2, '0')}`));
const options = { version: '2', architectures: new Set(['amd64']), controlPlane: 'n03', canary: undefined, only: [] };
const sizes = (count: number, canary?: number): number[] => planUpgrade(fleet(count), { ...options, canary }).waves.map((wave) => wave.length);

describe('a plan', () => {
  it("begins with the control plane's host, then one, then more, never more than a quarter", () => {
    expect(planUpgrade(fleet(5), options).waves.map((wave) => wave.map(({ name }) => name))).toEqual([['n03'], ['n00'], ['n01'], ['n02'], ['n04']]);
    expect(sizes(40)).toEqual([1, 1, 2, 4, 8, 10, 10, 4]);
    expect(sizes(0)).toEqual([]);
  });

  it('ends with the canaries when asked to', () => {
    expect(sizes(40, 1)).toEqual([1, 1]);
    expect(sizes(40, 3)).toEqual([1, 3]);
    expect(planUpgrade(fleet(40), { ...options, canary: 3 }).skipped).toHaveLength(36);
  });

  it('keeps to the hosts that are named', () => {
    expect(planUpgrade(fleet(9), { ...options, only: ['n07', 'n01'] })).toEqual({ waves: [[host('n01')], [host('n07')]], skipped: [] });
  });

  it('leaves out what cannot be done, and says why', () => {
    const { waves, skipped } = planUpgrade([host('a'), host('b', { version: '2' }), host('c', { ready: false }), host('d', { architecture: 'arm64' }), host('e', { upgradedBy: 'package' }), host('f', { version: '2', upgradedBy: 'package' })], options);
    expect(waves).toEqual([[host('a')]]);
    expect(skipped.map(({ host: { name }, why }) => `${name}: ${why}`)).toEqual(['b: it has 2', 'c: it is not Ready; run this again when it is', 'd: the release has no executable for arm64', expect.stringContaining('apt install ./cleat_VERSION_ARCH.deb'), 'f: it has 2']);
  });

  it("reads Cleat's version out of a node's", () => {
    expect([versionOf('v1.34.0+cleat.0.1.0'), versionOf('v1.34.0')]).toEqual(['0.1.0', 'v1.34.0']);
  });
});
