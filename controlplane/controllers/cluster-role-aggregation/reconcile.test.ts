import { expect, it } from 'vitest';
import type { ClusterRole } from '#api/gen/types.ts';
import { reconcileAggregation } from './reconcile.ts';

const rule = (resource: string) => ({ verbs: ['get'], apiGroups: [''], resources: [resource] });
const part = (name: string, label: string, ...resources: string[]): ClusterRole => ({ metadata: { name, labels: { [label]: 'true' } }, rules: resources.map(rule) });
const view = (...resources: string[]): ClusterRole => ({
  metadata: { name: 'view', labels: { a: 'true' } }, aggregationRule: { clusterRoleSelectors: [{ matchLabels: { a: 'true' } }, { matchLabels: { b: 'true' } }] }, rules: resources.map(rule),
});
const rulesOf = (role: ClusterRole, all: ClusterRole[]): unknown => reconcileAggregation(role, all).map((action) => action.type === 'update' && (action.object as ClusterRole).rules);

it('gathers the rules of roles by name, each once, and not its own', () => {
  expect(rulesOf(view('old'), [part('z', 'a', 'pods'), view('old'), part('y', 'a', 'nodes', 'pods'), part('x', 'b', 'secrets'), part('w', 'c', 'events')])).toEqual([[rule('nodes'), rule('pods'), rule('secrets')]]);
});

it('writes nothing when nothing changed, and nothing for roles that do not aggregate', () => {
  expect(reconcileAggregation(view('pods'), [part('z', 'a', 'pods')])).toEqual([]);
  expect(reconcileAggregation(part('z', 'a', 'pods'), [part('y', 'a', 'nodes')])).toEqual([]);
  expect(reconcileAggregation(undefined, [])).toEqual([]);
});

it('takes rules back with the role that gave them', () => {
  expect(rulesOf(view('pods'), [])).toEqual([[]]);
});
