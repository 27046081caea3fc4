import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import type { AgentEvent } from '#agent/session/types.ts';
import { NetworkUpkeep } from './upkeep.ts';

/** Knows whether it is waited for: what works on files meanwhile is not hurried on. */
class PacedClock extends ManualClock {
  asleep = 0;

  override async sleep(ms: number, signal: AbortSignal): Promise<void> {
    this.asleep++;
    await super.sleep(ms, signal).finally(() => { this.asleep--; });
  }
}

let directory: string;
let clock: PacedClock;
let stop: AbortController;
let running: Promise<void>;
let told: string[];
let events: AgentEvent[];

const lease = (address: string, id: string, agoMs: number): void => {
  const path = join(directory, address);
  writeFileSync(path, `${id}\r\neth0`);
  utimesSync(path, new Date(clock.now() - agoMs), new Date(clock.now() - agoMs));
};
const until = async (condition: () => boolean): Promise<void> => {
  for (let i = 0; i < 2000 && !condition(); i++) {
    while (clock.asleep === 0) await turn();
    await clock.advance(1000);
  }
  expect(condition()).toBe(true);
};
const begin = (exitCode = 0): void => {
  const fault = { podUid: 'u', podNamespace: 'default', podName: 'web', problem: 'the link is gone' };
  const upkeep = new NetworkUpkeep({
    driver: {
      list: () => Promise.resolve({ sandboxes: [{ id: 'here', podUid: 'u', podNamespace: 'default', podName: 'web', attempt: 0, state: 'ready', createdAtMs: 0, ips: [] }], containers: [] }),
      networks: { check: () => { told.push('check'); return Promise.resolve([fault]); }, collect: () => { told.push('collect'); return Promise.reject(new Error('a plugin failed')); } },
    },
    exec: (command, args) => { told.push(`${command} ${args.join(' ')}`); return Promise.resolve({ exitCode, stdout: args[0] === '-4' ? '[{"dst":"10.42.0.5","dev":"veth1"}]' : '[]', stderr: '' }); },
    events: { emit: (event) => { events.push(event); } }, clock, log: silentLog,
  }, { leaseDirectory: directory, delayMs: 1000, intervalMs: 10_000, leaseAgeMs: 60_000 });
  running = upkeep.start(stop.signal);
};

beforeEach(() => {
  [directory, clock, stop, told, events] = [mkdtempSync(join(tmpdir(), 'cleat-leases-')), new PacedClock(), new AbortController(), [], []];
});
afterEach(async () => {
  stop.abort(new Error('the test has ended'));
  await running;
  rmSync(directory, { recursive: true });
});

it('checks once and collects again and again, whatever fails', async () => {
  begin();
  await until(() => told.filter((what) => what === 'collect').length === 3);
  expect(told.filter((what) => what === 'check')).toHaveLength(1);
  expect(events).toEqual([expect.objectContaining({ kind: 'Pod', name: 'web', type: 'Warning', reason: 'NetworkCheckFailed', message: expect.stringContaining('the link is gone') as string })]);
});

it('frees addresses of sandboxes that are no more, but none that is young, in use or another\'s file', async () => {
  lease('10.42.0.2', 'here', 100_000);
  lease('10.42.0.3', 'gone', 100_000);
  lease('10.42.0.4', 'gone', 10);
  lease('10.42.0.5', 'somebody', 100_000);
  lease('fd42::3', 'gone', 100_000);
  lease('last_reserved_ip.0', '10.42.0.5', 100_000);
  begin();
  await until(() => told.filter((what) => what === 'collect').length === 2);
  expect(readdirSync(directory).sort()).toEqual(['10.42.0.2', '10.42.0.4', '10.42.0.5', 'last_reserved_ip.0']);
  await until(() => readdirSync(directory).length === 3);
});

it('frees nothing when it cannot see what is in use', async () => {
  lease('10.42.0.3', 'gone', 100_000);
  begin(1);
  await until(() => told.filter((what) => what === 'collect').length === 2);
  expect(readdirSync(directory)).toEqual(['10.42.0.3']);
});
