import type { NetworkPolicy, Pod, PodStatus } from '#api/gen/types.ts';
import { networkPolicies, pods } from '#api/kinds/resources.ts';
import { peerGroupSlices } from '#api/network-policy/peer-group.ts';
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Wakeup } from '#common/wakeup.ts';
import type { PodPresence } from '#agent/pods/types.ts';
import { nodeEvent } from '#agent/session/node-event.ts';
import type { AgentEvents, PodReports } from '#agent/session/types.ts';
import type { DesiredState } from '#agent/state/types.ts';
import { isSelected, RulesetBuilder } from './ruleset.ts';
import type { KeptPod, LocalPod, PolicyBackend, PolicyView, Ruleset } from './types.ts';

export interface PolicyEnforcerDeps {
  readonly state: DesiredState;
  readonly pods: Pick<PodReports, 'all' | 'subscribe'> & PodPresence;
  readonly backend: PolicyBackend;
  /** An earlier life of the agent may have left rules. */
  readonly leftOver: boolean;
  readonly events: AgentEvents;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

export interface PolicyEnforcerConfig {
  readonly nodeName: string;
  /** The least time between two transactions; changes in between travel together. */
  readonly minIntervalMs: number;
  /** How often to look whether another program removed the rules. */
  readonly checkIntervalMs: number;
}

export const policyEnforcerDefaults = { minIntervalMs: 50, checkIntervalMs: 10_000 } as const;

const retry = { baseMs: 500, maxMs: 30_000, jitter: 0.2 } as const;

/** A pod that is about to run, for whose rules somebody waits. */
interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Keeps the kernel's rules equal to the NetworkPolicies about this host's pods. Without policies it does nothing and
 * there are no rules. They stay in place when it ends: what was forbidden stays so while the agent is away.
 */
export class PolicyEnforcer implements Runnable {
  readonly #deps: PolicyEnforcerDeps;
  readonly #config: PolicyEnforcerConfig;
  readonly #builder = new RulesetBuilder();
  readonly #wakeup = new Wakeup();
  /** By pod uid: addresses of pods that nobody reports yet. */
  readonly #announced = new Map<string, readonly string[]>();
  /** By address, the pod that got it last: one that died may still be reported with it. */
  readonly #owners = new Map<string, string>();
  #waiters: Waiter[] = [];
  #applied: Ruleset | undefined;
  /** By pod uid, those that end here though nobody asks for them any more. */
  readonly #kept = new Map<string, KeptPod>();
  /** By pod uid, addresses of those that an earlier life of the agent left: what it knew of them is lost. */
  #strangers: ReadonlyMap<string, readonly string[]> = new Map();
  #looked = false;
  #view: PolicyView | undefined;
  #ended = false;
  /** Addresses that were isolated when last looked at. */
  #isolated: ReadonlySet<string> = new Set();
  #failure: string | undefined;
  #leftOver: boolean;
  #dirty = true;

  constructor(deps: PolicyEnforcerDeps, config: PolicyEnforcerConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#leftOver = deps.leftOver;
  }

  /** Why policies may not hold on this host; undefined while they do. */
  get failure(): string | undefined { return this.#failure; }

  async start(signal: AbortSignal): Promise<void> {
    const { state, pods: reports } = this.#deps;
    const concerned = new Set([pods.plural, networkPolicies.plural, peerGroupSlices.plural]);
    const stops = [
      state.subscribe((changes) => { if (changes.some(({ resource }) => concerned.has(resource.plural))) this.#changed(); }),
      reports.subscribe(({ uid, status }) => {
        if ((status.podIPs ?? []).length > 0 || hasEnded(status)) this.#announced.delete(uid);
        // Without policies nothing of a pod matters.
        if (this.#isNeeded) this.#changed();
      }),
      reports.onLeft(() => { if (this.#kept.size + this.#strangers.size > 0) this.#changed(); }),
    ];
    try {
      await this.#loop(signal);
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      for (const stop of stops) stop();
      this.#ended = true;
      this.#settle(ending());
    }
  }

  /**
   * Resolves when the kernel keeps to all policies about a pod that has these addresses and is about to run; at once
   * where none is. Rejects when it cannot: the pod must not run then.
   */
  async protect(pod: Pod, ips: readonly string[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { uid = '', namespace = '', labels = {} } = pod.metadata ?? {};
    if (pod.spec?.hostNetwork === true || !isSelected(this.#policies(), namespace, labels)) return;
    if (!this.#dirty && this.#applied && ips.every((ip) => this.#isolated.has(ip) && this.#owners.get(ip) === uid)) return;
    if (this.#ended) throw ending();
    this.#announced.set(uid, ips);
    for (const ip of ips) this.#owners.set(ip, uid);
    this.#changed();
    await new Promise<void>((resolve, reject) => {
      const abort = (): void => { reject(signal.reason as Error); };
      signal.addEventListener('abort', abort, { once: true });
      const settled = (then: () => void) => (): void => { signal.removeEventListener('abort', abort); then(); };
      this.#waiters.push({ resolve: settled(resolve), reject: (error) => { settled(() => { reject(error); })(); } });
    });
  }

  #policies(): readonly NetworkPolicy[] { return this.#deps.state.list(networkPolicies); }

  get #isNeeded(): boolean { return this.#applied !== undefined || this.#policies().length > 0; }

  #changed(): void {
    this.#dirty = true;
    this.#wakeup.notify();
  }

  async #loop(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#deps;
    let failures = 0;
    while (!signal.aborted) {
      this.#dirty = false;
      const waiters = this.#waiters;
      this.#waiters = [];
      let failure: unknown = ending();
      try {
        failure = await this.#sync(signal);
      } finally {
        this.#settle(failure, waiters);
      }
      failures = failure === undefined ? 0 : failures + 1;
      if (failure !== undefined) await clock.sleep(backoffMs(retry, failures, random), signal);
      else await this.#rest(signal);
    }
  }

  /** Until something changes, or the rules are not what they were. */
  async #rest(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    await clock.sleep(this.#config.minIntervalMs, signal);
    let checkAtMs = clock.monotonic() + this.#config.checkIntervalMs;
    while (!this.#dirty) {
      if (!this.#applied) { await this.#wakeup.wait(signal); continue; }
      await this.#wakeup.waitAtMost(Math.max(0, checkAtMs - clock.monotonic()), clock, signal);
      if (this.#dirty || clock.monotonic() < checkAtMs) continue;
      if (!await this.#intact(signal)) return;
      checkAtMs = clock.monotonic() + this.#config.checkIntervalMs;
    }
  }

  /** Resolves with what failed. */
  async #sync(signal: AbortSignal): Promise<unknown> {
    const { backend, log } = this.#deps;
    try {
      if (this.#policies().length > 0 || (this.#deps.state.known && (this.#applied ?? this.#leftOver))) await this.#look(signal);
      const view = this.#view = this.#viewNow();
      if (view.policies.length + view.kept.length + view.orphans.length === 0) {
        // What was known before a restart may be all there is until the control plane answers.
        if ((this.#applied ?? this.#leftOver) && this.#deps.state.known) await backend.cleanup(signal);
        this.#leftOver &&= !this.#deps.state.known;
        this.#applied = undefined;
        this.#isolated = new Set();
        this.#failure = undefined;
        return undefined;
      }
      const rules = this.#builder.build(view);
      if (this.#applied) await backend.apply(rules, signal);
      else await this.#begin(rules, signal);
      if (this.#failure !== undefined) log.info('network policies are enforced again');
      this.#applied = rules;
      this.#isolated = new Set(view.pods.flatMap(({ ips }) => ips));
      this.#failure = undefined;
      return undefined;
    } catch (error) {
      if (signal.aborted) throw error;
      this.#applied = undefined;
      if (this.#failure === undefined) this.#tell('NetworkPolicyNotEnforced', `network policies are not enforced on this host: ${messageOf(error)}; pods that a policy selects do not start here until they are`);
      this.#failure = messageOf(error);
      log.warn({ err: this.#failure }, 'network policies cannot be enforced; retrying');
      return error;
    }
  }

  async #begin(rules: Ruleset, signal: AbortSignal): Promise<void> {
    const problem = await this.#deps.backend.unusable(signal);
    if (problem !== undefined) throw new StatusError('ServiceUnavailable', problem);
    await this.#deps.backend.replace(rules, signal);
  }

  async #intact(signal: AbortSignal): Promise<boolean> {
    try {
      if (await this.#deps.backend.intact(signal)) return true;
      this.#deps.log.warn('the rules of network policies were removed by another program; putting them back');
      this.#tell('PolicyRulesRemoved', "another program removed this host's rules of network policies; they are put back");
    } catch (error) {
      if (signal.aborted) throw error;
      this.#deps.log.warn({ err: messageOf(error) }, 'the rules of network policies could not be checked; replacing them');
    }
    this.#applied = undefined;
    return false;
  }

  /** Learns addresses that nobody tells: after a start nothing is reported yet, and the rules of before must not go for that. */
  async #look(signal: AbortSignal): Promise<void> {
    if (this.#applied && this.#strangers.size === 0) return;
    const { state, pods: reports } = this.#deps;
    const found = await reports.addresses(signal);
    const reported = new Set(reports.all().map(({ uid }) => uid));
    const uids = new Set(state.list(pods).map(({ metadata }) => metadata?.uid ?? ''));
    for (const [uid, ips] of found) {
      if (!uids.has(uid) || reported.has(uid) || this.#announced.has(uid)) continue;
      this.#announced.set(uid, ips);
    }
    // Without rules of an earlier life they were never held to any.
    const isStranger = (uid: string): boolean => !uids.has(uid) && !this.#kept.has(uid) && (this.#strangers.has(uid) || !this.#looked);
    this.#strangers = new Map(this.#leftOver ? [...found].filter(([uid, ips]) => ips.length > 0 && isStranger(uid)) : []);
    this.#looked = true;
  }

  /** Pods of which nothing runs any more have given their addresses back. */
  #viewNow(): PolicyView {
    const { state, pods: reports } = this.#deps;
    const reported = new Map(reports.all().filter(({ gone, status }) => !gone && !hasEnded(status)).map(({ uid, status }) => [uid, (status.podIPs ?? []).flatMap(({ ip }) => ip ?? [])]));
    const desired = state.list(pods);
    const uids = new Set(desired.map(({ metadata }) => metadata?.uid ?? ''));
    for (const uid of this.#announced.keys()) if (!uids.has(uid)) this.#announced.delete(uid);
    for (const [ip, uid] of this.#owners) if (!uids.has(uid)) this.#owners.delete(ip);
    const isOwn = (uid: string) => (ip: string): boolean => (this.#owners.get(ip) ?? uid) === uid;
    const local = desired.filter(({ spec }) => spec?.hostNetwork !== true).map((pod): LocalPod => {
      const uid = pod.metadata?.uid ?? '';
      return { uid, namespace: pod.metadata?.namespace ?? '', labels: pod.metadata?.labels ?? {}, ips: [...new Set([...reported.get(uid) ?? [], ...this.#announced.get(uid) ?? []])].filter(isOwn(uid)), ports: portsOf(pod) };
    });
    const taken = new Set(local.flatMap(({ ips }) => ips));
    this.#keep(new Set(reports.leaving().filter((uid) => !uids.has(uid))));
    const kept = [...this.#kept.values()].map((one) => ({ ...one, pod: { ...one.pod, ips: one.pod.ips.filter((ip) => !taken.has(ip)) } }));
    return { policies: this.#policies(), groups: state.list(peerGroupSlices), pods: local, kept, orphans: [...this.#strangers.values()].flat().filter((ip) => !taken.has(ip)) };
  }

  /** The control plane takes back with a pod what only that pod needed, though it may end for a while yet. */
  #keep(leaving: ReadonlySet<string>): void {
    for (const uid of this.#kept.keys()) if (!leaving.has(uid)) this.#kept.delete(uid);
    const { pods: before = [], policies = [], groups = [] } = this.#view ?? {};
    for (const pod of before) {
      if (!leaving.has(pod.uid) || this.#kept.has(pod.uid) || pod.ips.length === 0) continue;
      const own = policies.filter((policy) => isSelected([policy], pod.namespace, pod.labels));
      if (own.length > 0) this.#kept.set(pod.uid, { pod, policies: own, groups });
    }
  }

  #settle(failure: unknown, waiters: readonly Waiter[] = this.#waiters): void {
    for (const { resolve, reject } of waiters) if (failure === undefined) resolve(); else reject(failure);
  }

  #tell(reason: string, message: string): void {
    const { nodeName } = this.#config;
    this.#deps.events.emit(nodeEvent(nodeName, this.#deps.clock, 'Warning', reason, message));
  }
}

function hasEnded({ phase }: PodStatus): boolean {
  return phase === 'Succeeded' || phase === 'Failed';
}

function ending(): StatusError {
  return new StatusError('ServiceUnavailable', 'the agent is ending');
}

function portsOf({ spec }: Pod): LocalPod['ports'] {
  const containers = [...(spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always'), ...spec?.containers ?? []];
  return containers.flatMap(({ ports = [] }) => ports.flatMap(({ name, protocol = 'TCP', containerPort }) => (name ? [{ name, protocol, port: containerPort }] : [])));
}
