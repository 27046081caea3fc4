import { describe, expect, it } from 'vitest';
import type { Node, Service } from '#api/gen/types.ts';
import { nodes, secrets, services } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { MemoryState } from '#test/support/memory-state.ts';
import { elect, type Claimable, type Peer } from './election.ts';
import { decodeBeat, encodeBeat, maxBeatBytes, Memory } from './message.ts';
import { Speaker, speakerDefaults } from './speaker.ts';

const key = Buffer.from('0123456789abcdef');

describe('the election', () => {
  const claimable: Claimable = { ip: '10.9.0.1', service: 'default/web', order: ['a', 'b', 'c'] };
  const peer = (node: string, { untilMs = 2000, able = true, holds = [] as string[] } = {}): [string, Peer] => [node, { node, untilMs, able, holds: new Set(holds) }];
  const decide = (me: string, peers: [string, Peer][], { held = [] as string[], able = true, settledMs = 0, order = claimable.order } = {}): string => {
    const { claim, release } = elect({ me, able, nowMs: 1000, settledMs: new Map([[claimable.ip, settledMs]]), claimables: [{ ...claimable, order }], peers: new Map(peers), held: new Set(held) });
    return claim.length > 0 ? 'claim' : release.length > 0 ? 'release' : 'stay';
  };
  const holding = { holds: ['10.9.0.1'] };
  it.each<[string, string, string]>([
    ['the first claims', decide('a', [peer('b'), peer('c')]), 'claim'],
    ['the next waits for the one before', decide('b', [peer('a'), peer('c')]), 'stay'],
    ['the next claims when that is silent', decide('b', [peer('a', { untilMs: 999 }), peer('c')]), 'claim'],
    ['the next claims when that cannot serve', decide('b', [peer('a', { able: false }), peer('c')]), 'claim'],
    ['nobody takes what somebody holds', decide('a', [peer('b'), peer('c', holding)]), 'stay'],
    ['unless that cannot serve', decide('a', [peer('b'), peer('c', { ...holding, able: false })]), 'claim'],
    ['or is no candidate any more', decide('a', [peer('b', holding)], { order: ['a', 'c'] }), 'claim'],
    ['one that begins listens first', decide('a', [], { settledMs: 1500 }), 'stay'],
    ['and claims then', decide('a', [], { settledMs: 900 }), 'claim'],
    ['a holder stays', decide('c', [peer('a'), peer('b')], { held: ['10.9.0.1'] }), 'stay'],
    ['of two holders the later gives way', decide('b', [peer('a', holding)], { held: ['10.9.0.1'] }), 'release'],
    ['and the earlier stays', decide('a', [peer('b', holding)], { held: ['10.9.0.1'] }), 'stay'],
    ['who cannot serve lets go', decide('a', [], { held: ['10.9.0.1'], able: false }), 'release'],
    ['who is no candidate lets go', decide('x', [], { held: ['10.9.0.1'] }), 'release'],
  ])('%s', (_, decision, expected) => { expect(decision).toBe(expected); });
});

describe('what hosts tell each other', () => {
  const beat = { node: 'a', life: 'x', sequence: 1, able: true, holds: ['10.9.0.1'], validMs: 1300 };
  const bytes = encodeBeat(beat, key);
  it('is understood by those of the cluster', () => { expect(decodeBeat(bytes, key)).toEqual(beat); });
  it.each([
    ['another key', decodeBeat(bytes, Buffer.from('other'))], ['a changed word', decodeBeat(Buffer.from(bytes).fill(33, 30, 31), key)], ['nothing', decodeBeat(Buffer.alloc(0), key)],
    ['noise', decodeBeat(Buffer.alloc(maxBeatBytes + 1), key)], ['no object', decodeBeat(encodeBeat('x' as never, key), key)], ['a word for ever', decodeBeat(encodeBeat({ ...beat, validMs: 1e9 }, key), key)],
    ['a wrong type', decodeBeat(encodeBeat({ ...beat, holds: 'all' as never }, key), key)],
  ])('is no %s', (_, decoded) => { expect(decoded).toBeUndefined(); });
  it('counts once, and nothing of an earlier life', () => {
    const memory = new Memory();
    const said = (life: string, sequence: number): boolean => memory.isNew({ node: 'a', life, sequence });
    expect([said('x', 1), said('x', 1), said('x', 2), said('x', 1), said('y', 1), said('x', 3), said('y', 2)]).toEqual([true, false, true, false, true, false, true]);
  });
});

/** Hosts in one process: a link that may be cut, kernels that forget addresses, agents that end. */
class Simulation {
  readonly clock = new ManualClock();
  readonly names: readonly string[];
  readonly ips: readonly string[];
  readonly #looks: boolean;
  readonly #state = new MemoryState();
  /** By host: addresses and when the kernel forgets them. */
  readonly kernels = new Map<string, Map<string, number>>();
  /** How long a host takes from its start until it listens. */
  startMs = 0;
  /** By host: who was last heard to have an address. */
  readonly believed = new Map<string, Map<string, string>>();
  readonly #sockets = new Map<string, (bytes: Uint8Array) => void>();
  readonly #agents = new Map<string, { readonly stop: AbortController; readonly ended: Promise<void> }>();
  readonly #parts = new Map<string, number>();

  /** `looks`: whether a host looks whether an address is taken, which takes time. */
  constructor(hosts: number, addresses: number, looks = false) {
    this.#looks = looks;
    this.names = Array.from({ length: hosts }, (_, i) => `h${String(i)}`);
    this.ips = Array.from({ length: addresses }, (_, i) => `10.9.0.${String(i + 1)}`);
    this.#state.set(nodes, ...this.names.map((name): Node => ({ metadata: { name }, status: { addresses: [{ type: 'InternalIP', address: name }] } })));
    this.#state.set(secrets, { metadata: { namespace: 'kube-system', name: 'cleat-load-balancer' }, data: { pool: Buffer.from('10.9.0.0/24').toString('base64'), key: key.toString('base64') } });
    this.#state.set(services, ...this.ips.map((ip, i): Service => ({ metadata: { namespace: 'default', name: `s${String(i)}` }, spec: { type: 'LoadBalancer' }, status: { loadBalancer: { ingress: [{ ip }] } } })));
    for (const name of this.names) this.kernels.set(name, new Map());
    for (const name of this.names) this.believed.set(name, new Map());
  }

  start(name: string): void {
    const stop = new AbortController();
    const kernel = this.kernels.get(name) ?? new Map<string, number>();
    const lifetime = ({ lasting, seconds }: { lasting: boolean; seconds: number }): number => (lasting ? Infinity : this.clock.monotonic() + 1000 * seconds);
    const speaker = new Speaker({
      state: this.#state, before: new Set(this.ips), problem: () => undefined, isHostStopping: () => Promise.resolve(false), events: { emit: () => undefined }, clock: this.clock, log: silentLog,
      open: (address, heard) => { this.#sockets.set(address, heard); return Promise.resolve({ send: (bytes, to) => { this.#send(name, to, bytes, stop.signal); return Promise.resolve(); }, close: () => { if (this.#sockets.get(address) === heard) this.#sockets.delete(address); } }); },
      addresses: {
        present: async () => { await this.clock.sleep(this.startMs, stop.signal); return [...this.#present(name)]; }, announce: (ips) => { for (const listener of this.names) if (this.part(listener) === this.part(name)) for (const ip of ips) this.believed.get(listener)?.set(ip, name); return Promise.resolve(); }, isTaken: async (_ip, _known, wait) => { if (this.#looks) await wait(); return false; },
        hold: (ips, how) => { if (!stop.signal.aborted) for (const ip of ips) kernel.set(ip, lifetime(how)); return Promise.resolve(); },
        release: (ips) => { if (!stop.signal.aborted) for (const ip of ips) kernel.delete(ip); return Promise.resolve(); },
      },
    }, { ...speakerDefaults, nodeName: name });
    this.#agents.set(name, { stop, ended: speaker.start(stop.signal) });
  }

  /** The agent ends without a word; with `host` the kernel goes with it. */
  kill(name: string, host: boolean): void {
    const agent = this.#agents.get(name);
    this.#agents.delete(name);
    this.#sockets.delete(name);
    agent?.stop.abort(new Error('killed'));
    if (host) this.kernels.get(name)?.clear();
  }

  isRunning(name: string): boolean { return this.#agents.has(name); }

  /** Those of different parts do not hear each other. */
  cut(parts: ReadonlyMap<string, number>): void {
    this.#parts.clear();
    for (const [name, part] of parts) this.#parts.set(name, part);
  }

  part(name: string): number { return this.#parts.get(name) ?? 0; }

  #present(name: string): Set<string> {
    return new Set([...this.kernels.get(name) ?? []].filter(([, untilMs]) => untilMs > this.clock.monotonic()).map(([ip]) => ip));
  }

  holders(ip: string): string[] { return this.names.filter((name) => this.#present(name).has(ip)); }

  #send(from: string, to: string, bytes: Uint8Array, signal: AbortSignal): void {
    if (!signal.aborted && this.part(from) === this.part(to)) this.#sockets.get(to)?.(bytes);
  }

  async pass(ms: number, each: () => void = () => undefined): Promise<void> {
    for (let done = 0; done < ms; done += 50) {
      await this.clock.advance(50);
      each();
    }
  }

  async end(): Promise<void> {
    for (const name of this.names) this.kill(name, true);
    await this.clock.advance(5000);
  }
}

describe('hosts together', () => {
  it('take over within two seconds, and leave what works where it is', async () => {
    const simulation = new Simulation(4, 6);
    for (const name of simulation.names) simulation.start(name);
    await simulation.pass(3000);
    const before = simulation.ips.map((ip) => simulation.holders(ip));
    expect(before.every((holders) => holders.length === 1)).toBe(true);
    expect(new Set(before.flat()).size).toBeGreaterThan(1);
    const lost = before[0]?.[0] ?? '';
    simulation.kill(lost, true);
    let tookMs = 0;
    await simulation.pass(5000, () => { if (simulation.ips.some((ip) => simulation.holders(ip).length === 0)) tookMs += 50; });
    expect(tookMs).toBeLessThan(1700);
    const after = simulation.ips.map((ip) => simulation.holders(ip));
    expect(after.map((holders, i) => before[i]?.[0] === lost || holders.join() === before[i]?.join())).toEqual(simulation.ips.map(() => true));
    simulation.start(lost);
    await simulation.pass(5000, () => { expect(simulation.ips.map((ip) => simulation.holders(ip))).toEqual(after); });
    await simulation.end();
  });

  it('go on talking while they take many addresses, and keep those that they took first', async () => {
    const simulation = new Simulation(2, 120, true);
    for (const name of simulation.names) simulation.start(name);
    const held = new Set<string>();
    await simulation.pass(16_000, () => {
      for (const ip of simulation.ips) {
        const holders = simulation.holders(ip);
        if (holders.length > 0) held.add(ip);
        expect({ ip, holders: holders.length }).toEqual({ ip, holders: held.has(ip) ? 1 : 0 });
      }
    });
    expect(held.size).toBe(120);
    await simulation.end();
  });

  it('listen before they take anything, however long their start took', async () => {
    const simulation = new Simulation(3, 6);
    for (const name of simulation.names) simulation.start(name);
    await simulation.pass(3000);
    simulation.kill('h0', true);
    await simulation.pass(3000);
    const before = simulation.ips.map((ip) => simulation.holders(ip));
    simulation.startMs = 4000;
    simulation.start('h0');
    await simulation.pass(8000, () => { expect(simulation.ips.map((ip) => simulation.holders(ip))).toEqual(before); });
    await simulation.end();
  });

  it('tell the link again who is left when two held an address', async () => {
    const simulation = new Simulation(4, 6);
    for (const name of simulation.names) simulation.start(name);
    await simulation.pass(3000);
    simulation.cut(new Map(simulation.names.map((name, i) => [name, i % 2])));
    await simulation.pass(8000);
    expect(simulation.ips.map((ip) => simulation.holders(ip).length)).toEqual(simulation.ips.map(() => 2));
    simulation.cut(new Map());
    await simulation.pass(5000);
    for (const ip of simulation.ips) expect(simulation.names.map((name) => simulation.believed.get(name)?.get(ip)), ip).toEqual(simulation.names.map(() => simulation.holders(ip).join()));
    await simulation.end();
  });

  it.each([1, 2, 3, 4, 5, 6])('agree again after whatever happened to agents, hosts and the link, seed %i', async (seed) => {
    let state = seed;
    const random = (below: number): number => { state = (state * 1_103_515_245 + 12_345) & 0x7fffffff; return Math.floor((state / 0x7fffffff) * below); };
    const simulation = new Simulation(5, 5);
    for (const name of simulation.names) simulation.start(name);
    for (let round = 0; round < 12; round++) {
      for (let i = random(4); i >= 0; i--) {
        const name = simulation.names[random(5)] ?? '';
        if (simulation.isRunning(name)) simulation.kill(name, random(2) === 0);
        else simulation.start(name);
      }
      simulation.cut(new Map(random(2) === 0 ? [] : simulation.names.map((name) => [name, random(2)])));
      await simulation.pass(random(3000));
      // Quiet for as long as a kernel keeps what its dead agent held.
      await simulation.pass(14_000);
      const parts = new Set(simulation.names.filter((name) => simulation.isRunning(name)).map((name) => simulation.part(name)));
      for (const ip of simulation.ips) {
        for (const part of parts) {
          const holders = simulation.holders(ip).filter((name) => simulation.isRunning(name) && simulation.part(name) === part);
          expect({ round, ip, part, holders: holders.length }).toEqual({ round, ip, part, holders: 1 });
        }
      }
    }
    await simulation.end();
  });
});
