import type { ContainerStatus, Pod, PodCondition, PodStatus } from '#api/gen/types.ts';
import { rfc3339 } from '#common/time.ts';
import { isPastDeadline } from './observed.ts';
import { resizeKey, type PodView } from './types.ts';

interface Inputs {
  readonly view: PodView;
  readonly phase: string;
  readonly initContainerStatuses: readonly ContainerStatus[];
  readonly containerStatuses: readonly ContainerStatus[];
  readonly sandboxReady: boolean;
  readonly previous: PodStatus | undefined;
}

/** Which of a pod's versions its status speaks of. */
export function observedGeneration({ metadata }: Pod): { observedGeneration?: number } {
  return metadata?.generation === undefined ? {} : { observedGeneration: metadata.generation };
}

interface Verdict { readonly type: string; readonly status: boolean; readonly reason?: string; readonly message?: string }

/** The conditions that a node answers for, with kubelet's reasons and texts. */
export function conditionsOf(inputs: Inputs): PodCondition[] {
  const { view, phase } = inputs;
  const ready = containersReady(inputs);
  const verdicts: Verdict[] = [
    { type: 'PodReadyToStartContainers', status: inputs.sandboxReady && phase !== 'Succeeded' && phase !== 'Failed' },
    initialized(inputs),
    podReady(inputs, ready),
    ready,
    { type: 'PodScheduled', status: true },
  ];
  verdicts.push(...ofResize(view), ...ofDisruption(inputs));
  const earlier = inputs.previous?.conditions ?? view.pod.status?.conditions ?? [];
  return verdicts.map((verdict) => ({ ...condition(verdict, earlier, view.nowMs), ...observedGeneration(view.pod) }));
}

/** There only while they are true. */
function ofResize({ resize, failures }: PodView): Verdict[] {
  const failure = failures.get(resizeKey);
  return [
    ...(resize?.refusal ? [{ type: 'PodResizePending', status: true, ...resize.refusal }] : []),
    ...((resize?.former.size ?? 0) > 0 ? [{ type: 'PodResizeInProgress', status: true, ...(failure && { reason: 'Error', message: failure.message }) }] : []),
  ];
}

function ofDisruption({ view, phase, previous }: Inputs): Verdict[] {
  const disruption = view.eviction?.disruption ?? (isHalted(view, phase, previous) ? { reason: 'TerminationByKubelet', message: shutdownMessage } : undefined);
  return disruption ? [{ type: 'DisruptionTarget', status: true, ...disruption }] : [];
}

/** As kubelet has it. */
export const shutdownMessage = 'Pod was terminated in response to imminent node shutdown.';

/** The host is shutting down, and that, nothing else, ends the pod. It goes on with the host unless it may not be started again. */
export function isHalted(view: PodView, phase: string, previous: PodStatus | undefined): boolean {
  const ended = phase === 'Succeeded' || (phase === 'Failed' && previous?.phase === 'Failed' && previous.reason !== 'Terminated');
  return view.haltSeconds !== undefined && !view.eviction && !view.ending && !ended && !isPastDeadline(view);
}

function initialized({ view, phase, initContainerStatuses, containerStatuses }: Inputs): Verdict {
  const type = 'Initialized';
  if (phase === 'Succeeded') return { type, status: true, reason: 'PodCompleted' };
  // A sidecar is done once it has started, any other init container once it has ended well.
  const sidecars = sidecarNames(view);
  const incomplete = initContainerStatuses.filter((s) => (sidecars.has(s.name) ? !s.started : !s.ready)).map((s) => s.name);
  // Init containers that run again after a crash of the host take nothing back.
  if (incomplete.length === 0 || containerStatuses.some((s) => s.state?.running ?? s.state?.terminated)) return { type, status: true };
  return { type, status: false, reason: 'ContainersNotInitialized', message: `containers with incomplete status: [${incomplete.join(' ')}]` };
}

function sidecarNames({ pod }: PodView): ReadonlySet<string> {
  return new Set((pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === 'Always').map((c) => c.name));
}

function containersReady({ view, phase, initContainerStatuses, containerStatuses }: Inputs): Verdict {
  const type = 'ContainersReady';
  if (phase === 'Succeeded') return { type, status: false, reason: 'PodCompleted' };
  if (phase === 'Failed') return { type, status: false, reason: 'PodFailed' };
  const sidecars = sidecarNames(view);
  const all = [...initContainerStatuses.filter((s) => sidecars.has(s.name)), ...containerStatuses];
  const unready = all.filter((s) => !s.ready).map((s) => s.name);
  if (unready.length === 0) return { type, status: true };
  return { type, status: false, reason: 'ContainersNotReady', message: `containers with unready status: [${unready.join(' ')}]` };
}

function podReady({ view }: Inputs, containers: Verdict): Verdict {
  const type = 'Ready';
  if (!containers.status) return { ...containers, type };
  const gates = view.pod.spec?.readinessGates ?? [];
  const present = view.pod.status?.conditions ?? [];
  const closed = gates.flatMap(({ conditionType }) => {
    const found = present.find((c) => c.type === conditionType);
    if (!found) return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    return found.status === 'True' ? [] : [`the status of pod readiness gate "${conditionType}" is not "True", but ${found.status}`];
  });
  return closed.length === 0 ? { type, status: true } : { type, status: false, reason: 'ReadinessGatesNotReady', message: closed.join(', ') };
}

function condition(verdict: Verdict, earlier: readonly PodCondition[], nowMs: number): PodCondition {
  const status = verdict.status ? 'True' : 'False';
  const before = earlier.find((c) => c.type === verdict.type);
  return {
    type: verdict.type,
    status,
    lastTransitionTime: before?.status === status && before.lastTransitionTime !== undefined ? before.lastTransitionTime : rfc3339(nowMs),
    ...(verdict.reason !== undefined && { reason: verdict.reason }),
    ...(verdict.message !== undefined && { message: verdict.message }),
  };
}
