import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import type { AgentEvent, Contact } from '#agent/session/types.ts';
import type { Pod } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { helloImage } from '#install/images.ts';
import { withheld } from './leases.ts';
import { PodManager } from './manager.ts';
import { MemoryState, testManagerConfig, testNode, testPod } from './testing.ts';

/** Contact by the test's word, on the test's clock. */
class TestContact implements Contact {
  readonly #clock: ManualClock;
  readonly #listeners = new Set<() => void>();
  lastMs: number | undefined;
  /** How long the host slept: its timers stood still. */
  sleptMs = 0;
  periodMs = Infinity;

  constructor(clock: ManualClock) { this.#clock = clock; }

  silentMs(): number | undefined { return this.lastMs === undefined ? undefined : this.#clock.monotonic() + this.sleptMs - this.lastMs; }
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }
  need(periodMs: number): void { this.periodMs = periodMs; }
  heard(): void {
    this.lastMs = this.#clock.monotonic() + this.sleptMs;
    for (const listener of this.#listeners) listener();
  }
}

const one = (seconds: number): Record<string, string> => ({ 'cleat.dev/disconnect-policy': 'replace', 'cleat.dev/disconnect-copies': 'one', 'cleat.dev/disconnect-replace-after': `${String(seconds)}s` });
const single = (name: string, seconds = 100): Pod => testPod(name, { terminationGracePeriodSeconds: 20 }, { annotations: one(seconds) });

it.each([
  [0, undefined], [63_000, undefined], [64_000, 20], [74_500, 10], [84_000, 0], [1e9, 0], [undefined, 0],
])('after %s ms of silence a pod that is replaced after 100 s has this many seconds left: %s', (silentMs, graceSeconds) => {
  expect(withheld(single('p'), silentMs)?.graceSeconds).toBe(graceSeconds);
});

describe('pods of which there may be one copy', () => {
  let dir: string;
  let clock: ManualClock;
  let driver: FakeDriver;
  let state: MemoryState;
  let contact: TestContact;
  let events: AgentEvent[];
  let manager: PodManager;
  let stop: AbortController;
  let running: Promise<void>;

  function begin(): void {
    stop = new AbortController();
    manager = new PodManager({
      state, driver, clock, log: silentLog, contact, events: { emit: (e) => { events.push(e); } },
      node: testNode,
    }, testManagerConfig(dir));
    running = manager.start(stop.signal);
  }
  async function end(): Promise<void> {
    stop.abort(new Error('end of test'));
    await running;
  }
  /** Real I/O goes on while no time passes. */
  async function until(condition: () => boolean, what: string): Promise<void> {
    for (let i = 0; i < 2000; i++) {
      if (condition()) return;
      await new Promise((resolve) => { setImmediate(resolve); });
      await readFile('/dev/null');
    }
    throw new Error(`not reached: ${what}; calls: ${driver.calls.join(', ')}`);
  }
  const runs = (name: string): boolean => driver.running(`${name}-uid`).length > 0;
  const calls = (start: string): string[] => driver.calls.filter((call) => call.startsWith(start));

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'cleat-leases-'));
    clock = new ManualClock();
    driver = new FakeDriver(clock, { writeLogs: true });
    driver.images.set(helloImage, 'sha256:hello');
    state = new MemoryState();
    contact = new TestContact(clock);
    events = [];
    begin();
  });
  afterEach(async () => {
    await end();
    await rm(dir, { recursive: true, force: true });
  });

  it('run while there is contact, end without it, and run again with it; others do not mind', async () => {
    contact.heard();
    state.set(single('db'), testPod('web'));
    await until(() => runs('db') && runs('web'), 'both to run');
    expect(contact.periodMs).toBeLessThan(64_000 / 2);
    await clock.advance(60_000);
    contact.heard();
    await clock.advance(63_000);
    expect(runs('db')).toBe(true);
    await clock.advance(2000);
    await until(() => !runs('db'), 'the copy to end');
    expect(events.filter(({ reason }) => reason === 'Withheld')).toHaveLength(1);
    await clock.advance(600_000);
    await until(() => runs('web'), 'the other to run');
    expect([runs('db'), calls('start').length]).toEqual([false, 2]);
    contact.heard();
    await until(() => runs('db'), 'the copy to run again');
    expect(manager.all().find(({ name }) => name === 'db')?.gone).toBe(false);
  });

  it('are not started before the first contact, and end at once when an agent finds them without', async () => {
    state.set(single('db'), testPod('web'));
    await until(() => runs('web'), 'the other to run');
    await clock.advance(5000);
    expect(runs('db')).toBe(false);
    contact.heard();
    await until(() => runs('db'), 'it to run');
    await end();
    contact.lastMs = undefined;
    begin();
    await until(() => !runs('db'), 'it to end');
  });

  it('go on under a new agent that knows of the last contact', async () => {
    contact.heard();
    state.set(single('db'));
    await until(() => runs('db'), 'it to run');
    await end();
    await clock.advance(30_000);
    begin();
    await clock.advance(5000);
    expect([runs('db'), calls('start').length]).toEqual([true, 1]);
  });

  it('end within a second after a host wakes from a long sleep', async () => {
    contact.heard();
    state.set(single('db'));
    await until(() => runs('db'), 'it to run');
    contact.sleptMs = 3_600_000;
    await clock.advance(1000);
    await until(() => !runs('db'), 'it to end');
    expect(calls('stop app')).toEqual(['stop app 0s']);
  });

  it('are all killed by a fence, with whatever else is there but what the host itself wants, and nothing comes back', async () => {
    contact.heard();
    state.set(single('db'), testPod('web', { terminationGracePeriodSeconds: 3600 }), testPod('ending', { terminationGracePeriodSeconds: 3600 }), testPod('static'));
    await until(() => ['db', 'web', 'ending', 'static'].every(runs), 'all to run');
    state.remove(pods, 'default', 'ending');
    let forgot = false;
    let done = false;
    const fenced = manager.fence(() => {
      for (const name of ['db', 'web']) state.remove(pods, 'default', name);
      forgot = true;
      return Promise.resolve();
    }, stop.signal).then(() => { done = true; });
    while (!done) {
      await readFile('/dev/null');
      await clock.advance(100);
    }
    await fenced;
    expect([forgot, runs('db'), runs('web'), runs('ending'), runs('static'), manager.all().map(({ name }) => name)]).toEqual([true, false, false, false, true, ['static']]);
    contact.heard();
    await clock.advance(60_000);
    expect(calls('start')).toHaveLength(4);
  });
});
