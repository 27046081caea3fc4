import type { DaemonSet, Pod } from '#api/gen/types.ts';
import { daemonSets } from '#api/kinds/resources.ts';
import { eventAction } from '../execute.ts';
import { availableInMs, isReady, isTerminal, isTerminating } from '../pod-state.ts';
import { revisionLabel } from '../revision-history.ts';
import type { Action } from '../types.ts';
import { fitOf } from './nodes.ts';
import { rollingUpdate } from './rolling-update.ts';
import { byAge, minReadySeconds, podsByNode, type DaemonSnapshot } from './snapshot.ts';

export interface DaemonPlan {
  /** Nodes that get a pod. */
  readonly create: readonly string[];
  readonly remove: readonly Pod[];
  readonly events: readonly Action[];
  /** Nodes whose failed pod is removed now: the next one is left alone for longer. */
  readonly failedOn: readonly string[];
  readonly afterMs?: number | undefined;
}

/** A pod of this set on every node that should have one, and nowhere else; once that is so, one step of the update. */
export function planDaemonSet(snapshot: DaemonSnapshot): DaemonPlan {
  const plan = manage(snapshot);
  const rolling = snapshot.daemonSet.spec?.updateStrategy?.type !== 'OnDelete';
  const work = plan.create.length + plan.remove.length === 0 && rolling ? { ...plan, ...rollingUpdate(snapshot, podsByNode(snapshot)) } : plan;
  return { ...work, create: work.create.slice(0, snapshot.burst), remove: work.remove.slice(0, snapshot.burst) };
}

function manage(snapshot: DaemonSnapshot): DaemonPlan {
  const { daemonSet, nodes } = snapshot;
  const byNode = podsByNode(snapshot);
  const create: string[] = [];
  const remove: Pod[] = [];
  const failures: Failures = { events: [], failedOn: [], delaysMs: [] };
  for (const node of nodes) {
    const name = node.metadata?.name ?? '';
    const own = byNode.get(name) ?? [];
    const { run, stay } = fitOf(daemonSet, node);
    if (run && own.length === 0) create.push(name);
    else if (stay) remove.push(...excess(snapshot, running(snapshot, name, own, failures, remove)));
    else remove.push(...own.filter((pod) => !isTerminating(pod)));
  }
  const known = new Set(nodes.map(({ metadata }) => metadata?.name));
  for (const [name, own] of byNode) if (!known.has(name)) remove.push(...own.filter((pod) => !pod.spec?.nodeName && !isTerminating(pod)));
  const { events, failedOn, delaysMs } = failures;
  return { create, remove, events, failedOn, afterMs: delaysMs.length > 0 ? Math.min(...delaysMs) : undefined };
}

interface Failures { readonly events: Action[]; readonly failedOn: string[]; readonly delaysMs: number[] }

/** Pods that are meant to go on. Those that have ended go, so that others can take their place. */
function running({ daemonSet, failureDelayMs }: DaemonSnapshot, nodeName: string, own: readonly Pod[], failures: Failures, remove: Pod[]): Pod[] {
  const tell = (severity: 'Normal' | 'Warning', reason: string, message: string): void => { failures.events.push(eventAction(daemonSets, daemonSet, severity, reason, message)); };
  return own.filter((pod) => {
    if (isTerminating(pod)) return false;
    if (!isTerminal(pod)) return true;
    const name = `${pod.metadata?.namespace ?? ''}/${pod.metadata?.name ?? ''} on node ${nodeName}`;
    if (pod.status?.phase === 'Succeeded') {
      tell('Normal', 'SucceededDaemonPod', `Found succeeded daemon pod ${name}, will try to delete it`);
    } else {
      const delayMs = failureDelayMs(nodeName);
      if (delayMs > 0) { failures.delaysMs.push(delayMs); return false; }
      failures.failedOn.push(nodeName);
      tell('Warning', 'FailedDaemonPod', `Found failed daemon pod ${name}, will try to kill it`);
    }
    remove.push(pod);
    return false;
  });
}

/** Of several pods on a node the oldest stays; while an update surges, an old one beside a new one until that is available. */
function excess({ daemonSet, hash, nowMs }: DaemonSnapshot, own: readonly Pod[]): Pod[] {
  if (own.length <= 1) return [];
  const sorted = [...own].sort(byAge);
  if (!surges(daemonSet)) return sorted.slice(1);
  // Of several versions that are all old by now the one that serves stays; Kubernetes keeps the oldest, which may never have.
  sorted.sort((a, b) => Number(isReady(b)) - Number(isReady(a)));
  const [newest, ...moreNew] = sorted.filter((pod) => pod.metadata?.labels?.[revisionLabel] === hash);
  const [oldest, ...moreOld] = sorted.filter((pod) => pod.metadata?.labels?.[revisionLabel] !== hash);
  const spare = [...moreNew, ...moreOld];
  if (!newest || !oldest) return spare;
  const done = availableInMs(newest, minReadySeconds(daemonSet), nowMs) === 0;
  return availableInMs(oldest, 0, nowMs) === undefined || done ? [oldest, ...spare] : spare;
}

function surges({ spec }: DaemonSet): boolean {
  const { maxSurge = 0 } = spec?.updateStrategy?.rollingUpdate ?? {};
  return spec?.updateStrategy?.type === 'RollingUpdate' && maxSurge !== 0 && maxSurge !== '0%';
}
