import type { NetworkInterfaceInfo } from 'node:os';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { nodes } from '#api/kinds/resources.ts';
import { Ledger } from '#agent/node/ledger.ts';
import { MemoryState } from '#test/support/memory-state.ts';
import { overlaps } from './facts.ts';
import { PodNetwork } from './pod-network.ts';

it('says why pods have no network before the node has a range, and touches nothing', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cleat-network-'));
  const clock = new ManualClock();
  const state = new MemoryState();
  state.known = false;
  const network = new PodNetwork(
    { state, events: { emit: () => undefined }, clock, log: silentLog, random: () => 0, ledger: new Ledger(join(directory, 'ledger.jsonl'), () => 0) },
    { nodeName: 'n', stateDirectory: directory, serviceCidrs: [], mode: 'auto', routeProtocol: 142, checkIntervalMs: 1000 },
  );
  const stop = new AbortController();
  const reasons: (string | undefined)[] = [];
  network.subscribe(() => { reasons.push(network.notReady); });
  const ended = network.start(stop.signal);
  await vi.waitFor(() => { expect(reasons.at(-1)).toContain('has not been reached'); });
  state.known = true;
  state.set(nodes, { metadata: { name: 'n' } });
  await vi.waitFor(() => { expect(reasons.at(-1)).toContain('no pod range'); });
  expect(JSON.parse(network.annotations['cleat.dev/network'] ?? '')).toMatchObject({ mode: 'auto', links: expect.any(Array) as string[] });
  expect(readdirSync(directory)).toEqual([]);
  stop.abort();
  await ended;
  rmSync(directory, { recursive: true });
});

it('names networks of the host that the cluster has, too', () => {
  const link = (cidr: string, internal = false): NetworkInterfaceInfo => ({ address: cidr.replace(/\/.*/, ''), netmask: '', mac: '', internal, cidr, family: 'IPv4' });
  const interfaces = { lo: [link('10.42.0.1/32', true)], eth0: [link('192.168.1.7/24')], wlan0: [link('10.42.3.9/16')], docker0: [link('10.43.0.1/16')], eth1: [{ ...link('fd42::9/64'), family: 'IPv6' as const, scopeid: 0 }] };
  expect(overlaps(interfaces, ['10.42.0.0/24', '10.43.0.0/16', 'fd42::/56'])).toEqual(['10.42.3.9/16 (wlan0) and 10.42.0.0/24', 'fd42::9/64 (eth1) and fd42::/56']);
});
