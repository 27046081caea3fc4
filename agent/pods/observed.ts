import type { Container, Sandbox } from '#agent/runtimes/types.ts';
import type { Container as ContainerSpec, Pod } from '#api/gen/types.ts';
import { startsAgain } from '#api/pod-spec/restart.ts';
import { needsRestart } from './allocation/resources.ts';
import { crashKey, restartAtMs } from './crash-backoff.ts';
import { containersOf, ephemeralContainersOf, initContainersOf, isSidecar, restartPolicyOf, specHash } from './spec/containers.ts';
import type { PodView } from './types.ts';

/** The sandbox that containers start in: the youngest, if it runs. */
export function currentSandbox(view: PodView): Sandbox | undefined {
  const youngest = newestSandbox(view);
  return youngest?.state === 'ready' ? youngest : undefined;
}

export function newestSandbox(view: PodView): Sandbox | undefined {
  return view.sandboxes.reduce<Sandbox | undefined>((best, s) => (!best || s.attempt > best.attempt || (s.attempt === best.attempt && s.createdAtMs > best.createdAtMs) ? s : best), undefined);
}

/** Attempts of one container, newest first. */
export function attemptsOf(view: PodView, name: string): Container[] {
  return view.containers.filter((c) => c.name === name).sort((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs);
}

export function isRunning(container: Container): boolean {
  return container.state === 'running' || container.state === 'unknown';
}

/** Whether a container of this pod that ended is to be started again. */
export function restarts(pod: Pod, spec: ContainerSpec, ended: Container): boolean {
  if (ephemeralContainersOf(pod).some((c) => c.name === spec.name)) return false;
  return startsAgain(spec, restartPolicyOf(pod), ended.exitCode, initContainersOf(pod).includes(spec));
}

/** Whether the container has resources that only a new one can exchange. */
export function mustRestart({ resize }: PodView, spec: ContainerSpec): boolean {
  const former = resize?.former.get(spec.name);
  return former !== undefined && needsRestart(spec, former);
}

/** The back-off that keeps an ended container from starting, and its (monotonic) end; undefined when nothing does. */
export function crashLoop(view: PodView, spec: ContainerSpec, ended: Container): { readonly delayMs: number; readonly untilMs: number } | undefined {
  const backoff = view.crashes.get(crashKey(spec.name, specHash(spec)));
  const untilMs = restartAtMs(backoff, view.ended.get(ended.id) ?? view.monotonicMs);
  return backoff && untilMs > view.monotonicMs ? { delayMs: backoff.delayMs, untilMs } : undefined;
}

/** True when the control plane knows the pod as finished: that is for good, whatever became of its containers. */
export function wasTerminal({ pod }: PodView): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** How long the pod may still be active; undefined without a deadline. */
export function untilDeadlineMs({ pod, activeMs }: PodView): number | undefined {
  const seconds = pod.spec?.activeDeadlineSeconds;
  return seconds === undefined || activeMs === undefined ? undefined : seconds * 1000 - activeMs;
}

/** True when the pod has been active for longer than its activeDeadlineSeconds. */
export function isPastDeadline(view: PodView): boolean {
  return (untilDeadlineMs(view) ?? 1) <= 0;
}

/** True once all init containers have done their part in this sandbox. */
export function isInitialized(view: PodView, sandbox: Sandbox | undefined): boolean {
  if (!sandbox) return initContainersOf(view.pod).length === 0;
  const here = view.containers.filter((c) => c.sandboxId === sandbox.id);
  // A main container exists only because initialization was over; its traces may have been pruned since.
  if (containersOf(view.pod).some((spec) => here.some((c) => c.name === spec.name))) return true;
  return initContainersOf(view.pod).every((spec) => {
    const latest = attemptsOf(view, spec.name).find((c) => c.sandboxId === sandbox.id);
    return latest !== undefined && initDone(view, spec, latest);
  });
}

/** Whether the next init container may start. */
export function initDone(view: PodView, spec: ContainerSpec, latest: Container): boolean {
  if (isSidecar(spec)) return latest.state === 'running' && (view.probes.get(latest.id)?.started ?? true);
  return latest.state === 'exited' && latest.exitCode === 0;
}

/** True when the pod has run to its end: nothing of it will be started again. */
export function isFinished(view: PodView): boolean {
  const { pod } = view;
  if (initFailed(view)) return true;
  return containersOf(pod).length > 0 && containersOf(pod).every((spec) => {
    const latest = attemptsOf(view, spec.name)[0];
    return latest?.state === 'exited' && latest.specHash === specHash(spec) && !mustRestart(view, spec) && !restarts(pod, spec, latest);
  });
}

/** True when an init container failed for good. */
export function initFailed(view: PodView): boolean {
  return initContainersOf(view.pod).some((spec) => {
    const latest = attemptsOf(view, spec.name)[0];
    return latest?.state === 'exited' && latest.exitCode !== 0 && !restarts(view.pod, spec, latest);
  });
}

/** The number of the next attempt. After the runtime lost everything, counting goes on from what the control plane knows. */
export function nextAttempt(view: PodView, name: string): number {
  const [latest] = attemptsOf(view, name);
  if (latest) return latest.attempt + 1;
  const known = knownRestarts(view.pod, name);
  return known > 0 ? known + 1 : 0;
}

/** The restart count that the control plane remembers. */
export function knownRestarts(pod: Pod, name: string): number {
  const statuses = [...pod.status?.containerStatuses ?? [], ...pod.status?.initContainerStatuses ?? []];
  return statuses.find((s) => s.name === name)?.restartCount ?? 0;
}
