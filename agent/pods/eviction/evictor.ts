import type { Pod, PodStatus } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { isAbort, TaskGroup, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Wakeup } from '#common/wakeup.ts';
import type { AgentCounts } from '#agent/metrics/counts.ts';
import type { Pressure } from '#agent/node/thresholds.ts';
import { processCount } from '#agent/runtimes/cgroups.ts';
import type { Container, RuntimeDriver } from '#agent/runtimes/types.ts';
import { nodeEvent } from '#agent/session/node-event.ts';
import type { AgentEvents } from '#agent/session/types.ts';
import { podPaths } from '../paths.ts';
import { podCgroup } from '../spec/sandbox-config.ts';
import type { Eviction } from '../types.ts';
import { hasStorageLimits, measureStorage, storageExcess, usedOf, type LocalStorage } from './local-storage.ts';
import { evictionMessage, isCritical, ranked, resourceOf, type Candidate } from './rank.ts';

/** A pod of this host as far as evictions are concerned. */
export interface EvictablePod {
  readonly uid: string;
  readonly pod: Pod;
  readonly status: PodStatus | undefined;
  /** It ends already, for whatever reason. */
  readonly isEnding: boolean;
  /** It has ended, and has given back what it had of the host. */
  readonly isOver: boolean;
  evict(eviction: Eviction): void;
}

export interface EvictorDeps {
  readonly pods: { evictable(): readonly EvictablePod[] };
  readonly node: {
    /** Looks now: the thresholds that are crossed, for long enough where they are soft. */
    pressures(signal: AbortSignal): Promise<readonly Pressure[]>;
    /** Some threshold is crossed. */
    readonly isPressed: boolean;
    /** Called when that becomes true. */
    onPressed(listener: () => void): () => void;
  };
  readonly driver: Pick<RuntimeDriver, 'list' | 'stats' | 'written' | 'removeContainer'>;
  readonly clock: Clock;
  readonly events: AgentEvents;
  readonly log: Log;
  /** Leaves the host the processes that it needs by now, so that a pod that forks without end can still be ended. */
  readonly limitPids?: () => Promise<unknown>;
  /** Frees what nobody needs before any pod has to go: unused images, say. Resolves with true when that helped. */
  readonly reclaim?: (signal: AbortSignal) => Promise<boolean>;
  /** Absent where nobody counts, as in some tests. */
  readonly counts?: Pick<AgentCounts, 'evicted'>;
}

export interface EvictorConfig {
  readonly nodeName: string;
  readonly stateDir: string;
  readonly podLogsDir?: string | undefined;
  readonly cgroupRoot: string;
  /** For pods that are evicted by a soft threshold. */
  readonly maxGraceSeconds: number;
  /** Growth of files has no event: pods with limits on them are measured so often. */
  readonly measureMs: number;
}

/** Kubelet's, for hard thresholds: time for a signal handler and no more. */
const hardGraceSeconds = 1;
const whilePressedMs = 10_000;
/** How long an evicted pod may take to end before the next one goes. */
const endingMs = 30_000;

/** Ends pods that would take the host down with them: one after the other, as long as the node is short of something; and those beyond their own limits of disk space. */
export class Evictor implements Runnable {
  readonly #deps: EvictorDeps;
  readonly #config: EvictorConfig;
  readonly #tasks: TaskGroup;

  constructor(deps: EvictorDeps, config: EvictorConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#tasks = new TaskGroup(deps.log);
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#tasks.run('limits of local storage', signal, () => this.#watchLimits(signal));
    try {
      for (;;) {
        await this.#untilPressed(signal);
        if (!(await this.#relieve(signal))) await this.#deps.clock.sleep(whilePressedMs, signal);
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      await this.#tasks.drain();
    }
  }

  async #untilPressed(signal: AbortSignal): Promise<void> {
    const { node } = this.#deps;
    const wakeup = new Wakeup();
    const unsubscribe = node.onPressed(() => { wakeup.notify(); });
    try {
      while (!node.isPressed) await wakeup.wait(signal);
    } finally {
      unsubscribe();
    }
  }

  /** True when something was done. */
  async #relieve(signal: AbortSignal): Promise<boolean> {
    try {
      const [pressure] = await this.#deps.node.pressures(signal);
      if (!pressure) return false;
      const resource = resourceOf(pressure.signal);
      this.#emit('EvictionThresholdMet', `Attempting to reclaim ${resource}`);
      if (resource !== 'memory' && resource !== 'pids' && await this.#deps.reclaim?.(signal)) return true;
      const candidates = await this.#candidates(pressure, signal);
      const [first] = ranked(candidates, pressure.signal);
      const victim = first && this.#deps.pods.evictable().find(({ uid }) => uid === first.pod.metadata?.uid);
      if (!first || !victim) {
        this.#deps.log.warn({ signal: pressure.signal }, 'the host is short of something, and there is no pod that may be evicted');
        return false;
      }
      const message = evictionMessage(first, pressure);
      this.#deps.log.warn({ pod: first.pod.metadata?.name, namespace: first.pod.metadata?.namespace, signal: pressure.signal }, 'evicting a pod: the host is short of something');
      this.#deps.counts?.evicted(pressure.signal);
      victim.evict(evictionOf(message, pressure.hard ? hardGraceSeconds : Math.max(hardGraceSeconds, this.#config.maxGraceSeconds)));
      await this.#untilEnded(victim, resource === 'ephemeral-storage' || resource === 'inodes', signal);
      return true;
    } catch (error) {
      if (signal.aborted) throw error;
      this.#deps.log.warn({ err: messageOf(error) }, 'no pod could be chosen for eviction; trying again');
      return false;
    }
  }

  async #candidates(pressure: Pressure, signal: AbortSignal): Promise<Candidate[]> {
    const { driver, pods } = this.#deps;
    const resource = resourceOf(pressure.signal);
    const [{ containers }, stats] = await Promise.all([driver.list(signal), driver.stats(signal)]);
    return Promise.all(pods.evictable().filter(mayEnd).map(async ({ uid, pod }): Promise<Candidate> => {
      const own = containers.filter((container) => container.podUid === uid && container.state === 'running');
      if (resource === 'pids') return { pod, usage: await processCount(podCgroup(this.#config.cgroupRoot, uid)), containers: new Map() };
      if (resource === 'memory') {
        const used = new Map(own.map(({ id, name }) => [name, stats.get(id)?.memoryBytes ?? 0]));
        return { pod, usage: [...used.values()].reduce((a, b) => a + b, 0), containers: used };
      }
      const storage = await this.#measure(pod, own, stats, signal);
      const part = resource === 'inodes' ? 'inodes' : 'bytes';
      return { pod, usage: usedOf(storage, pressure), containers: new Map([...storage.containers].map(([name, usage]) => [name, usage[part]])) };
    }));
  }

  async #watchLimits(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#deps.clock.sleep(this.#config.measureMs, signal);
      await this.#deps.limitPids?.().catch((error: unknown) => { this.#deps.log.warn({ err: messageOf(error) }, 'the number of processes of all pods cannot be limited'); });
      const limited = this.#deps.pods.evictable().filter((pod) => hasStorageLimits(pod.pod) && mayEnd(pod) && !isCritical(pod.pod));
      if (limited.length === 0) continue;
      try {
        const [{ containers }, stats] = await Promise.all([this.#deps.driver.list(signal), this.#deps.driver.stats(signal)]);
        for (const victim of limited) {
          const own = containers.filter((container) => container.podUid === victim.uid && container.state === 'running');
          const excess = storageExcess(victim.pod, await this.#measure(victim.pod, own, stats, signal));
          if (excess === undefined) continue;
          this.#deps.counts?.evicted(excess.signal);
          victim.evict(evictionOf(excess.message, hardGraceSeconds));
        }
      } catch (error) {
        if (signal.aborted) throw error;
        this.#deps.log.warn({ err: messageOf(error) }, 'the disk space of pods cannot be measured; trying again');
      }
    }
  }

  async #measure(pod: Pod, own: readonly Container[], stats: Awaited<ReturnType<RuntimeDriver['stats']>>, signal: AbortSignal): Promise<LocalStorage> {
    const counted = await this.#deps.driver.written?.(own.map(({ id }) => id), signal);
    const writable = new Map(own.map(({ id, name: container }) => [container, counted?.get(id) ?? stats.get(id)?.writable ?? { bytes: 0, inodes: 0 }]));
    const { namespace = '', name = '', uid = '' } = pod.metadata ?? {};
    return measureStorage(pod, podPaths(this.#config, { namespace, name, uid }), writable, signal);
  }

  /** With its volumes: those in memory are often why the host is short of it. With `remove` also what its containers wrote is freed. */
  async #untilEnded(victim: EvictablePod, remove: boolean, signal: AbortSignal): Promise<void> {
    const { clock, driver } = this.#deps;
    const deadlineMs = clock.monotonic() + endingMs;
    for (let waitMs = 100; clock.monotonic() < deadlineMs; waitMs = Math.min(2 * waitMs, 2000)) {
      await clock.sleep(waitMs, signal);
      const { containers } = await driver.list(signal, victim.uid);
      if (!victim.isOver || containers.some(({ state }) => state === 'running')) continue;
      if (remove) for (const { id } of containers) await driver.removeContainer(id, signal);
      return;
    }
  }

  #emit(reason: string, message: string): void {
    const { nodeName } = this.#config;
    this.#deps.events.emit(nodeEvent(nodeName, this.#deps.clock, 'Warning', reason, message));
  }
}

function mayEnd({ status, isEnding }: EvictablePod): boolean {
  return !isEnding && status?.phase !== 'Succeeded' && status?.phase !== 'Failed';
}

function evictionOf(message: string, graceSeconds: number): Eviction {
  return { reason: 'Evicted', message, graceSeconds, disruption: { reason: 'TerminationByKubelet', message } };
}
