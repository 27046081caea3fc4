import type { DeviceHealth } from '#agent/devices/types.ts';
import type { ContainerState, ContainerStateTerminated, ContainerStatus, Container as ContainerSpec, PodStatus, VolumeMount, VolumeMountStatus } from '#api/gen/types.ts';
import type { Container } from '#agent/runtimes/types.ts';
import { rfc3339 } from '#common/time.ts';
import { conditionsOf, isHalted, observedGeneration, shutdownMessage } from './conditions.ts';
import { attemptsOf, crashLoop, currentSandbox, initFailed, isFinished, isInitialized, isPastDeadline, isRunning, knownRestarts, restarts, wasTerminal } from './observed.ts';
import { allContainersOf, containersOf, ephemeralContainersOf, initContainersOf, isSidecar } from './spec/containers.ts';
import type { Rejection } from './spec/admission.ts';
import { qosClassOf } from './spec/qos.ts';
import type { PodView } from './types.ts';

/** The last words of all containers of a pod together, in characters: an object in the API is no log. */
const maxMessages = 12 * 1024;

export interface StatusFacts {
  readonly hostIps: readonly string[];
  /** What the pod's containers left in their termination files, by container id. */
  readonly terminationMessages: ReadonlyMap<string, string>;
  /** For `containerID`: `containerd`. */
  readonly runtimeName: string;
  /** Mounts inside of read-only ones are so, too, where that is asked for. */
  readonly recursiveReadOnly: boolean;
  /** What devices containers have, and how those are, by container; nothing when absent. */
  readonly devices?: ReadonlyMap<string, readonly DeviceHealth[]>;
  /** What was reported last; conditions that did not change keep their time. */
  readonly previous: PodStatus | undefined;
}

/** The pod's status as kubelet would report it. Pure. */
export function podStatus(view: PodView, facts: StatusFacts): PodStatus {
  const { pod } = view;
  // How it ended is known; the runtime, which has forgotten it, has nothing to add.
  if (wasTerminal(view) && view.containers.length === 0) return { ...pod.status };
  if (view.eviction && view.containers.length === 0 && facts.previous?.phase === 'Failed') return facts.previous;
  if (view.rejection) return rejected(view, view.rejection);
  const sandbox = currentSandbox(view);
  const initContainerStatuses = initContainersOf(pod).map((spec) => containerStatus(view, facts, spec));
  const containerStatuses = containersOf(pod).map((spec) => containerStatus(view, facts, spec));
  // Nothing waits for an ephemeral container, so it is never ready.
  const ephemeralContainerStatuses = ephemeralContainersOf(pod).map((spec) => ({ ...containerStatus(view, facts, spec), ready: false }));
  const phase = phaseOf(view, containerStatuses);
  const ips = podIps(view, facts);
  const [hostIP] = facts.hostIps;
  const isEnd = phase === 'Succeeded' || phase === 'Failed';
  return {
    ...observedGeneration(pod),
    phase,
    ...reasonOf(view, phase, facts.previous),
    conditions: conditionsOf({ view, phase, initContainerStatuses, containerStatuses, sandboxReady: sandbox !== undefined, previous: facts.previous }),
    ...(hostIP !== undefined && { hostIP, hostIPs: facts.hostIps.map((ip) => ({ ip })) }),
    ...(ips[0] !== undefined && { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }),
    startTime: view.startTime ?? rfc3339(view.nowMs),
    qosClass: qosClassOf(pod),
    ...(initContainerStatuses.length > 0 && { initContainerStatuses: isEnd ? settled(initContainerStatuses, begunOf(initContainerStatuses)) : initContainerStatuses }),
    containerStatuses: isEnd && wasInitialized(initContainerStatuses, containerStatuses) ? settled(containerStatuses) : containerStatuses,
    ...(ephemeralContainerStatuses.length > 0 && { ephemeralContainerStatuses }),
  };
}

/** Of a pod that has ended, the first `count`: what cannot have ended, since nothing is known of it, has failed. In kubelet's words. */
function settled(statuses: readonly ContainerStatus[], count = statuses.length): ContainerStatus[] {
  const lost = { terminated: { exitCode: 137, reason: 'ContainerStatusUnknown', message: 'The container could not be located when the pod was terminated' } };
  return statuses.map((status, index) => (index >= count || status.state?.terminated ? status : { ...status, state: lost }));
}

/** How many init containers have had their turn; the first has always. */
function begunOf(statuses: readonly ContainerStatus[]): number {
  return Math.max(1, statuses.findLastIndex(hasBegun) + 1);
}

function hasBegun({ state, lastState }: ContainerStatus): boolean {
  return state?.waiting === undefined || lastState?.terminated !== undefined;
}

/** Whether the others have had their turn. */
function wasInitialized(init: readonly ContainerStatus[], statuses: readonly ContainerStatus[]): boolean {
  const last = init.at(-1);
  return !last || statuses.some(hasBegun) || [last.state, last.lastState].some((state) => state?.terminated?.exitCode === 0);
}

function rejected(view: PodView, { reason, message }: Rejection): PodStatus {
  return { ...observedGeneration(view.pod), phase: 'Failed', reason, message: `Pod was rejected: ${message}`, startTime: view.startTime ?? rfc3339(view.nowMs), qosClass: qosClassOf(view.pod) };
}

/** A finished pod keeps the address that it had. */
function podIps(view: PodView, facts: StatusFacts): readonly string[] {
  if (view.pod.spec?.hostNetwork) return facts.hostIps;
  const current = currentSandbox(view)?.ips;
  if (current && current.length > 0) return current;
  const earlier = facts.previous?.podIPs ?? view.pod.status?.podIPs ?? [];
  return isOver(view) || view.ending ? earlier.map(({ ip }) => ip) : [];
}

/** Nothing of it will be started again. */
function isOver(view: PodView): boolean {
  return isFinished(view) || wasTerminal(view) || isPastDeadline(view) || view.eviction !== undefined;
}

/** Why the pod as a whole has failed; what the control plane was told of that stays. */
function reasonOf(view: PodView, phase: string, previous: PodStatus | undefined): Pick<PodStatus, 'reason' | 'message'> {
  const { status } = view.pod;
  if (wasTerminal(view)) return { ...(status?.reason !== undefined && { reason: status.reason }), ...(status?.message !== undefined && { message: status.message }) };
  if (isHalted(view, phase, previous)) return { reason: 'Terminated', message: shutdownMessage };
  if (phase !== 'Failed') return {};
  if (view.eviction) return { reason: view.eviction.reason, message: view.eviction.message };
  if (!isPastDeadline(view)) return {};
  return { reason: 'DeadlineExceeded', message: 'Pod was active on the node longer than the specified deadline' };
}

function phaseOf(view: PodView, statuses: readonly ContainerStatus[]): string {
  const { pod } = view;
  if (wasTerminal(view)) return pod.status?.phase ?? '';
  if (initFailed(view)) return 'Failed';
  if ((view.eviction ?? isPastDeadline(view)) && !isFinished(view) && !view.containers.some(isRunning)) return 'Failed';
  if (isFinished(view)) {
    // What is final is said when nothing goes on any more: sidecars are still ending.
    const sidecars = initContainersOf(pod).filter(isSidecar).map((spec) => spec.name);
    if (view.containers.some((c) => sidecars.includes(c.name) && isRunning(c))) return 'Running';
    return containersOf(pod).every((spec) => endedWell(attemptsOf(view, spec.name)[0])) ? 'Succeeded' : 'Failed';
  }
  // Nothing is started any more. Whoever counts results, while a finalizer keeps the object, must see one.
  if (view.ending && !view.containers.some(isRunning)) return containersOf(pod).every((spec) => endedWell(attemptsOf(view, spec.name)[0])) ? 'Succeeded' : 'Failed';
  if (!isInitialized(view, currentSandbox(view)) && !statuses.some((s) => s.lastState || s.state?.terminated)) return 'Pending';
  const begun = statuses.every((s) => s.state?.running ?? s.state?.terminated ?? s.lastState?.terminated);
  return begun && statuses.length > 0 ? 'Running' : 'Pending';
}

function endedWell(latest: Container | undefined): boolean {
  return latest?.state === 'exited' && latest.exitCode === 0;
}

function containerStatus(view: PodView, facts: StatusFacts, spec: ContainerSpec): ContainerStatus {
  const [latest, before] = attemptsOf(view, spec.name);
  const probe = latest && view.probes.get(latest.id);
  const running = latest?.state === 'running';
  const started = running && (probe?.started ?? true);
  const { state, lastState } = statesOf(view, facts, spec, latest, before);
  const isInit = initContainersOf(view.pod).includes(spec) && !isSidecar(spec);
  const id = latest ?? before;
  // It may have been removed, by whoever cleans up on a host or for its space; how it ended is known all the same.
  const known = !latest && (isInit || wasTerminal(view) || view.eviction) ? statusNamed(facts.previous ?? view.pod.status, spec.name) : undefined;
  if (known?.state?.terminated) return known;
  return {
    name: spec.name,
    state,
    ...(lastState && { lastState }),
    ready: isInit ? state.terminated?.exitCode === 0 : started && (probe?.ready ?? true),
    restartCount: latest?.attempt ?? knownRestarts(view.pod, spec.name),
    image: latest?.image === undefined || latest.image === '' ? spec.image ?? '' : latest.image,
    imageID: latest?.imageId ?? '',
    ...(id && { containerID: `${facts.runtimeName}://${id.id}` }),
    started,
    ...resourcesOf(view, spec),
    ...(latest && (spec.volumeMounts ?? []).length > 0 && { volumeMounts: spec.volumeMounts?.map((mount) => mountStatus(mount, facts)) }),
    ...(facts.devices?.has(spec.name) && { allocatedResourcesStatus: facts.devices.get(spec.name)?.map(({ name, resources }) => ({ name, resources: [...resources] })) }),
    ...(spec.lifecycle?.stopSignal !== undefined && { stopSignal: spec.lifecycle.stopSignal }),
  };
}

function statusNamed(status: PodStatus | undefined, name: string): ContainerStatus | undefined {
  return [...status?.initContainerStatuses ?? [], ...status?.containerStatuses ?? []].find((known) => known.name === name);
}

/** How a volume was mounted in the end: that may depend on the runtime. */
function mountStatus({ name, mountPath, readOnly, recursiveReadOnly }: VolumeMount, facts: StatusFacts): VolumeMountStatus {
  const recursive = (recursiveReadOnly === 'Enabled' || recursiveReadOnly === 'IfPossible') && facts.recursiveReadOnly;
  return { name, mountPath, ...(readOnly === true && { readOnly, recursiveReadOnly: recursive ? 'Enabled' : 'Disabled' }) };
}

/** What it has been given, and what it has by now. Ephemeral containers are given nothing. */
function resourcesOf({ pod, resize }: PodView, spec: ContainerSpec): Pick<ContainerStatus, 'allocatedResources' | 'resources'> {
  if (ephemeralContainersOf(pod).some(({ name }) => name === spec.name)) return {};
  const { requests, limits } = resize?.former.get(spec.name) ?? spec.resources ?? {};
  return {
    ...(spec.resources?.requests && { allocatedResources: spec.resources.requests }),
    resources: { ...(requests && { requests }), ...(limits && { limits }) },
  };
}

function statesOf(view: PodView, facts: StatusFacts, spec: ContainerSpec, latest: Container | undefined, before: Container | undefined): { state: ContainerState; lastState: ContainerState | undefined } {
  const ended = (container: Container | undefined): ContainerState | undefined => container?.state === 'exited' ? { terminated: terminated(facts, container, allContainersOf(view.pod).length) } : undefined;
  const waiting = waitingReason(view, spec, latest);
  if (latest?.state === 'running') return { state: { running: { startedAt: rfc3339(latest.startedAtMs) } }, lastState: ended(before) };
  if (latest?.state === 'exited' && !waiting) return { state: ended(latest) ?? {}, lastState: ended(before) };
  return { state: { waiting: waiting ?? { reason: 'ContainerCreating' } }, lastState: latest?.state === 'exited' ? ended(latest) : ended(before) };
}

/** Undefined for a container that has ended and is not held back from starting again. */
function waitingReason(view: PodView, spec: ContainerSpec, latest: Container | undefined): { reason: string; message?: string } | undefined {
  const { pod } = view;
  if (latest?.state === 'exited') {
    if (view.ending || isOver(view) || !restarts(pod, spec, latest)) return undefined;
    const loop = crashLoop(view, spec, latest);
    if (loop) {
      const delay = duration(loop.delayMs);
      return { reason: 'CrashLoopBackOff', message: `back-off ${delay} restarting failed container=${spec.name} pod=${pod.metadata?.name ?? ''}_${pod.metadata?.namespace ?? ''}(${pod.metadata?.uid ?? ''})` };
    }
  }
  const failure = view.failures.get(spec.name);
  if (failure) return { reason: failure.reason, ...(failure.message !== '' && { message: failure.message }) };
  if (latest?.state === 'exited') return undefined;
  if (ephemeralContainersOf(pod).some((c) => c.name === spec.name)) return { reason: 'ContainerCreating' };
  const waitsForInit = !initContainersOf(pod).includes(spec) && !isInitialized(view, currentSandbox(view));
  const waitsForEarlier = initContainersOf(pod).length > 0;
  return { reason: waitsForInit || waitsForEarlier ? 'PodInitializing' : 'ContainerCreating' };
}

/** `containers`: how many share the room for messages. */
function terminated(facts: StatusFacts, container: Container, containers: number): ContainerStateTerminated {
  const said = facts.terminationMessages.get(container.id) ?? '';
  const message = [container.message, said].filter(Boolean).join(': ').slice(0, Math.floor(maxMessages / Math.max(1, containers)));
  return {
    exitCode: container.exitCode,
    reason: container.reason === '' ? (container.exitCode === 0 ? 'Completed' : 'Error') : container.reason,
    ...(message !== '' && { message }),
    ...(container.startedAtMs > 0 && { startedAt: rfc3339(container.startedAtMs) }),
    finishedAt: rfc3339(container.finishedAtMs),
    containerID: `${facts.runtimeName}://${container.id}`,
  };
}

/** As Go prints durations of whole seconds: `10s`, `2m40s`, `5m0s`. */
function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${String(seconds)}s` : `${String(Math.floor(seconds / 60))}m${String(seconds % 60)}s`;
}

