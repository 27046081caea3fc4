import { expect, test } from 'vitest';
import type { Affinity, PodAffinityTerm } from '#api/gen/types.ts';
import { cluster, filterWith, node, pod, scoreWith } from '../../testing.ts';
import { interPodAffinity } from './plugin.ts';

const host = 'kubernetes.io/hostname';
const zone = 'topology.kubernetes.io/zone';
const term = (app: string, extra: Partial<PodAffinityTerm> = {}): PodAffinityTerm => ({ topologyKey: host, labelSelector: { matchLabels: { app } }, ...extra });
const required = (...terms: PodAffinityTerm[]) => ({ requiredDuringSchedulingIgnoredDuringExecution: terms });
const preferred = (weight: number, podAffinityTerm: PodAffinityTerm) => ({ preferredDuringSchedulingIgnoredDuringExecution: [{ weight, podAffinityTerm }] });
const app = (name: string, affinity?: Affinity, namespace = 'default') => pod({ name, namespace, labels: { app: name }, spec: { affinity } });

const nodes = [node('a', { labels: { [zone]: 'x' } }), node('b', { labels: { [zone]: 'x' } }), node('c', { labels: { [zone]: 'y' } })];
const cache = cluster({ nodes, pods: { a: [app('db')], c: [app('far', undefined, 'other')] }, namespaces: { other: { team: 'blue' }, default: {} } });
const affinityReason = "node(s) didn't match pod affinity rules";
const antiReason = "node(s) didn't match pod anti-affinity rules";

test.each([
  ['nothing wished', app('web'), 'skip'],
  ['with, on the host', app('web', { podAffinity: required(term('db')) }), { b: affinityReason, c: affinityReason }],
  ['with, in the zone', app('web', { podAffinity: required(term('db', { topologyKey: zone })) }), { c: affinityReason }],
  ['with pods that are nowhere', app('web', { podAffinity: required(term('none')) }), { a: affinityReason, b: affinityReason, c: affinityReason }],
  ['with itself, as the first', app('web', { podAffinity: required(term('web')) }), {}],
  ['with pods of another namespace: own only', app('web', { podAffinity: required(term('far')) }), { a: affinityReason, b: affinityReason, c: affinityReason }],
  ['with pods of a named namespace', app('web', { podAffinity: required(term('far', { namespaces: ['other'] })) }), { a: affinityReason, b: affinityReason }],
  ['with pods of selected namespaces', app('web', { podAffinity: required(term('far', { namespaceSelector: { matchLabels: { team: 'blue' } } })) }), { a: affinityReason, b: affinityReason }],
  ['apart, by zone', app('web', { podAntiAffinity: required(term('db', { topologyKey: zone })) }), { a: antiReason, b: antiReason }],
])('filter: %s', (_name, incoming, refused) => {
  expect(filterWith(interPodAffinity(), incoming, cache)).toEqual(refused);
});

test('filter: pods already there keep others away', () => {
  const occupied = cluster({ nodes, pods: { a: [app('db', { podAntiAffinity: required(term('web')) })] } });
  expect(filterWith(interPodAffinity(), app('web'), occupied)).toEqual({ a: "node(s) didn't satisfy existing pods anti-affinity rules" });
});

test('score: preferred terms of the pod and of pods already there', () => {
  expect(scoreWith(interPodAffinity(), app('web', { podAffinity: preferred(10, term('db')) }), cache)).toEqual({ a: 100, b: 0, c: 0 });
  expect(scoreWith(interPodAffinity(), app('web', { podAntiAffinity: preferred(10, term('db', { topologyKey: zone })) }), cache)).toEqual({ a: 0, b: 0, c: 100 });
  const attracting = cluster({ nodes, pods: { b: [app('db', { podAffinity: preferred(5, term('web')) })] } });
  expect(scoreWith(interPodAffinity(), app('web'), attracting)).toEqual({ a: 0, b: 100, c: 0 });
  expect(scoreWith(interPodAffinity(), app('web'), cache)).toBe('skip');
});
