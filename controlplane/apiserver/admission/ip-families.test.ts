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

it.each<[string, ServiceSpec, [string, string][]]>([
  ['dual stack', { selector, ipFamilyPolicy: 'RequireDualStack' }, [['spec.ipFamilyPolicy', 'Invalid value: "RequireDualStack": Cluster is not configured for dual stack services']]],
  ['a family that there is not', { selector, ipFamilies: ['IPv6'] }, [['spec.ipFamilies[0]', 'Invalid value: "IPv6": not configured on this cluster']]],
  ['an address of such a family', { selector, clusterIP: 'fd00::1' }, [['spec.ipFamilies[0]', 'Invalid value: "IPv6": not configured on this cluster']]],
  ['two families at once', { selector, ipFamilies: ['IPv4', 'IPv6'] }, [['spec.ipFamilyPolicy', 'Invalid value: "RequireDualStack": Cluster is not configured for dual stack services'], ['spec.ipFamilies[1]', 'Invalid value: "IPv6": not configured on this cluster']]],
  ['two families for a single stack', { selector, ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv4', 'IPv6'] }, [['spec.ipFamilyPolicy', 'Invalid value: "SingleStack": must be \'RequireDualStack\' or \'PreferDualStack\' when multiple \'ipFamilies\' are specified']]],
])('refuses %s', (_, spec, errors) => {
  expect(settleIpFamilies(spec).map(({ field, message }) => [field, message])).toEqual(errors);
});
