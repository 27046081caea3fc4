import type { Container as ContainerSpec, HTTPGetAction, LifecycleHandler } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { PodMemory } from './memory.ts';
import { currentSandbox } from './observed.ts';
import { notTls } from './probes/http-check.ts';
import type { Check, CheckTarget } from './probes/types.ts';
import type { PodRecorder } from './recorder.ts';
import { containerNamed, graceSecondsOf } from './spec/containers.ts';
import type { Decision, Kill, NodeFacts, PodView } from './types.ts';

export interface LifecycleDeps {
  readonly driver: RuntimeDriver;
  readonly clock: Clock;
  readonly check: Check;
  readonly node: NodeFacts;
  readonly recorder: PodRecorder;
}

/** `stop` ends with the agent; `interrupt` also when the pod's end changes what is worth waiting for. */
export interface Signals { readonly stop: AbortSignal; readonly interrupt: AbortSignal }

const minStopSeconds = 2;
/** A postStart hook may take as long as it likes; what runs it asks for an end. */
const longestHookMs = 7 * 86_400_000;

/** The hooks of containers, and their ends. */
export class ContainerLifecycle {
  readonly #deps: LifecycleDeps;
  readonly #memory: PodMemory;

  constructor(deps: LifecycleDeps, memory: PodMemory) {
    this.#deps = deps;
    this.#memory = memory;
  }

  /** Where hooks and probes of a container go. */
  target(view: PodView, spec: ContainerSpec, containerId: string): CheckTarget {
    const [hostIp = '127.0.0.1'] = this.#deps.node.hostIps();
    const ports = new Map((spec.ports ?? []).flatMap((p) => p.name === undefined ? [] : [[p.name, p.containerPort] as const]));
    return { containerId, ip: view.pod.spec?.hostNetwork ? hostIp : currentSandbox(view)?.ips[0] ?? '', ports };
  }

  /** What is to be done when a container has been started. One whose hook fails is ended. */
  async started(view: PodView, spec: ContainerSpec, id: string, signals: Signals): Promise<void> {
    if (!spec.lifecycle?.postStart) return;
    const problem = await this.#runHook(spec.lifecycle.postStart, this.target(view, spec, id), longestHookMs, signals.interrupt);
    if (problem === undefined) return;
    this.#deps.recorder.emit('Warning', 'FailedPostStartHook', `PostStartHook failed: ${problem}`, spec.name);
    await this.#kill(view, { id, name: spec.name, graceSeconds: graceSecondsOf(view.pod), message: 'FailedPostStartHook' }, signals);
  }

  /** Resolves when those of now have ended. */
  async kill(view: PodView, { kills, later = [] }: Extract<Decision, { type: 'kill' }>, signals: Signals): Promise<void> {
    // Whoever kills them waits for these, or hears why they did not come to their end.
    for (const kill of later) this.#preStop(view, kill, signals)?.catch(() => undefined);
    await Promise.all(kills.map((kill) => this.#kill(view, kill, signals)));
  }

  async #kill(view: PodView, kill: Kill, signals: Signals): Promise<void> {
    const { driver, clock, recorder } = this.#deps;
    const { id, name, graceSeconds, message } = kill;
    recorder.emit('Normal', 'Killing', message, name);
    this.#memory.probes.get(id)?.startEnding();
    const beganMs = clock.monotonic();
    const preStop = this.#preStop(view, kill, signals);
    await preStop;
    const remaining = preStop ? Math.max(minStopSeconds, graceSeconds - Math.round((clock.monotonic() - beganMs) / 1000)) : graceSeconds;
    await driver.stopContainer(id, remaining, signals.interrupt);
  }

  /** The container's preStop hook, which begins now unless it has begun before; undefined without one. Rejects when it is interrupted. */
  #preStop(view: PodView, { id, name, graceSeconds }: Kill, { interrupt }: Signals): Promise<void> | undefined {
    const spec = containerNamed(view.pod, name);
    if (!spec?.lifecycle?.preStop || graceSeconds <= 0) return undefined;
    const { preStops } = this.#memory;
    const begun = preStops.get(id);
    if (begun) return begun;
    const hook = this.#runHook(spec.lifecycle.preStop, this.target(view, spec, id), graceSeconds * 1000, interrupt).then((problem) => {
      if (problem !== undefined) this.#deps.recorder.emit('Warning', 'FailedPreStopHook', `PreStopHook failed: ${problem}`, name);
    }, (error: unknown) => {
      preStops.delete(id);
      throw error;
    });
    preStops.set(id, hook);
    return hook;
  }

  /** Resolves with what went wrong, or undefined. Of a request only whether it is answered counts, as with kubelet. */
  async #runHook(handler: LifecycleHandler, target: CheckTarget, timeoutMs: number, signal: AbortSignal): Promise<string | undefined> {
    const { exec, httpGet, sleep } = handler;
    if (sleep) {
      await this.#deps.clock.sleep(Math.min(timeoutMs, sleep.seconds * 1000), signal);
      return undefined;
    }
    if (!exec && !httpGet) return 'Cannot run handler: Invalid handler: there are hooks of exec, httpGet and sleep only';
    const timeoutSeconds = Math.max(1, Math.ceil(timeoutMs / 1000));
    try {
      const { ok, answered, output } = await this.#deps.check({ timeoutSeconds, ...(exec && { exec }), ...(httpGet && { httpGet }) }, target, signal);
      if (ok || answered) return undefined;
      return httpGet && output.endsWith(notTls) ? await this.#askPlainly(httpGet, output, timeoutSeconds, target, signal) : output;
    } catch (error) {
      signal.throwIfAborted();
      return messageOf(error);
    }
  }

  /** Hooks were once sent without TLS whatever they said, and there are servers that count on it; kubelet's `LifecycleHTTPFallback`. */
  async #askPlainly(httpGet: HTTPGetAction, problem: string, timeoutSeconds: number, target: CheckTarget, signal: AbortSignal): Promise<string | undefined> {
    const httpHeaders = (httpGet.httpHeaders ?? []).filter(({ name }) => name.toLowerCase() !== 'authorization');
    const { ok, answered } = await this.#deps.check({ timeoutSeconds, httpGet: { ...httpGet, scheme: 'HTTP', httpHeaders } }, target, signal);
    if (!ok && !answered) return problem;
    const [, host = ''] = /"https:\/\/([^/]*)/.exec(problem) ?? [];
    this.#deps.recorder.emit('Warning', 'LifecycleHTTPFallback', `request to HTTPS lifecycle hook ${host} got HTTP response, retry with HTTP succeeded`);
    return undefined;
  }
}
