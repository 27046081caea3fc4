import { describe, expect, it } from 'vitest';
import { checkCidr, checkDomain, checkIp, checkRanges, hostSettings } from './host-settings.ts';

describe('host settings', () => {
  it.each(['10.42.0.0/16', '192.168.4.0/22', '10.0.0.0/8', '10.43.7.4/30'])('takes the range %s', (value) => {
    expect(checkCidr(value)).toBeUndefined();
  });
  it.each(['', '10.42.0.0', '10.42.0.0/31', '10.42.0.0/0', '256.0.0.0/8', '10.42.0/16', '10.42.0.0/16/3', 'fd00::/64', '10.42.0.0/x'])('refuses the range "%s"', (value) => {
    expect(checkCidr(value)).toBe('expected an IPv4 range such as 10.42.0.0/16');
  });
  it('says where a range begins', () => {
    expect(checkCidr('10.42.5.1/16')).toBe('that address is inside of the range; did you mean 10.42.0.0/16?');
    expect(checkCidr('192.168.7.0/22')).toContain('192.168.4.0/22');
  });
  it('wants a pod range with room for a node', () => {
    expect(hostSettings.podCidr.parse('10.42.0.0/24')).toBe('10.42.0.0/24');
    expect(() => hostSettings.podCidr.parse('10.42.0.0/25')).toThrow('too small: every node takes a /24 of it');
  });
  it('refuses ranges that overlap', () => {
    expect(() => { checkRanges({ podCidr: '10.42.0.0/16', serviceCidr: '10.43.0.0/16' }); }).not.toThrow();
    expect(() => { checkRanges({ podCidr: '10.0.0.0/8', serviceCidr: '10.43.0.0/16' }); }).toThrow('--pod-cidr 10.0.0.0/8 and --service-cidr 10.43.0.0/16 overlap');
    expect(() => { checkRanges({ podCidr: '192.168.0.0/24', serviceCidr: '192.0.0.0/4' }); }).toThrow('overlap');
  });
  it('takes one range of each family', () => {
    expect(hostSettings.podCidr.parse('10.42.0.0/16,fd42::/56')).toBe('10.42.0.0/16,fd42::/56');
    expect(hostSettings.serviceCidr.parse('fd43::/112,10.43.0.0/16')).toBe('fd43::/112,10.43.0.0/16');
    expect(hostSettings.podCidr.parse('fd42:0:0:4200::/56')).toBe('fd42:0:0:4200::/56');
    for (const wrong of ['fd42::/65', 'fd42::1/56', 'fd42:0:0:4210::/56', '10.42.0.0/16,10.44.0.0/16', 'fd42::/56,fd44::/56', '10.42.0.0/16,', '10.42.0.0/16,fd42::/56,fd44::/56', 'fd42::/x']) expect(() => hostSettings.podCidr.parse(wrong), wrong).toThrow();
    expect(() => hostSettings.serviceCidr.parse('fd43::/126')).toThrow('/64 to /124');
    expect(() => { checkRanges({ podCidr: '10.42.0.0/16,fd42::/56', serviceCidr: '10.43.0.0/16,fd42:0:0:1::/112' }); }).toThrow('overlap');
    expect(() => { checkRanges({ podCidr: '10.42.0.0/16,fd42::/56', serviceCidr: '10.43.0.0/16' }); }).toThrow('IPv4 and IPv6');
    expect(() => { checkRanges({ podCidr: '10.42.0.0/16,fd42::/56', serviceCidr: '10.43.0.0/16,fd43::/112' }); }).not.toThrow();
  });
  it('knows names and addresses', () => {
    expect([checkDomain('cluster.local'), checkDomain('a'), checkIp('10.0.0.1'), checkIp('fd00::1')]).toEqual([undefined, undefined, undefined, undefined]);
    for (const name of ['', 'Bad', 'a_b', '-a', 'a.', 'a..b', 'x'.repeat(254)]) expect(checkDomain(name)).toContain('expected lower case letters');
    for (const address of ['', 'banana', 'http://x', '10.0.0', '10.0.0.1:80']) expect(checkIp(address)).toContain('expected an IP address');
  });
});
