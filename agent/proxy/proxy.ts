import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Wakeup } from '#common/wakeup.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { endpointSlices, nodes, pods, services } from '#api/kinds/resources.ts';
import { nodeEvent } from '#agent/session/node-event.ts';
import type { AgentEvents, PodReports } from '#agent/session/types.ts';
import type { DesiredState } from '#agent/state/types.ts';
import type { HealthCheck, HealthChecks } from './health-checks.ts';
import { ServiceTracker } from './service-map.ts';
import type { ProxyBackend, ProxyChange, ServicePort } from './types.ts';

export interface ProxyDeps {
  readonly state: DesiredState;
  /** This host's own pods: what is known of them here comes before what the control plane last heard. */
  readonly pods: Pick<PodReports, 'all' | 'subscribe'>;
  readonly backend: ProxyBackend;
  /** What earlier lives of the agent may have left rules of; they go as soon as `backend` has its own in place. */
  readonly former?: readonly ProxyBackend[];
  readonly events: AgentEvents;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

export interface ProxyLoopConfig {
  readonly nodeName: string;
  /** The least time between two transactions; changes in between travel together. */
  readonly minIntervalMs: number;
  /** How often to look whether another program removed the rules. */
  readonly checkIntervalMs: number;
}

export const proxyLoopDefaults = { minIntervalMs: 100, checkIntervalMs: 30_000 } as const;

const retry = { baseMs: 500, maxMs: 30_000, jitter: 0.2 } as const;

/**
 * Keeps the kernel's Service rules equal to the desired state. One loop owns the backend: it begins with `replace`,
 * goes on with incremental changes, and after any failure tries `replace` again with back-off. The rules stay in
 * place when it ends: connections and Services outlive the agent.
 */
export class Proxy implements Runnable {
  readonly #deps: ProxyDeps;
  readonly #config: ProxyLoopConfig;
  readonly #tracker: ServiceTracker;
  readonly #wakeup = new Wakeup();
  #failure: string | undefined = 'Service routing has not been set up yet';
  #dirty = false;
  readonly #former: ProxyBackend[];
  #formerTold = false;
  /** Why no port of SCTP is routed here; empty when they are, undefined while none was wanted. */
  #sctpProblem: string | undefined;
  #checks: HealthChecks | undefined;
  /** Ports that could not be had, so that each is told once. */
  #unchecked: ReadonlySet<number> = new Set();

  constructor(deps: ProxyDeps, config: ProxyLoopConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#tracker = new ServiceTracker(config.nodeName);
    this.#former = [...deps.former ?? []];
  }

  /** Why Services may not work on this host; undefined when the kernel has what is desired or a change is on its way. */
  get failure(): string | undefined { return this.#failure; }

  async start(signal: AbortSignal): Promise<void> {
    const { state, pods: reports } = this.#deps;
    for (const resource of [nodes, services, endpointSlices, pods]) {
      this.#tracker.note(state.list<KubeObject>(resource).map((object) => ({ type: 'set', resource, object })));
    }
    const unsubscribe = state.subscribe((changes) => {
      this.#dirty = this.#tracker.note(changes) || this.#dirty;
      // Also the first message of a node's life, which may hold no Service, opens the way.
      this.#wakeup.notify();
    });
    const unsubscribePods = reports.subscribe((report) => {
      if (!this.#tracker.notePod(report)) return;
      this.#dirty = true;
      this.#wakeup.notify();
    });
    try {
      await this.#loop(signal);
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      unsubscribe();
      unsubscribePods();
      await this.#checks?.update([]);
    }
  }

  async #loop(signal: AbortSignal): Promise<void> {
    const { state, clock } = this.#deps;
    while (!state.known) await this.#wakeup.wait(signal);
    let full = true;
    let failures = 0;
    let checkAtMs = 0;
    while (!signal.aborted) {
      this.#dirty = false;
      const change = this.#tracker.take(this.#deps.pods.all());
      const touched = full || change.set.length + change.removed.length > 0;
      full = !await this.#sync(full, change, signal);
      failures = full ? failures + 1 : 0;
      await this.#answerChecks();
      if (full) {
        await clock.sleep(backoffMs(retry, failures, this.#deps.random), signal);
        continue;
      }
      if (touched) {
        checkAtMs = clock.monotonic() + this.#config.checkIntervalMs;
        // What changed nothing here (an endpoint that is not ready yet) does not keep the next from being routed at once.
        await clock.sleep(this.#config.minIntervalMs, signal);
      }
      while (!this.#dirty && !full) {
        // Other changes of the state wake this, too, and must not put the check off.
        if (await this.#wakeup.waitAtMost(Math.max(0, checkAtMs - clock.monotonic()), clock, signal)) continue;
        full = !await this.#intact(signal);
        await this.#removeFormer(signal);
        checkAtMs = clock.monotonic() + this.#config.checkIntervalMs;
      }
    }
  }

  /** Returns whether the kernel now has what is desired. */
  async #sync(full: boolean, change: ProxyChange, signal: AbortSignal): Promise<boolean> {
    const { backend, log } = this.#deps;
    try {
      if (full) await backend.replace(await this.#routable(this.#tracker.all(), signal), signal);
      else if (change.set.length + change.removed.length > 0) await backend.apply(await this.#routableOf(change, signal), signal);
      if (full) await this.#removeFormer(signal);
      if (this.#failure !== undefined) log.info({ backend: backend.name, ports: this.#tracker.all().length }, 'service routing is in place');
      this.#failure = undefined;
      return true;
    } catch (error) {
      if (signal.aborted) throw error;
      this.#failure = messageOf(error);
      log.warn({ backend: backend.name, full, err: this.#failure }, 'service routing could not be changed; replacing it');
      return false;
    }
  }

  /** Most hosts have no Service that asks for it: loaded with the first. */
  async #answerChecks(): Promise<void> {
    const checks = this.#tracker.checks();
    if (!this.#checks && checks.length === 0) return;
    this.#checks ??= new (await import('./health-checks.ts')).HealthChecks(() => this.#failure === undefined);
    const failed = await this.#checks.update(checks);
    for (const { check, why } of failed) if (!this.#unchecked.has(check.nodePort)) this.#tellOfCheck(check, why);
    this.#unchecked = new Set(failed.map(({ check }) => check.nodePort));
  }

  #tellOfCheck({ namespace, name, nodePort }: HealthCheck, why: string): void {
    this.#deps.log.warn({ namespace, name, nodePort, why }, 'load balancers cannot ask for the health of a service on this host');
    this.#tell('FailedToStartServiceHealthcheck', `health checks of Service ${namespace}/${name} cannot be answered on port ${String(nodePort)} of this host: ${why}`);
  }

  /** Without the ports whose protocol this host cannot route: they must not keep the others from working. */
  async #routable(ports: readonly ServicePort[], signal: AbortSignal): Promise<readonly ServicePort[]> {
    if (!ports.some(({ protocol }) => protocol === 'SCTP')) return ports;
    const { backend } = this.#deps;
    if (this.#sctpProblem === undefined) {
      this.#sctpProblem = await backend.lacksSctp?.(signal) ?? '';
      if (this.#sctpProblem !== '') this.#tell('ProtocolNotSupported', `Services' ports of protocol SCTP are not routed on this host (${backend.name}): ${this.#sctpProblem}; load it with modprobe and restart the agent, or choose another --proxy-mode`);
    }
    return this.#sctpProblem === '' ? ports : ports.filter(({ protocol }) => protocol !== 'SCTP');
  }

  async #routableOf(change: ProxyChange, signal: AbortSignal): Promise<ProxyChange> {
    const set = await this.#routable(change.set, signal);
    if (set === change.set) return change;
    // A port may have been of another protocol before.
    return { set, removed: [...change.removed, ...change.set.filter((port) => !set.includes(port)).map(({ id }) => id)] };
  }

  /** Services work whatever becomes of it: what is left is tried again whenever the rules are looked at. */
  async #removeFormer(signal: AbortSignal): Promise<void> {
    const { log, backend } = this.#deps;
    for (let former = this.#former[0]; former; former = this.#former[0]) {
      try {
        await former.cleanup(signal);
      } catch (error) {
        if (signal.aborted) throw error;
        const why = messageOf(error);
        log.warn({ backend: former.name, err: why }, 'rules of the backend used before cannot be removed; trying again');
        if (!this.#formerTold) this.#tell('FormerServiceRulesLeft', `Services are routed with ${backend.name}, but rules that ${former.name} made before cannot be removed: ${why}`);
        this.#formerTold = true;
        return;
      }
      this.#former.shift();
      log.info({ backend: former.name, now: backend.name }, 'rules of the backend used before are gone');
    }
  }

  async #intact(signal: AbortSignal): Promise<boolean> {
    try {
      if (await this.#deps.backend.intact(signal)) return true;
      this.#deps.log.warn({ backend: this.#deps.backend.name }, 'service rules were removed by another program; putting them back');
      this.#tell('ServiceRulesRemoved', `another program removed this host's Service rules (${this.#deps.backend.name}); they are put back`);
    } catch (error) {
      if (signal.aborted) throw error;
      this.#deps.log.warn({ err: messageOf(error) }, 'service rules could not be checked; replacing them');
    }
    return false;
  }

  #tell(reason: string, message: string): void {
    const { nodeName } = this.#config;
    this.#deps.events.emit(nodeEvent(nodeName, this.#deps.clock, 'Warning', reason, message));
  }
}
