import { expect, test } from 'vitest';
import { cluster, filterWith, node, pod } from '../../testing.ts';
import { nodePorts } from './plugin.ts';

const reason = "node(s) didn't have free ports for the requested pod ports";
const port = (hostPort: number, hostIP?: string, protocol?: string) => ({ spec: { containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort, hostIP, protocol }] }] } });

test.each([
  ['no host port', pod(), 'skip'],
  ['another port', pod(port(81)), {}],
  ['the same port', pod(port(80)), { a: reason }],
  ['the same port, other protocol', pod(port(80, undefined, 'UDP')), {}],
  ['the same port, other address', pod(port(80, '10.0.0.2')), {}],
  ['the same port, all addresses', pod(port(80, '0.0.0.0')), { a: reason }],
  ['the same address', pod(port(80, '10.0.0.1')), { a: reason }],
  ['host network', pod({ spec: { hostNetwork: true, containers: [{ name: 'c', ports: [{ containerPort: 80 }] }] } }), { a: reason }],
])('%s', (_name, incoming, expected) => {
  const cache = cluster({ nodes: [node('a'), node('b')], pods: { a: [pod({ name: 'x', ...port(80, '10.0.0.1') })] } });
  expect(filterWith(nodePorts(), incoming, cache)).toEqual(expected);
});

test('a port is free again when its pod is gone', () => {
  const cache = cluster({ nodes: [node('a')], pods: { a: [pod({ name: 'x', hostPort: 80 })] } });
  cache.removePod('uid-x');
  expect(filterWith(nodePorts(), pod({ hostPort: 80 }), cache)).toEqual({});
});
