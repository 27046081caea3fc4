import { describe, expect, it } from 'vitest';
import { splitServer, upstreamsOf } from './upstreams.ts';

const own = new Set(['10.43.0.10']);
const settings = (data: Record<string, string>): object => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'kube-dns' }, data });

describe('whom to ask', () => {
  it.each([
    ['the host\'s, but not itself', ['127.0.0.53', '10.43.0.10', '1.1.1.1'], undefined, ['127.0.0.53', '1.1.1.1'], 1],
    ['three at most', ['1.1.1.1', '2.2.2.2', '3.3.3.3', '4.4.4.4'], undefined, ['1.1.1.1', '2.2.2.2', '3.3.3.3'], 0],
    ['those that are named', ['1.1.1.1'], settings({ upstreamNameservers: '["9.9.9.9:5353", "[fd00::1]:53", "nonsense", "10.43.0.10:54"]' }), ['9.9.9.9:5353', '[fd00::1]:53'], 2],
    ['the host\'s when the setting is broken', ['1.1.1.1'], settings({ upstreamNameservers: '"9.9.9.9"' }), ['1.1.1.1'], 1],
    ['nobody', [], settings({ upstreamNameservers: '{' }), [], 1],
  ] as const)('%s', (_, host, configMap, servers, problems) => {
    const found = upstreamsOf(host, configMap, own);
    expect(found.servers).toEqual(servers);
    expect(found.problems).toHaveLength(problems);
  });

  it('knows stub domains', () => {
    const found = upstreamsOf([], settings({ stubDomains: '{"Corp.": ["10.0.0.1"], "x": "y"}' }), own);
    expect([found.stubDomains.size, found.problems.length]).toEqual([0, 1]);
    expect([...upstreamsOf([], settings({ stubDomains: '{"Corp.": ["10.0.0.1"]}' }), own).stubDomains]).toEqual([['corp', ['10.0.0.1']]]);
  });
});

it.each([['1.2.3.4', '1.2.3.4', 53], ['1.2.3.4:5', '1.2.3.4', 5], ['fd00::1', 'fd00::1', 53], ['[fd00::1]:5', 'fd00::1', 5]])('reads %s', (server, address, port) => {
  expect(splitServer(server)).toEqual({ address, port });
});
