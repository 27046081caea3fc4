import type { ContainerStatus, Pod } from '../../gen/types.ts';
import { ageColumn, column, nameColumn, wideColumn } from '../../meta/columns.ts';
import { isConditionTrue } from '../../meta/conditions.ts';
import { age } from '../../meta/table.ts';
import type { TableColumn } from '../types.ts';

interface Summary {
  reason: string;
  ready: number;
  total: number;
  restarts: number;
  /** When the container that restarted last had ended. */
  lastRestart: string | undefined;
}

function later(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Date.parse(b) > Date.parse(a) ? b : a;
}

function restartOf(status: ContainerStatus): string | undefined {
  return status.lastState?.terminated?.finishedAt;
}

/** Containers that run beside the others although they are init containers. */
function sidecarNames(pod: Pod): ReadonlySet<string> {
  return new Set((pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always').map(({ name }) => name));
}

/** Why an init container holds the pod up, or undefined when it does not. */
function initReason(status: ContainerStatus, index: number, count: number, sidecar: boolean): string | undefined {
  const { terminated, waiting } = status.state ?? {};
  if (terminated?.exitCode === 0) return undefined;
  if (sidecar && status.started === true) return undefined;
  if (terminated !== undefined) {
    if (terminated.reason) return `Init:${terminated.reason}`;
    return terminated.signal ? `Init:Signal:${terminated.signal}` : `Init:ExitCode:${terminated.exitCode}`;
  }
  return waiting?.reason && waiting.reason !== 'PodInitializing' ? `Init:${waiting.reason}` : `Init:${index}/${count}`;
}

function startReason(pod: Pod): string {
  const gated = pod.status?.conditions?.some(({ type, reason }) => type === 'PodScheduled' && reason === 'SchedulingGated');
  return gated === true ? 'SchedulingGated' : pod.status?.reason || pod.status?.phase || '';
}

/** What kubectl shows of a pod's containers. The order of the cases is Kubernetes' own (printPod). */
export function summarize(pod: Pod): Summary {
  const sidecars = sidecarNames(pod);
  const sum: Summary = { reason: startReason(pod), ready: 0, total: (pod.spec?.containers ?? []).length + sidecars.size, restarts: 0, lastRestart: undefined };
  const ofSidecars = { restarts: 0, lastRestart: undefined as string | undefined };
  let initializing = false;
  for (const [index, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const sidecar = sidecars.has(status.name);
    sum.restarts += status.restartCount;
    sum.lastRestart = later(sum.lastRestart, restartOf(status));
    if (sidecar) {
      ofSidecars.restarts += status.restartCount;
      ofSidecars.lastRestart = later(ofSidecars.lastRestart, restartOf(status));
    }
    const reason = initReason(status, index, (pod.spec?.initContainers ?? []).length, sidecar);
    if (reason === undefined) {
      if (sidecar && status.started === true && status.ready && status.state?.terminated === undefined) sum.ready++;
      continue;
    }
    sum.reason = reason;
    initializing = true;
    break;
  }
  if (!initializing || isConditionTrue(pod.status?.conditions, 'Initialized')) {
    Object.assign(sum, ofSidecars);
    addContainers(sum, pod);
  }
  if (pod.metadata?.deletionTimestamp !== undefined) {
    if (pod.status?.reason === 'NodeLost') sum.reason = 'Unknown';
    else if (pod.status?.phase !== 'Failed' && pod.status?.phase !== 'Succeeded') sum.reason = 'Terminating';
  }
  return sum;
}

function addContainers(sum: Summary, pod: Pod): void {
  let running = false;
  for (const status of [...pod.status?.containerStatuses ?? []].reverse()) {
    sum.restarts += status.restartCount;
    sum.lastRestart = later(sum.lastRestart, restartOf(status));
    const { waiting, terminated, running: runs } = status.state ?? {};
    if (waiting?.reason) sum.reason = waiting.reason;
    else if (terminated !== undefined) sum.reason = terminated.reason || (terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode}`);
    else if (status.ready && runs !== undefined) {
      running = true;
      sum.ready++;
    }
  }
  if (sum.reason === 'Completed' && running) sum.reason = isConditionTrue(pod.status?.conditions, 'Ready') ? 'Running' : 'NotReady';
}

function restarts(pod: Pod, nowMs: number): string {
  const sum = summarize(pod);
  return sum.restarts === 0 || sum.lastRestart === undefined ? String(sum.restarts) : `${sum.restarts} (${age(nowMs - Date.parse(sum.lastRestart))} ago)`;
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  return gates.length === 0 ? '<none>' : `${gates.filter(({ conditionType }) => isConditionTrue(pod.status?.conditions, conditionType)).length}/${gates.length}`;
}

export const podColumns: readonly TableColumn<Pod>[] = [
  nameColumn(),
  column('Ready', 'How many containers of all are ready', (pod) => {
    const { ready, total } = summarize(pod);
    return `${ready}/${total}`;
  }),
  column('Status', 'What the pod does, or why it does not run', (pod) => summarize(pod).reason),
  column('Restarts', 'How often its containers were started again, and when last', restarts),
  ageColumn(),
  wideColumn('IP', 'Address of the pod', (pod) => pod.status?.podIPs?.[0]?.ip || pod.status?.podIP || '<none>'),
  wideColumn('Node', 'Node that the pod is bound to', (pod) => pod.spec?.nodeName || '<none>'),
  wideColumn('Nominated Node', 'Node that the pod waits for after a preemption', (pod) => pod.status?.nominatedNodeName || '<none>'),
  wideColumn('Readiness Gates', 'How many further conditions of readiness hold', readinessGates),
];
