import type { Resource } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { isStatus } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import type { ApiClient } from '#controlplane/apiserver/types.ts';
import { ControllerManager } from '#controlplane/controllers/manager.ts';
import { controllers } from '#controlplane/controllers/registry.ts';
import { FakeApi, FakeInformers } from './fake-api.ts';
import { controllerConfig } from './run-controllers.ts';

/** mulberry32: a small generator whose whole state is its seed. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A control plane that was killed sends nothing more; what it sent before may still be carried out. */
export function mortal(api: FakeApi, isAlive: () => boolean): ApiClient {
  return new Proxy(api, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]): unknown => (isAlive() ? Reflect.apply(member, target, args) : new Promise(() => undefined));
    },
  });
}

/**
 * Controllers in a world where requests take their time, caches lag behind each other and the control plane is killed
 * now and then, all as a seed has it.
 */
export class Chaos {
  readonly clock = new ManualClock();
  readonly random: () => number;
  readonly api: FakeApi;
  readonly problems: string[] = [];
  readonly #names: readonly string[];
  readonly #resources: readonly Resource[];
  readonly #held: (() => void)[] = [];
  #calm = false;
  #abort = new AbortController();
  #informers!: FakeInformers;
  #client!: ApiClient;

  constructor(seed: number, names: readonly string[], resources: readonly Resource[]) {
    this.random = generator(seed);
    this.#names = names;
    this.#resources = resources;
    this.api = new FakeApi({ clock: this.clock, latency: () => this.#latency() });
  }

  int(limit: number): number { return Math.floor(this.random() * limit); }

  /** Of the control plane that runs now, for other parts of it. */
  get informers(): FakeInformers { return this.#informers; }
  get client(): ApiClient { return this.#client; }

  start(): void {
    const abort = new AbortController();
    this.#abort = abort;
    this.#informers = new FakeInformers(this.api, { lag: true });
    this.#client = mortal(this.api, () => !abort.signal.aborted);
    const used = Object.fromEntries(Object.entries(controllers).filter(([name]) => this.#names.includes(name)));
    const manager = new ControllerManager(
      { informers: this.#informers, client: this.#client, recorder: () => this.api.events, clock: this.clock, log: silentLog, random: this.random, controllers: used },
      { ...controllerConfig, resources: this.#resources },
    );
    void manager.start(abort.signal);
  }

  /** Kills the control plane. What it had sent was either carried out or is lost; nothing of it comes later. */
  async stop(): Promise<void> {
    this.#abort.abort(new Error('killed'));
    for (const release of this.#held.splice(0)) if (this.random() < 0.5) release();
    await this.clock.advance(0);
    this.#held.splice(0).forEach((release) => { release(); });
    this.#informers.close();
  }

  /** Requests of users and nodes: at once, and refusals are theirs. */
  async as<T>(work: () => Promise<T>): Promise<T | undefined> {
    const calm = this.#calm;
    this.#calm = true;
    try {
      return await work();
    } catch (error) {
      if (!isStatus(error)) throw error;
      return undefined;
    } finally {
      this.#calm = calm;
    }
  }

  /** A cache catches up, or requests are answered; false when neither was chosen, or nothing was waiting. */
  pass(): boolean {
    const behind = this.#informers.behind;
    const dice = this.random();
    if (dice < 0.6 && behind.length > 0) this.#informers.deliver(behind[this.int(behind.length)]!, 1 + this.int(4));
    else if (dice < 0.9 && this.#held.length > 0) this.#held.splice(this.int(this.#held.length), 1 + this.int(3)).forEach((release) => { release(); });
    else return false;
    return true;
  }

  /** Nothing is slow any more, from now on. */
  calm(): void {
    this.#calm = true;
    this.flush();
  }

  /** What waits is let go and known. */
  flush(): void {
    this.#held.splice(0).forEach((release) => { release(); });
    for (const name of this.#informers.behind) this.#informers.deliver(name, 1000);
  }

  /** Something happens: a cache catches up, a request is answered, a node or a user acts, or the control plane is killed; and time passes. */
  async step(node: () => Promise<unknown>, user: () => Promise<unknown>): Promise<void> {
    const dice = this.random();
    const behind = this.#informers.behind;
    if (dice < 0.45 && behind.length > 0) this.#informers.deliver(behind[this.int(behind.length)]!, 1 + this.int(4));
    else if (dice < 0.6) this.#held.splice(this.int(this.#held.length), 1 + this.int(3)).forEach((release) => { release(); });
    else if (dice < 0.85) await node();
    else if (dice < 0.89) await user();
    else if (dice < 0.9) { await this.stop(); this.start(); }
    await this.clock.advance(this.int(4) === 0 ? 1000 : 3);
  }

  /** Nobody asks for anything and nothing fails any more: runs until nothing changes. */
  async settle(nodes: () => Promise<unknown>, roundMs = 5000): Promise<void> {
    this.#calm = true;
    for (let round = 0, quiet = 0; quiet < 3 && round < 500; round++) {
      const before = this.api.revision;
      this.#held.splice(0).forEach((release) => { release(); });
      await nodes();
      for (const name of this.#informers.behind) this.#informers.deliver(name, 1000);
      await this.clock.advance(roundMs);
      quiet = this.api.revision === before && this.#held.length === 0 ? quiet + 1 : 0;
    }
  }

  #latency(): Promise<void> {
    return this.#calm || this.random() < 0.5 ? Promise.resolve() : new Promise((resolve) => { this.#held.push(resolve); });
  }
}

/**
 * Seeds for `it.each`: always the same ones, so that a suite repeats itself. `SEED=n` runs one again; `SEEDS=n` explores as many
 * others, from a random one on or from `SEED`.
 */
export function seeds(count: number): number[] {
  const { SEED: given, SEEDS: others } = process.env;
  const first = given !== undefined ? Number(given) : others === undefined ? 1 : Math.floor(Math.random() * 1e9);
  return Array.from({ length: Number(others ?? (given === undefined ? count : 1)) }, (_, i) => first + i);
}

/** The same for properties that fast-check looks for counterexamples to; it prints the seed and the path of one that it finds. */
export function propertyRuns(count: number): { readonly seed: number; readonly numRuns: number } {
  const [seed = 1] = seeds(1);
  return { seed, numRuns: Number(process.env['SEEDS'] ?? count) };
}
