import { expect, it } from 'vitest';
import { nodes } from '#api/kinds/resources.ts';
import { runControllers } from '#test/support/run-controllers.ts';
import { nextRange } from './reconcile.ts';

it.each([
  ['10.42.0.0/16', 24, [], '10.42.0.0/24'],
  ['10.42.0.0/16', 24, ['10.42.0.0/24', '10.42.1.0/24'], '10.42.2.0/24'],
  ['10.42.0.0/16', 24, ['10.42.1.0/24'], '10.42.0.0/24'],
  ['10.42.0.0/16', 24, ['10.42.0.0/23'], '10.42.2.0/24'],
  ['10.42.0.0/16', 24, ['10.42.0.128/25', 'fd00::/64', '192.168.0.0/24'], '10.42.1.0/24'],
  ['10.42.0.0/23', 24, ['10.42.0.0/24', '10.42.1.0/24'], undefined],
  ['10.42.7.9/22', 24, ['10.42.4.0/24'], '10.42.5.0/24'],
  ['240.0.0.0/8', 30, [], '240.0.0.0/30'],
  ['fd42:1:2:4200::/56', 64, ['10.42.0.0/24', 'fd42:1:2:4200::/64'], 'fd42:1:2:4201::/64'],
  ['fd42::/48', 64, [], 'fd42::/64'],
])('cuts from %s ranges of /%i beside %j: %s', (cidr, mask, used, expected) => {
  expect(nextRange(cidr, mask, used)).toBe(expected);
});

it('gives a node of one family a range of the other when the cluster gets it, and keeps what it has first', async () => {
  const lab = runControllers(['node-ipam'], { config: { podCidr: '10.42.0.0/16,fd42::/56' } });
  await lab.api.create(nodes, { metadata: { name: 'a' }, spec: { podCIDR: '10.42.7.0/24', podCIDRs: ['10.42.7.0/24'] } });
  await lab.api.create(nodes, { metadata: { name: 'b' } });
  await lab.start();
  expect(lab.api.all(nodes).map((node) => node.spec?.podCIDRs)).toEqual([['10.42.7.0/24', 'fd42::/64'], ['10.42.0.0/24', 'fd42:0:0:1::/64']]);
  await lab.stop();
});

it('refuses a range that is too small', () => {
  expect(() => nextRange('10.42.0.0/25', 24, [])).toThrow(/choose a larger/);
});

it('gives ranges once, says when there are none, and gives again what is free again', async () => {
  const lab = runControllers(['node-ipam'], { config: { podCidr: '10.42.0.0/23' } });
  for (const name of ['a', 'b', 'c']) await lab.api.create(nodes, { metadata: { name } });
  await lab.start();
  const ranges = (): unknown[] => lab.api.all(nodes).map((node) => node.spec?.podCIDRs);
  expect(ranges()).toEqual([['10.42.0.0/24'], ['10.42.1.0/24'], undefined]);
  expect(lab.api.recorded.join()).toContain('CIDRNotAvailable');
  await lab.api.delete(nodes, undefined, 'a');
  await lab.clock.advance(0);
  expect(ranges()).toEqual([['10.42.1.0/24'], ['10.42.0.0/24']]);
  await lab.stop();
});
