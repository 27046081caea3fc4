import { describe, expect, it } from 'vitest';
import { decide, defaultPolicy, parsePolicy, type AuditedFacts } from './policy.ts';

const facts = (change: Partial<AuditedFacts> = {}): AuditedFacts => ({
  user: { name: 'jane', groups: ['dev', 'system:authenticated'] }, verb: 'create', path: '/api/v1/namespaces/web/pods',
  resource: { group: '', plural: 'pods', subresource: undefined, namespace: 'web', name: undefined }, ...change,
});
const resource = (plural: string, subresource?: string, name?: string, group = ''): Partial<AuditedFacts> => ({ resource: { group, plural, subresource, namespace: 'web', name } });
const policy = (...rules: object[]) => parsePolicy({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules });
const levelOf = (rule: object, change: Partial<AuditedFacts> = {}): string => decide(policy({ level: 'Request', ...rule }), facts(change)).level;

describe('an audit policy', () => {
  it.each<[string, object, Partial<AuditedFacts>, boolean]>([
    ['everything', {}, {}, true],
    ['a user', { users: ['jane'] }, {}, true],
    ['another user', { users: ['joe'] }, {}, false],
    ['a group', { userGroups: ['dev'] }, {}, true],
    ['a verb', { verbs: ['create', 'update'] }, {}, true],
    ['another verb', { verbs: ['delete'] }, {}, false],
    ['a namespace', { namespaces: ['web'] }, {}, true],
    ['a namespace, of what has none', { namespaces: ['web'] }, { resource: undefined, path: '/version' }, false],
    ['a group of resources', { resources: [{ group: '' }] }, {}, true],
    ['another group', { resources: [{ group: 'apps' }] }, {}, false],
    ['a resource', { resources: [{ group: '', resources: ['pods'] }] }, {}, true],
    ['a resource, not its subresource', { resources: [{ group: '', resources: ['pods'] }] }, resource('pods', 'log', 'a'), false],
    ['a subresource', { resources: [{ group: '', resources: ['pods/log'] }] }, resource('pods', 'log', 'a'), true],
    ['all subresources', { resources: [{ group: '', resources: ['pods/*'] }] }, resource('pods', 'log', 'a'), true],
    ['a subresource of all', { resources: [{ group: '', resources: ['*/status'] }] }, resource('pods', 'status', 'a'), true],
    ['all of a group', { resources: [{ group: '', resources: ['*'] }] }, resource('pods', 'status', 'a'), true],
    ['a name', { resources: [{ group: '', resources: ['configmaps'], resourceNames: ['lock'] }] }, resource('configmaps', undefined, 'lock'), true],
    ['another name', { resources: [{ group: '', resources: ['configmaps'], resourceNames: ['lock'] }] }, resource('configmaps', undefined, 'key'), false],
    ['a path', { nonResourceURLs: ['/version'] }, { resource: undefined, path: '/version' }, true],
    ['paths', { nonResourceURLs: ['/healthz*'] }, { resource: undefined, path: '/healthz/ping' }, true],
    ['a path, not a resource', { nonResourceURLs: ['/api*'] }, {}, false],
  ])('matches %s', (_what, rule, change, matches) => {
    expect(levelOf(rule, change)).toBe(matches ? 'Request' : 'None');
  });

  it('goes by the first rule that matches', () => {
    const both = policy({ level: 'None', users: ['jane'] }, { level: 'Metadata', omitStages: ['RequestReceived'] });
    expect(decide(both, facts()).level).toBe('None');
    expect(decide(both, facts({ user: { name: 'joe', groups: [] } }))).toEqual({ level: 'Metadata', omitStages: new Set(['RequestReceived']), omitManagedFields: false });
    expect(decide(defaultPolicy, facts()).level).toBe('Metadata');
  });

  it.each<[unknown, string]>([
    ['text', 'the policy: must be an object'],
    [{ apiVersion: 'v1', kind: 'Policy', rules: [] }, 'apiVersion: must be audit.k8s.io/v1'],
    [{ apiVersion: 'audit.k8s.io/v1', kind: 'Policy' }, 'rules: must have at least one rule'],
    [{ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules: [{ level: 'All' }] }, 'rules[0].level: must be one of None, Metadata, Request, RequestResponse'],
    [{ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules: [{ level: 'None', verb: ['get'] }] }, 'rules[0]: has an unknown field "verb"'],
    [{ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules: [{ level: 'None', verbs: 'get' }] }, 'rules[0].verbs: must be a list'],
    [{ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules: [{ level: 'None', omitStages: ['Never'] }] }, 'rules[0].omitStages: "Never" is not one of'],
    [{ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules: [{ level: 'None', nonResourceURLs: ['/'], namespaces: ['a'] }] }, 'cannot apply to both'],
    [{ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules: [{ level: 'None', resources: [{ group: '', resourceNames: ['a'] }] }] }, 'requires at least one resource'],
  ])('refuses %j', (value, message) => {
    expect(() => parsePolicy(value)).toThrow(message);
  });
});
