import { expect, it } from 'vitest';
import { rangesFrom, withIpv6 } from './ranges.ts';

const ipv4 = { podCidr: '10.42.0.0/16', serviceCidr: '10.43.0.0/16', clusterDns: '10.43.0.10' };

it('adds a unique local network once, and keeps it', () => {
  const dual = withIpv6(ipv4, undefined, '0a0b00ff01');
  expect(dual).toEqual({ ...ipv4, podCidr: '10.42.0.0/16,fd0a:b00:ff01:4200::/56', serviceCidr: '10.43.0.0/16,fd0a:b00:ff01:4300::/112' });
  expect(withIpv6(ipv4, dual, 'ffffffffff')).toEqual(dual);
  expect(withIpv6(ipv4, ipv4, '0a0b00ff01')).toEqual(dual);
  expect(withIpv6({ ...ipv4, podCidr: '10.42.0.0/16,fd42::/56' }, dual, 'ffffffffff').podCidr).toBe('10.42.0.0/16,fd42::/56');
});

it('takes only ranges from what is stored', () => {
  expect(rangesFrom({ data: { ...ipv4 } })).toEqual(ipv4);
  for (const data of [undefined, {}, { ...ipv4, podCidr: '' }, { ...ipv4, serviceCidr: '10.43.0.0/16,x' }, { ...ipv4, clusterDns: 'dns' }]) expect(rangesFrom(data && { data })).toBeUndefined();
});
