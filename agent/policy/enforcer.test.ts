import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { networkPolicies, pods } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { ReportBoard } from '#agent/pods/reports.ts';
import { MemoryState } from '#test/support/memory-state.ts';
import { PolicyEnforcer } from './enforcer.ts';
import type { Ruleset } from './types.ts';

const pod = (name: string): Pod => ({ metadata: { namespace: 'default', name, uid: name, labels: { role: 'db' } }, spec: { containers: [] } });
const deny = { metadata: { namespace: 'default', name: 'deny' }, spec: { podSelector: { matchLabels: { role: 'db' } }, policyTypes: ['Ingress'] } };

/** Addresses that something leads to a chain, by direction. */
const isolated = (rules: Ruleset): string[] => ['in4', 'out4'].flatMap((set) => [...rules.get('addresses')?.elements.get(set) ?? []].map((element) => `${set} ${element.replace(/goto (pods-\w+\/none)?.*/, '$1')}`.trim()));

describe('the enforcer', () => {
  let state: MemoryState;
  let board: ReportBoard;
  let clock: ManualClock;
  let stop: AbortController;
  let enforcer: PolicyEnforcer;
  let running: Promise<void>;
  /** What the kernel was told, in order. */
  let told: string[][];
  /** What the runtime lists; undefined while it does not answer. */
  let runtime: Map<string, string[]> | undefined;
  let asked: number;
  let leaving: string[];
  let left: () => void;
  let working: Promise<void>;

  const begin = (leftOver: boolean): void => {
    enforcer = new PolicyEnforcer({
      state, leftOver, events: { emit: () => undefined }, clock, log: silentLog, random: () => 0.5,
      pods: {
        all: () => board.all(), subscribe: (listener) => board.subscribe(listener), leaving: () => leaving, onLeft: (listener) => { left = listener; return () => undefined; },
        addresses: () => { asked++; return runtime ? Promise.resolve(runtime) : Promise.reject(new Error('no answer')); },
      },
      backend: {
        unusable: () => Promise.resolve(undefined), intact: () => Promise.resolve(true), cleanup: () => { told.push(['cleanup']); return Promise.resolve(); },
        replace: async (rules) => { await working; told.push(['replace', ...isolated(rules)]); }, apply: (rules) => { told.push(['apply', ...isolated(rules)]); return Promise.resolve(); },
      },
    }, { nodeName: 'node', minIntervalMs: 10, checkIntervalMs: 1000 });
    running = enforcer.start(stop.signal);
  };
  const until = async (condition: () => boolean): Promise<void> => {
    for (let i = 0; i < 1000 && !condition(); i++) await clock.advance(10);
    expect({ is: condition(), told, asked }).toMatchObject({ is: true });
  };
  const report = (uid: string, ip: string): void => { board.put({ namespace: 'default', name: uid, uid, gone: false, status: { phase: 'Running', podIPs: [{ ip }] } }); };
  const last = (): string[] | undefined => told.at(-1);

  beforeEach(() => {
    [state, board, clock, stop, told, asked, leaving, working] = [new MemoryState(), new ReportBoard(), new ManualClock(), new AbortController(), [], 0, [], Promise.resolve()];
    left = () => undefined;
    runtime = new Map();
  });
  afterEach(async () => {
    stop.abort(new Error('the test has ended'));
    await running;
  });

  it('holds pods that run to their policies from the first rules on, whatever is reported, and leaves the old ones until it knows', async () => {
    state.set(pods, pod('a'), pod('b'));
    state.set(networkPolicies, deny);
    report('b', '10.42.0.3');
    runtime = undefined;
    begin(true);
    await until(() => asked > 2);
    expect(told).toEqual([]);
    runtime = new Map([['a', ['10.42.0.2']], ['b', ['10.42.0.99']], ['stray', ['10.42.0.9']]]);
    await until(() => told.length > 0);
    expect(told).toEqual([['replace', 'in4 10.42.0.2 :', 'in4 10.42.0.3 :', 'in4 10.42.0.9 : pods-in/none', 'out4 10.42.0.9 : pods-out/none']]);
    runtime.delete('stray');
    left();
    await until(() => told.length > 1);
    expect(last()).toEqual(['apply', 'in4 10.42.0.2 :', 'in4 10.42.0.3 :']);
  });

  it('holds a pod that was removed by force to what it knew, until it is gone', async () => {
    state.set(pods, pod('a'));
    state.set(networkPolicies, deny);
    report('a', '10.42.0.2');
    begin(false);
    await until(() => told.length === 1);
    leaving = ['a'];
    board.drop('a');
    state.apply([{ type: 'remove', resource: pods, namespace: 'default', name: 'a' }, { type: 'remove', resource: networkPolicies, namespace: 'default', name: 'deny' }]);
    await until(() => told.length === 2);
    expect(last()).toEqual(['apply', 'in4 10.42.0.2 :']);
    leaving = [];
    left();
    await until(() => told.length === 3);
    expect(last()).toEqual(['cleanup']);
  });

  it('keeps the rules of an earlier life as long as pods of it end, and none when nothing runs', async () => {
    runtime = new Map([['stray', ['10.42.0.9']]]);
    begin(true);
    await until(() => told.length === 1);
    expect(last()).toEqual(['replace', 'in4 10.42.0.9 : pods-in/none', 'out4 10.42.0.9 : pods-out/none']);
    runtime.clear();
    left();
    await until(() => told.length === 2);
    expect(last()).toEqual(['cleanup']);
  });

  it('lets nobody wait for it who has given up, or when it has ended', async () => {
    state.set(pods, pod('a'));
    state.set(networkPolicies, deny);
    const { promise, resolve } = Promise.withResolvers<undefined>();
    working = promise.then(() => { stop.signal.throwIfAborted(); });
    begin(false);
    const waits = (signal: AbortSignal): Promise<void> => enforcer.protect(pod('a'), ['10.42.0.2'], signal);
    const forever = new AbortController().signal;
    const waiting = [expect(waits(forever)).rejects.toThrow('the agent is ending')];
    await until(() => asked > 0);
    waiting.push(expect(waits(forever)).rejects.toThrow('the agent is ending'));
    await expect(waits(AbortSignal.abort(new Error('given up')))).rejects.toThrow('given up');
    stop.abort(new Error('the test has ended'));
    resolve(undefined);
    await running;
    await Promise.all(waiting);
    await expect(waits(forever)).rejects.toThrow('the agent is ending');
  });
});
