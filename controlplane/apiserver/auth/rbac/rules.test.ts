import { describe, expect, it } from 'vitest';
import type { PolicyRule, Subject } from '#api/gen/types.ts';
import type { Attributes } from '../types.ts';
import { describeRights, missingRights, ruleAllows, subjectApplies } from './rules.ts';

const jane = { name: 'jane', groups: ['dev', 'system:authenticated'] };

function asks(verb: string, what: string, name?: string): Attributes {
  if (what.startsWith('/')) return { user: jane, verb, path: what };
  const [resource = '', subresource] = what.split('/');
  const [plural = '', ...group] = resource.split('.');
  return { user: jane, verb, resource: { group: group.join('.'), version: 'v1', plural, subresource, namespace: 'default', name } };
}

function rule(verbs: string, groups: string, resources: string, names?: string): PolicyRule {
  return { verbs: verbs.split(','), apiGroups: groups.split(','), resources: resources.split(','), ...(names !== undefined && { resourceNames: names.split(',') }) };
}

describe('a rule', () => {
  it.each<[PolicyRule, Attributes, boolean]>([
    [rule('get,list', '', 'pods'), asks('get', 'pods', 'a'), true],
    [rule('get,list', '', 'pods'), asks('delete', 'pods', 'a'), false],
    [rule('*', '', 'pods'), asks('delete', 'pods', 'a'), true],
    [rule('get', '', 'pods'), asks('get', 'pods.metrics.k8s.io', 'a'), false],
    [rule('get', '*', 'pods'), asks('get', 'pods.metrics.k8s.io', 'a'), true],
    [rule('get', '', 'pods'), asks('get', 'pods/log', 'a'), false],
    [rule('get', '', 'pods/log'), asks('get', 'pods/log', 'a'), true],
    [rule('get', '', 'pods/log'), asks('get', 'pods', 'a'), false],
    [rule('get', '', '*'), asks('get', 'pods/log', 'a'), true],
    [rule('update', '*', '*/scale'), asks('update', 'deployments.apps/scale', 'a'), true],
    [rule('update', '*', '*/scale'), asks('update', 'deployments.apps/status', 'a'), false],
    [rule('update', '*', '*/scale'), asks('update', 'deployments.apps', 'a'), false],
    [rule('get', '', 'secrets', 'one,two'), asks('get', 'secrets', 'two'), true],
    [rule('get', '', 'secrets', 'one,two'), asks('get', 'secrets', 'three'), false],
    [rule('list', '', 'secrets', 'one'), asks('list', 'secrets'), false],
    [{ verbs: ['get'], nonResourceURLs: ['/logs/*'] }, asks('get', '/logs/a/b'), true],
    [{ verbs: ['get'], nonResourceURLs: ['/logs/*'] }, asks('get', '/log'), false],
    [{ verbs: ['get'], nonResourceURLs: ['/metrics'] }, asks('post', '/metrics'), false],
    [{ verbs: ['*'], nonResourceURLs: ['*'] }, asks('get', '/anything'), true],
    [{ verbs: ['*'], nonResourceURLs: ['*'] }, asks('get', 'pods', 'a'), false],
    [rule('*', '*', '*'), asks('get', '/metrics'), false],
  ])('%j for %j: %s', (given, attributes, allowed) => {
    expect(ruleAllows(given, attributes)).toBe(allowed);
  });

  it.each<[Subject, string, boolean]>([
    [{ kind: 'User', name: 'jane' }, '', true],
    [{ kind: 'User', name: 'dev' }, '', false],
    [{ kind: 'Group', name: 'dev' }, '', true],
    [{ kind: 'Group', name: 'jane' }, '', false],
    [{ kind: 'ServiceAccount', name: 'jane', namespace: 'a' }, '', false],
  ])('for %j', (subject, namespace, applies) => {
    expect(subjectApplies(subject, jane, namespace)).toBe(applies);
  });

  it('is for a service account of its own namespace when it names none', () => {
    const account = { name: 'system:serviceaccount:ci:builder', groups: [] };
    expect(subjectApplies({ kind: 'ServiceAccount', name: 'builder' }, account, 'ci')).toBe(true);
    expect(subjectApplies({ kind: 'ServiceAccount', name: 'builder' }, account, 'other')).toBe(false);
    expect(subjectApplies({ kind: 'ServiceAccount', name: 'builder' }, account, '')).toBe(false);
    expect(subjectApplies({ kind: 'ServiceAccount', name: 'builder', namespace: 'ci' }, account, '')).toBe(true);
  });
});

describe('rights', () => {
  it.each<[PolicyRule[], PolicyRule[], boolean]>([
    [[rule('get', '', 'pods')], [rule('get', '', 'pods')], true],
    [[rule('get', '', 'pods'), rule('list', '', 'pods')], [rule('get,list', '', 'pods')], true],
    [[rule('get', '', 'pods')], [rule('get,delete', '', 'pods')], false],
    [[rule('*', '*', '*')], [rule('get', 'apps', 'deployments/scale', 'a')], true],
    [[rule('get', '', 'pods', 'a')], [rule('get', '', 'pods')], false],
    [[rule('get', '', 'pods', 'a,b')], [rule('get', '', 'pods', 'b')], true],
    [[rule('get', '', '*/scale')], [rule('get', '', 'pods/scale')], true],
    [[rule('get', '', 'pods')], [rule('get', '', '*')], false],
    [[rule('*', '*', '*')], [{ verbs: ['get'], nonResourceURLs: ['/metrics'] }], false],
    [[{ verbs: ['get'], nonResourceURLs: ['/logs/*'] }], [{ verbs: ['get'], nonResourceURLs: ['/logs/a', '/logs/b/*'] }], true],
    [[{ verbs: ['get'], nonResourceURLs: ['/logs'] }], [{ verbs: ['get'], nonResourceURLs: ['/logs/*'] }], false],
  ])('%j hold %j: %s', (held, wanted, all) => {
    expect(missingRights(held, wanted).length === 0).toBe(all);
  });

  it('are told in Kubernetes\' notation, verbs of one thing together', () => {
    const missing = missingRights([], [rule('get,list', '', 'pods'), rule('get', 'apps', 'deployments', 'web'), { verbs: ['get'], nonResourceURLs: ['/metrics'] }]);
    expect(describeRights(missing)).toEqual([
      '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}',
      '{APIGroups:["apps"], Resources:["deployments"], ResourceNames:["web"], Verbs:["get"]}',
      '{NonResourceURLs:["/metrics"], Verbs:["get"]}',
    ]);
  });
});
