import { createServer, type AddressInfo } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { endpointSlices, services } from '#api/kinds/resources.ts';
import type { EndpointSlice, Service } from '#api/gen/types.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import { MemoryState } from '#test/support/memory-state.ts';
import { Proxy } from './proxy.ts';
import type { ProxyBackend, ProxyChange, ServicePort } from './types.ts';

class FakeBackend implements ProxyBackend {
  readonly name = 'fake';
  readonly calls: string[] = [];
  failures = 0;
  present = true;
  lacksSctp?: () => Promise<string | undefined>;
  async unusable(): Promise<undefined> { return Promise.resolve(undefined); }
  async replace(all: readonly ServicePort[]): Promise<void> { return this.#call(`replace ${all.map((p) => p.id).join(' ')}`); }
  async apply(change: ProxyChange): Promise<void> { return this.#call(`apply +${change.set.map((p) => p.id).join(' ')} -${change.removed.join(' ')}`); }
  async intact(): Promise<boolean> { return Promise.resolve(this.present); }
  async cleanup(): Promise<void> { return Promise.resolve(); }
  async #call(what: string): Promise<void> {
    this.calls.push(what);
    if (this.failures-- > 0) throw new Error('kernel says no');
    return Promise.resolve();
  }
}

const service = (name: string): Service => ({ metadata: { namespace: 'd', name }, spec: { clusterIP: '10.43.0.1', clusterIPs: ['10.43.0.1'], ports: [{ port: 80 }] } });

async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('Proxy', () => {
  const clock = new ManualClock();
  let state: MemoryState;
  let backend: FakeBackend;
  let proxy: Proxy;
  let events: string[];
  let stop: AbortController;
  let ended: Promise<void>;
  const begin = async (): Promise<void> => {
    ended = proxy.start(stop.signal);
    await clock.advance(0);
  };

  beforeEach(() => {
    state = new MemoryState();
    backend = new FakeBackend();
    events = [];
    proxy = new Proxy({ state, pods: { all: () => [], subscribe: () => () => undefined }, backend, events: { emit: (event) => { events.push(event.reason); } }, clock, log: silentLog, random: () => 0 }, { nodeName: 'n', minIntervalMs: 100, checkIntervalMs: 30_000 });
    stop = new AbortController();
  });
  afterEach(async () => {
    stop.abort();
    await ended;
  });

  it('begins with everything, then applies changes together', async () => {
    state.set(services, service('a'));
    await begin();
    expect(backend.calls).toEqual(['replace d/a:']);
    expect(proxy.failure).toBeUndefined();
    state.set(services, service('b'));
    state.remove(services, 'd', 'a');
    await clock.advance(100);
    expect(backend.calls.slice(1)).toEqual(['apply +d/b: -d/a:']);
    await clock.advance(60_000);
    state.set(services, service('c'));
    await clock.advance(0);
    expect(backend.calls.slice(2)).toEqual(['apply +d/c: -']);
  });

  it('routes an endpoint at once when it becomes ready soon after it came', async () => {
    const slice = (ready: boolean): EndpointSlice => ({
      metadata: { namespace: 'd', name: 'a-1', labels: { 'kubernetes.io/service-name': 'a' } }, addressType: 'IPv4', ports: [{ port: 8080 }], endpoints: [{ addresses: ['10.42.0.2'], conditions: { ready } }],
    });
    state.set(services, service('a'));
    await begin();
    await clock.advance(100);
    state.set(endpointSlices, slice(false));
    await clock.advance(0);
    state.set(endpointSlices, slice(true));
    await clock.advance(0);
    expect(backend.calls.slice(1)).toEqual(['apply +d/a: -']);
  });

  it('removes what the backend before it left, once its own rules are in place', async () => {
    const former = new FakeBackend();
    let cleaned = 0;
    former.cleanup = async () => { cleaned++; return cleaned === 1 ? Promise.reject(new Error('busy')) : Promise.resolve(); };
    backend.failures = 1;
    proxy = new Proxy({ state, pods: { all: () => [], subscribe: () => () => undefined }, backend, former: [former], events: { emit: ({ reason }) => { events.push(reason); } }, clock, log: silentLog, random: () => 0 }, { nodeName: 'n', minIntervalMs: 100, checkIntervalMs: 30_000 });
    await begin();
    expect(cleaned).toBe(0);
    await clock.advance(1000);
    expect(cleaned).toBe(1);
    // Services work all the same.
    expect([proxy.failure, events]).toEqual([undefined, ['FormerServiceRulesLeft']]);
    for (let i = 0; i < 3; i++) await clock.advance(30_000);
    expect([cleaned, events.length, backend.calls.length]).toEqual([2, 1, 2]);
  });

  it('waits until the state of a fresh node is known', async () => {
    state.known = false;
    await begin();
    await clock.advance(60_000);
    expect(backend.calls).toEqual([]);
    state.known = true;
    state.apply([]);
    await clock.advance(0);
    expect(backend.calls).toEqual(['replace ']);
  });

  it('replaces after a failed change, with back-off until it works', async () => {
    await begin();
    await clock.advance(100);
    backend.failures = 2;
    state.set(services, service('a'));
    await clock.advance(0);
    expect(proxy.failure).toBe('kernel says no');
    await clock.advance(500);
    await clock.advance(999);
    expect(backend.calls.slice(1)).toEqual(['apply +d/a: -', 'replace d/a:']);
    await clock.advance(1);
    expect(backend.calls.slice(3)).toEqual(['replace d/a:']);
    expect(proxy.failure).toBeUndefined();
  });

  it('answers load balancers while this host has endpoints and its rules are in place', async () => {
    const taken = createServer().listen(0);
    const nodePort = await freePort();
    const balanced = (name: string, healthCheckNodePort: number): Service => ({ ...service(name), spec: { ...service(name).spec, type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort } });
    const slice = (ready: boolean): EndpointSlice => ({
      metadata: { namespace: 'd', name: 'a-1', labels: { 'kubernetes.io/service-name': 'a' } }, addressType: 'IPv4',
      endpoints: [{ addresses: ['10.42.0.2'], nodeName: 'n', conditions: { ready } }, { addresses: ['10.42.0.3'], nodeName: 'n', conditions: { ready: false, serving: true, terminating: true } }, { addresses: ['10.42.1.2'], nodeName: 'other' }],
    });
    const ask = async (): Promise<unknown> => {
      const response = await fetch(`http://127.0.0.1:${String(nodePort)}/healthz`);
      return [response.status, await response.json()];
    };
    const answer = (localEndpoints: number, serviceProxyHealthy = true): unknown => ({ service: { namespace: 'd', name: 'a' }, localEndpoints, serviceProxyHealthy });
    state.set(services, balanced('a', nodePort));
    state.set(services, balanced('b', (taken.address() as AddressInfo).port));
    state.set(endpointSlices, slice(true));
    await begin();
    await eventually(async () => isDeepStrictEqual(await ask(), [200, answer(1)]), { what: 'an answer' });
    expect(events).toEqual(['FailedToStartServiceHealthcheck']);
    state.set(endpointSlices, slice(false));
    await clock.advance(100);
    await eventually(async () => isDeepStrictEqual(await ask(), [503, answer(0)]), { what: 'no endpoints' });
    await clock.advance(100);
    backend.failures = 1000;
    state.set(services, service('c'));
    state.set(endpointSlices, slice(true));
    await eventually(async () => { await clock.advance(100); return isDeepStrictEqual(await ask(), [503, answer(1, false)]); }, { what: 'a proxy in trouble' });
    stop.abort();
    await ended;
    await expect(ask()).rejects.toThrow();
    taken.close();
  });

  it('routes what there is besides SCTP where the kernel lacks that, and says so once', async () => {
    const sctp = (name: string): Service => ({ ...service(name), spec: { ...service(name).spec, ports: [{ port: 80, protocol: 'SCTP' }] } });
    backend.lacksSctp = () => Promise.resolve('no module');
    state.set(services, service('a'), sctp('b'));
    await begin();
    await clock.advance(100);
    state.set(services, sctp('a'), service('c'));
    await clock.advance(100);
    state.remove(services, 'd', 'b');
    await clock.advance(100);
    expect(backend.calls).toEqual(['replace d/a:', 'apply +d/c: -d/a:', 'apply + -d/b:']);
    expect([events, proxy.failure]).toEqual([['ProtocolNotSupported'], undefined]);
  });

  it('puts the rules back when another program removed them', async () => {
    await begin();
    await clock.advance(30_100);
    expect(backend.calls).toHaveLength(1);
    backend.present = false;
    for (let i = 0; i < 30; i++) {
      state.apply([]); // changes of other objects do not put it off
      await clock.advance(1000);
    }
    expect(backend.calls).toEqual(['replace ', 'replace ']);
    expect(events).toEqual(['ServiceRulesRemoved']);
  });
});
