import type { Container, Sandbox } from '#agent/runtimes/types.ts';
import type { Container as ContainerSpec } from '#api/gen/types.ts';
import { wholePod } from './allocation/allocation.ts';
import { attemptsOf, crashLoop, currentSandbox, initDone, isFinished, isInitialized, isPastDeadline, isRunning, mustRestart, newestSandbox, nextAttempt, restarts, untilDeadlineMs, wasTerminal } from './observed.ts';
import { containersOf, ephemeralContainersOf, graceSecondsOf, initContainersOf, isSidecar, restartPolicyOf, specHash } from './spec/containers.ts';
import { resizeKey, sandboxKey, type Decision, type Kill, type PodView } from './types.ts';

/** Sidecars end last and get what the others left of the grace period, but never less than this. */
const minSidecarGraceSeconds = 2;

/**
 * The pod state machine: looks at what is wanted and what is there, and names the one next thing to do. It keeps
 * no memory and is asked again after each thing done, so it also continues what another agent process began.
 * Deliberately flat: read it from top to bottom, the first rule that applies wins.
 */
export function step(view: PodView): Decision {
  if (view.ending) return end(view);
  if (view.rejection) return { type: 'done' };
  if (wasTerminal(view) || isFinished(view) || isPastDeadline(view) || view.eviction || view.withheld) return finish(view);
  if (view.haltSeconds !== undefined) return halt(view, view.haltSeconds);
  const leftMs = untilDeadlineMs(view);
  const decision = advance(view);
  if (leftMs === undefined || (decision.type !== 'wait' && decision.type !== 'done')) return decision;
  return { type: 'wait', untilMs: Math.min(view.monotonicMs + leftMs, decision.type === 'wait' ? decision.untilMs : Infinity) };
}

/** Towards a pod of which everything runs. */
function advance(view: PodView): Decision {
  const sandbox = currentSandbox(view);
  // What still runs in a sandbox without its network is of no use and holds names and ports.
  const unused = view.sandboxes.find((s) => s.id !== sandbox?.id && holdsNetwork(view, s));
  if (unused) return { type: 'stop-sandbox', id: unused.id };
  if (!sandbox) return replaceSandbox(view);

  const kills = containersToKill(view, sandbox);
  if (kills.length > 0) return { type: 'kill', kills };

  const waits: number[] = [];
  const resize = resizeRunning(view, waits);
  if (resize) return resize;
  // First, because they are there to find out why the others do not start.
  for (const spec of ephemeralContainersOf(view.pod)) {
    const latest = attemptsOf(view, spec.name)[0];
    const decision = latest === undefined || latest.state === 'created' ? startContainer(view, sandbox, spec, waits) : undefined;
    if (decision) return decision;
  }
  const initial = startInitContainers(view, sandbox, waits);
  if (initial) return initial;
  if (isInitialized(view, sandbox)) {
    for (const spec of containersOf(view.pod)) {
      const decision = startContainer(view, sandbox, spec, waits);
      if (decision) return decision;
    }
  }
  return prune(view, sandbox) ?? waitOrDone(waits);
}

/** What must be started anew for it has been killed before; what does not run gets it when it starts. */
function resizeRunning(view: PodView, waits: number[]): Decision | undefined {
  const { former } = view.resize ?? {};
  if (former === undefined || !(former.has(wholePod) || view.containers.some((c) => isRunning(c) && former.has(c.name)))) return undefined;
  const failure = view.failures.get(resizeKey);
  if (!failure || failure.untilMs <= view.monotonicMs) return { type: 'resize' };
  waits.push(failure.untilMs);
  return undefined;
}

/** Stop everything, then remove everything; both at once where there is no time to end in, and nobody to hear how that went. */
function end(view: PodView): Decision {
  const { graceSeconds: given, isForgotten } = view.ending ?? {};
  if (given === 0 && isForgotten && !view.failures.has(sandboxKey)) return { type: 'remove' };
  const passedSeconds = Math.round((view.monotonicMs - (view.ending?.sinceMs ?? view.monotonicMs)) / 1000);
  const kills = killInOrder(view, (container, sidecar) => {
    const graceSeconds = given ?? container.graceSeconds;
    return sidecar ? Math.max(Math.min(graceSeconds, minSidecarGraceSeconds), graceSeconds - passedSeconds) : graceSeconds;
  });
  if (kills) return kills;
  const failure = view.failures.get(sandboxKey);
  return failure && failure.untilMs > view.monotonicMs ? { type: 'wait', untilMs: failure.untilMs } : { type: 'remove' };
}

/** Everything ran to its end, or may not run on: what still runs beside it is stopped, logs and exit codes stay until the pod is deleted. */
function finish(view: PodView): Decision {
  const kills = killInOrder(view, () => Math.min(graceSecondsOf(view.pod), view.eviction?.graceSeconds ?? Infinity, view.withheld?.graceSeconds ?? Infinity));
  if (kills) return kills;
  const used = view.sandboxes.find((s) => holdsNetwork(view, s));
  return used ? { type: 'stop-sandbox', id: used.id, last: true } : { type: 'done' };
}

/** The pod has not failed: it goes on when the host is up again. */
function halt(view: PodView, haltSeconds: number): Decision {
  return killInOrder(view, () => Math.min(graceSecondsOf(view.pod), haltSeconds)) ?? { type: 'done' };
}

/** All at once but for the sidecars: those last, the first started the very last. Undefined when nothing runs. */
function killInOrder(view: PodView, graceSeconds: (container: Container, sidecar: boolean) => number): Decision | undefined {
  const running = view.containers.filter(isRunning);
  const sidecars = initContainersOf(view.pod).filter(isSidecar).map((spec) => spec.name);
  const others = running.filter((c) => !sidecars.includes(c.name));
  const last = sidecars.findLast((name) => running.some((c) => c.name === name));
  const now = others.length > 0 ? others : running.filter((c) => c.name === last);
  const killed = (c: Container): Kill => kill(c, graceSeconds(c, sidecars.includes(c.name)), `Stopping container ${c.name}`);
  const later = running.filter((c) => !now.includes(c));
  return now.length === 0 ? undefined : { type: 'kill', kills: now.map(killed), ...(later.length > 0 && { later: later.map(killed) }) };
}

function holdsNetwork(view: PodView, sandbox: Sandbox): boolean {
  return sandbox.state === 'ready' || !view.stopped.has(sandbox.id);
}

function replaceSandbox(view: PodView): Decision {
  const lost = newestSandbox(view);
  const failure = view.failures.get(sandboxKey);
  if (failure && failure.untilMs > view.monotonicMs) return { type: 'wait', untilMs: failure.untilMs };
  return { type: 'run-sandbox', attempt: lost ? lost.attempt + 1 : 0 };
}

function containersToKill(view: PodView, sandbox: Sandbox): Kill[] {
  const kills: Kill[] = [];
  for (const spec of [...initContainersOf(view.pod), ...containersOf(view.pod)]) {
    for (const [index, container] of attemptsOf(view, spec.name).entries()) {
      if (!isRunning(container)) continue;
      const why = killReason(view, sandbox, spec, container, index === 0);
      if (why) kills.push(kill(container, why.graceSeconds ?? graceSecondsOf(view.pod), why.message));
    }
  }
  return kills;
}

function killReason(view: PodView, sandbox: Sandbox, spec: ContainerSpec, container: Container, newest: boolean): { message: string; graceSeconds?: number | undefined } | undefined {
  if (!newest || container.sandboxId !== sandbox.id) return { message: `Stopping container ${spec.name}` };
  if (view.outdated?.has(spec.name) && (restartPolicyOf(view.pod) !== 'Never' || isSidecar(spec))) return { message: `Container ${spec.name} has a device that was plugged in again, will be restarted` };
  const isInit = initContainersOf(view.pod).includes(spec);
  const told = (what: string, again = true): string => (isInit ? `Init container ${spec.name} ${what}` : `Container ${spec.name} ${what}${again ? ', will be restarted' : ''}`);
  // One that is to end anyway comes to its end.
  if (container.specHash !== specHash(spec) && (!isInit || isSidecar(spec))) return { message: told('definition changed') };
  if (mustRestart(view, spec)) return { message: `Container ${spec.name} resize requires restart` };
  const failed = view.probes.get(container.id)?.failed;
  if (failed) {
    const probe = failed === 'liveness' ? spec.livenessProbe : spec.startupProbe;
    // What the exit code of one that was killed will be is not known yet.
    const again = (spec.restartPolicy ?? restartPolicyOf(view.pod)) !== 'Never';
    return { message: told(`failed ${failed} probe`, again), graceSeconds: probe?.terminationGracePeriodSeconds };
  }
  return container.state === 'unknown' ? { message: `Container ${spec.name} is in an unknown state, will be restarted` } : undefined;
}

/** In order; a sidecar counts when it has started. Sidecars are kept running for ever after. */
function startInitContainers(view: PodView, sandbox: Sandbox, waits: number[]): Decision | undefined {
  const initialized = isInitialized(view, sandbox);
  for (const spec of initContainersOf(view.pod)) {
    const latest = attemptsOf(view, spec.name).find((c) => c.sandboxId === sandbox.id);
    // One that has done its part does not do it again, with another image neither.
    if (!isSidecar(spec) && (initialized || (latest && initDone(view, spec, latest)))) continue;
    const decision = startContainer(view, sandbox, spec, waits);
    if (decision) return decision;
    if (!initialized && !(latest && initDone(view, spec, latest))) return prune(view, sandbox) ?? waitOrDone(waits);
  }
  return undefined;
}

/** Starts a container unless it runs, is done, or has to wait; the time until when goes to `waits`. */
function startContainer(view: PodView, sandbox: Sandbox, spec: ContainerSpec, waits: number[]): Decision | undefined {
  const latest = attemptsOf(view, spec.name)[0];
  const here = latest?.sandboxId === sandbox.id;
  if (latest && isRunning(latest)) return undefined;
  const failure = view.failures.get(spec.name);
  if (latest && here && latest.state === 'created') {
    // The runtime may still be at starting it for an agent that is no more: then a second start fails.
    if (failure && failure.untilMs > view.monotonicMs) { waits.push(failure.untilMs); return undefined; }
    return { type: 'resume', name: spec.name, id: latest.id };
  }
  if (latest?.state === 'exited') {
    // A new sandbox runs its init containers anew, whatever became of them in the old one.
    const anew = !here && initContainersOf(view.pod).includes(spec);
    if (!anew && latest.specHash === specHash(spec) && !mustRestart(view, spec) && !restarts(view.pod, spec, latest)) return undefined;
    const loop = here ? crashLoop(view, spec, latest) : undefined;
    if (loop) { waits.push(loop.untilMs); return undefined; }
  }
  if (failure && failure.untilMs > view.monotonicMs) { waits.push(failure.untilMs); return undefined; }
  return { type: 'start', name: spec.name, sandboxId: sandbox.id, attempt: nextAttempt(view, spec.name) };
}

/** The newest two attempts stay: the current one, and the one that `--previous` and `lastState` speak of. */
function prune(view: PodView, sandbox: Sandbox): Decision | undefined {
  const names = new Set(view.containers.map((c) => c.name));
  const containers = [...names].flatMap((name) => attemptsOf(view, name).slice(2)).filter((c) => !isRunning(c));
  const gone = new Set(containers.map((c) => c.id));
  const sandboxes = view.sandboxes.filter((s) => s.id !== sandbox.id && !view.containers.some((c) => c.sandboxId === s.id && !gone.has(c.id)));
  return containers.length + sandboxes.length > 0 ? { type: 'prune', containers, sandboxes } : undefined;
}

function waitOrDone(waits: readonly number[]): Decision {
  return waits.length > 0 ? { type: 'wait', untilMs: Math.min(...waits) } : { type: 'done' };
}

function kill(container: Container, graceSeconds: number, message: string): Kill {
  return { id: container.id, name: container.name, graceSeconds, message };
}
