import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { ContainerState, Pod } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { PodManager } from '#agent/pods/manager.ts';
import { MemoryState, testManagerConfig, testNode } from '#agent/pods/testing.ts';
import type { AgentEvent } from '#agent/session/types.ts';
import type { RuntimeDriver } from './types.ts';

/** What a call is answered with instead of the truth: a message, bytes that are none, an error, or nothing ever. Undefined: the truth. */
export type Fault = (request: Readonly<Record<string, unknown>>) => object | Buffer | Error | 'silence' | undefined;

/** Of calls about one pod alone. */
function about(name: string, fault: Fault): Fault {
  return (request) => (JSON.stringify(request).includes(`${name}-uid`) ? fault(request) : undefined);
}

/** For tests: pods on a runtime that is told to fail. Time is the lab's own. */
export class FaultLab {
  readonly clock = new ManualClock();
  readonly events: AgentEvent[] = [];
  readonly dir: string;
  /** Whether somebody works for whom no time is to pass: a command, say, that takes as long as the machine lets it. */
  isBusy: (() => boolean) | undefined;
  readonly #state = new MemoryState();
  readonly #stop = new AbortController();
  #manager: PodManager | undefined;
  #running: Promise<unknown>[] = [];

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async open(): Promise<FaultLab> {
    return new FaultLab(await mkdtemp(join(tmpdir(), 'cleat-faults-')));
  }

  get signal(): AbortSignal { return this.#stop.signal; }

  start(driver: RuntimeDriver): void {
    this.#manager = new PodManager({
      state: this.#state, driver, clock: this.clock, log: silentLog, events: { emit: (event) => { this.events.push(event); } },
      node: testNode,
    }, testManagerConfig(this.dir, { clusterDns: ['10.43.0.10'], parallelStarts: 8 }));
    this.run(this.#manager);
  }

  run(part: { start(signal: AbortSignal): Promise<void> }): void { this.#running.push(part.start(this.#stop.signal)); }

  want(...pods: Pod[]): void { this.#state.set(...pods); }

  drop(...names: string[]): void {
    for (const name of names) this.#state.remove(pods, 'default', name);
  }

  /** Waits until nothing is left of pods that were dropped. */
  async untilGone(...names: string[]): Promise<void> {
    await this.until(() => names.every((name) => this.#manager?.evictable().some(({ uid }) => uid === `${name}-uid`) === false), `the end of ${names.join(' and ')}`);
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error('end of test'));
    await Promise.all(this.#running);
    await rm(this.dir, { recursive: true, force: true });
  }

  stateOf(name: string): ContainerState | undefined {
    return this.#manager?.all().find((report) => report.name === name)?.status.containerStatuses?.[0]?.state;
  }

  restartsOf(name: string): number | undefined {
    return this.#manager?.all().find((report) => report.name === name)?.status.containerStatuses?.[0]?.restartCount;
  }

  isRunning(name: string): boolean { return this.stateOf(name)?.running !== undefined; }

  isTold(name: string, reason: string, message: RegExp): boolean {
    return this.events.some((event) => event.name === name && event.reason === reason && message.test(event.message));
  }

  /** A pod meets the fault: that is told in an Event, and in its state if one is given; those before and after it run, and so does it once the fault is over. */
  async bringThrough(make: (name: string) => Pod, faults: Map<string, Fault>, call: string, fault: Fault, [reason, message]: [string, RegExp], waiting: ContainerState['waiting']): Promise<void> {
    this.want(make('other'));
    await this.until(() => this.isRunning('other'), 'the other pod to run');
    faults.set(call, about('bad', fault));
    this.want(make('bad'), make('third'));
    await this.until(() => this.isTold('bad', reason, message), 'the Event');
    if (waiting) {
      await this.until(() => this.stateOf('bad')?.waiting?.reason === waiting.reason, 'the state');
      expect(this.stateOf('bad')?.waiting).toMatchObject(waiting);
    }
    await this.until(() => this.isRunning('third'), 'another pod to begin');
    expect(this.isRunning('other')).toBe(true);
    faults.clear();
    await this.until(() => this.isRunning('bad'), 'the pod to run');
  }

  /** Lets time pass, with room for what goes over the socket in between, until the condition holds. */
  async until(condition: () => boolean, what: string): Promise<void> {
    for (const deadlineMs = performance.now() + (this.isBusy ? 100_000 : 18_000); performance.now() < deadlineMs;) {
      for (let turn = 0; turn < 50; turn++) {
        if (condition()) return;
        await new Promise((resolve) => { setImmediate(resolve); });
      }
      if (this.isBusy?.()) await new Promise((resolve) => { setTimeout(resolve, 2); });
      else await this.clock.advance(this.isBusy ? 1000 : 250);
    }
    throw new Error(`not reached: ${what}; events: ${JSON.stringify(this.events.map(({ name, reason, message }) => [name, reason, message]))}; reports: ${JSON.stringify(this.#manager?.all())}`);
  }
}
