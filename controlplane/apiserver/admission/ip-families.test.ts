import { expect, it } from 'vitest';
import type { ServiceSpec } from '#api/gen/types.ts';
import { settleIpFamilies } from './ip-families.ts';

const selector = { app: 'web' };

it.each<[string, ServiceSpec, string, string[]]>([
  ['nothing said', { selector }, 'SingleStack', ['IPv4']],
  ['dual stack where it can be had', { selector, ipFamilyPolicy: 'PreferDualStack' }, 'PreferDualStack', ['IPv4']],
  ['the family that there is', { selector, ipFamilies: ['IPv4'] }, 'SingleStack', ['IPv4']],
  ['headless', { selector, clusterIP: 'None' }, 'SingleStack', ['IPv4']],
  ['headless, with endpoints made by hand', { clusterIP: 'None' }, 'RequireDualStack', ['IPv4', 'IPv6']],
  ['headless, with endpoints of one family made by hand', { clusterIP: 'None', ipFamilyPolicy: 'SingleStack' }, 'SingleStack', ['IPv4']],
])('takes %s', (_, spec, policy, families) => {
  expect(settleIpFamilies(spec)).toEqual([]);
  expect([spec.ipFamilyPolicy, spec.ipFamilies]).toEqual([policy, families]);
});

it.each<[string, ServiceSpec, string, string[]]>([
  ['nothing said', { selector }, 'SingleStack', ['IPv4']],
  ['dual stack where it can be had', { selector, ipFamilyPolicy: 'PreferDualStack' }, 'PreferDualStack', ['IPv4', 'IPv6']],
  ['dual stack, the other family first', { selector, ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv6'] }, 'RequireDualStack', ['IPv6', 'IPv4']],
  ['one address by name', { selector, clusterIP: 'fd00::1' }, 'SingleStack', ['IPv6']],
  ['two addresses by name', { selector, clusterIP: '10.43.0.7', clusterIPs: ['10.43.0.7', 'fd00::1'] }, 'RequireDualStack', ['IPv4', 'IPv6']],
  ['headless', { selector, clusterIP: 'None', ipFamilyPolicy: 'PreferDualStack' }, 'PreferDualStack', ['IPv4', 'IPv6']],
])('takes, in a dual-stack cluster, %s', (_, spec, policy, families) => {
  expect(settleIpFamilies(spec, ['IPv4', 'IPv6'])).toEqual([]);
  expect([spec.ipFamilyPolicy, spec.ipFamilies]).toEqual([policy, families]);
});

it('changes no Service because the cluster did, and follows one that says so', () => {
  const single: ServiceSpec = { selector, type: 'ClusterIP', clusterIP: '10.43.0.7', clusterIPs: ['10.43.0.7'], ipFamilies: ['IPv4'], ipFamilyPolicy: 'PreferDualStack' };
  const same = structuredClone(single);
  expect(settleIpFamilies(same, ['IPv4', 'IPv6'], single)).toEqual([]);
  expect(same).toEqual(single);
  const wider = { ...structuredClone(single), ipFamilyPolicy: 'RequireDualStack' };
  expect(settleIpFamilies(wider, ['IPv4', 'IPv6'], single)).toEqual([]);
  expect(wider.ipFamilies).toEqual(['IPv4', 'IPv6']);
  const dual: ServiceSpec = { ...wider, clusterIPs: ['10.43.0.7', 'fd00::7'] };
  const narrower = { ...structuredClone(dual), ipFamilyPolicy: 'SingleStack' };
  expect(settleIpFamilies(narrower, ['IPv4', 'IPv6'], dual)).toEqual([]);
  expect([narrower.clusterIPs, narrower.ipFamilies]).toEqual([['10.43.0.7'], ['IPv4']]);
});

it.each<[string, ServiceSpec, [string, string][]]>([
  ['an address of another family than said', { selector, ipFamilies: ['IPv4'], clusterIP: 'fd00::1', clusterIPs: ['fd00::1'] }, [['spec.clusterIPs[0]', 'Invalid value: "fd00::1": expected an IPv4 value as indicated by `ipFamilies[0]`']]],
  ['dual stack', { selector, ipFamilyPolicy: 'RequireDualStack' }, [['spec.ipFamilyPolicy', 'Invalid value: "RequireDualStack": Cluster is not configured for dual stack services']]],
  ['a family that there is not', { selector, ipFamilies: ['IPv6'] }, [['spec.ipFamilies[0]', 'Invalid value: "IPv6": not configured on this cluster']]],
  ['an address of such a family', { selector, clusterIP: 'fd00::1' }, [['spec.ipFamilies[0]', 'Invalid value: "IPv6": not configured on this cluster']]],
  ['two families at once', { selector, ipFamilies: ['IPv4', 'IPv6'] }, [['spec.ipFamilyPolicy', 'Invalid value: "RequireDualStack": Cluster is not configured for dual stack services'], ['spec.ipFamilies[1]', 'Invalid value: "IPv6": not configured on this cluster']]],
  ['two families for a single stack', { selector, ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv4', 'IPv6'] }, [['spec.ipFamilyPolicy', 'Invalid value: "SingleStack": must be \'RequireDualStack\' or \'PreferDualStack\' when multiple \'ipFamilies\' are specified']]],
])('refuses %s', (_, spec, errors) => {
  expect(settleIpFamilies(spec).map(({ field, message }) => [field, message])).toEqual(errors);
});
