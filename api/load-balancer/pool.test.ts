import { describe, expect, it } from 'vitest';
import { AddressPool } from './pool.ts';

describe('a pool of addresses', () => {
  it.each([
    [['10.0.0.250-10.0.1.1'], false, ['10.0.0.250'], '10.0.0.251'],
    [['10.0.0.255-10.0.1.1'], false, ['10.0.0.255'], '10.0.1.0'],
    [['192.168.1.0/30'], false, ['192.168.1.1'], '192.168.1.2'],
    [['192.168.1.0/30'], false, ['192.168.1.1', '192.168.1.2'], undefined],
    [['192.168.1.7/32', '192.168.2.7'], false, ['192.168.1.7'], '192.168.2.7'],
    [['10.0.0.1', 'fd00::/120'], true, ['fd00::'], 'fd00::1'],
    [['1:0:0:2::3'], true, [], '1:0:0:2::3'],
    [['10.0.0.1'], true, [], undefined],
  ] as const)('%j gives %s, after %j: %s', (texts, isV6, taken, expected) => { expect(AddressPool.parse(texts).next(isV6, new Set(taken))).toBe(expected); });

  it('knows its own', () => {
    const pool = AddressPool.parse(['10.0.0.4-10.0.0.6', 'fd00::/64']);
    expect(['10.0.0.3', '10.0.0.4', '10.0.0.6', '10.0.0.7', 'fd00::ffff', 'fd01::', '::a00:4', 'x'].filter((ip) => pool.has(ip))).toEqual(['10.0.0.4', '10.0.0.6', 'fd00::ffff']);
  });

  it.each([[''], ['10.0.0.1-'], ['10.0.0.9-10.0.0.1'], ['10.0.0.1-fd00::1'], ['10.0.0.0/33'], ['10.0.0.1-10.0.0.2-10.0.0.3']])('refuses %j', (text) => { expect(() => AddressPool.parse([text])).toThrow(/range/); });
  it('refuses ranges that overlap', () => { expect(() => AddressPool.parse(['10.0.0.0/24', '10.0.0.7'])).toThrow('overlap'); });
});
