import { expect, it } from 'vitest';
import type { NetworkPolicy, Pod } from '#api/gen/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { Informer } from '../cache/types.ts';
import { PolicyIndex } from './policies.ts';

const informer = <T extends KubeObject>(...objects: readonly T[]): Informer<T> => ({
  get: (_, name) => objects.find(({ metadata }) => metadata?.name === name),
  list: () => objects,
  by: () => [],
  synced: () => Promise.resolve(),
  subscribe: (handler) => {
    for (const object of objects) handler({ object, old: undefined });
    return () => undefined;
  },
});

it('tells nodes of no address that is none', () => {
  const pod = (name: string, ...ips: string[]): Pod => ({
    metadata: { namespace: 'default', name, uid: name }, spec: { nodeName: 'n1', containers: [] }, status: { podIPs: ips.map((ip) => ({ ip })) },
  });
  const policy: NetworkPolicy = { metadata: { namespace: 'default', name: 'p' }, spec: { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] } };
  const pods = informer(pod('a', '10.42.0.2', '10.0.0.1 }; flush ruleset', 'fe80::1%eth0', 'fd00::2'), pod('b', 'drop'), { ...pod('c'), status: { podIPs: [{}] as never } });
  const index = new PolicyIndex({ networkPolicies: informer(policy), namespaces: informer({ metadata: { name: 'default' } }), pods }, () => undefined);
  index.start();
  const [resource = '', key = ''] = [...index.keysOf('n1')].find((one) => one.endsWith('.n1'))?.split(' ') ?? [];
  expect(index.objectFor('n1', resource, key)).toMatchObject({ pods: [{ uid: 'a', ips: ['10.42.0.2', 'fd00::2'] }] });
});
