import type { Lease, Node } from '#api/gen/types.ts';
import { leases, nodes, pods } from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { execute } from '../execute.ts';
import { podIndexes } from '../indexes.ts';
import { watch, type Change, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { Heartbeats } from './heartbeats.ts';
import { isOutage, reconcileNode } from './reconcile.ts';

const leaseNamespace = 'kube-node-lease';

/** Tells which nodes are lost: their conditions, their pods' readiness, their taints. */
export function nodeLifecycleController(deps: ControllerDeps, config: ControllerConfig): Controller {
  const { informers, clock, log } = deps;
  const lister = informers.informer(nodes);
  const podLister = informers.informer(pods, podIndexes);
  const heartbeats = new Heartbeats(clock, config.nodeMonitorGracePeriodMs);
  /** Nodes judged lost so far; a change of it may begin or end an outage, which concerns every node. */
  const lost = new Set<string>();
  let outage = false;

  const names = (): string[] => lister.list().map((node) => node.metadata?.name ?? '');

  /** A lease is renewed many times a minute: only one of a lost node is worth a look. */
  function leaseChanged({ object }: Change<Lease>): string[] {
    const name = object?.metadata?.name;
    if (name === undefined || object?.metadata?.namespace !== leaseNamespace || !lister.get(undefined, name)) return [];
    return heartbeats.heard(name) || lost.has(name) ? [name] : [];
  }

  function nodeChanged({ object, old }: Change<Node>): string[] {
    const name = (object ?? old)?.metadata?.name ?? '';
    if (object === undefined) {
      heartbeats.forget(name);
      return lost.delete(name) ? names() : [];
    }
    if (old && hasReported(object, old)) heartbeats.heard(name);
    else heartbeats.expect(name);
    return [name];
  }

  /** Keeps the outage rule up to date; true when it changed. */
  function judge(name: string): boolean {
    if (heartbeats.isLost(name)) lost.add(name);
    else lost.delete(name);
    const counts = heartbeats.count();
    const next = isOutage(counts.total, counts.lost);
    const changed = next !== outage;
    outage = next;
    if (changed) log.warn(counts, outage ? 'too many nodes are lost, evicting nobody' : 'nodes report again, giving the others a full grace period to do so');
    // As after a start: it was not their fault, and they dial again one by one.
    if (changed && !outage) heartbeats.restart();
    return changed;
  }

  let enqueue: (key: string) => void = () => undefined;
  return {
    watches: [watch(lister, nodeChanged), watch(informers.informer(leases), leaseChanged)],
    // What happened while nobody watched is not held against the nodes.
    ready(add) {
      enqueue = add;
      heartbeats.restart();
    },
    async reconcile(name) {
      const node = lister.get(undefined, name);
      if (node === undefined) return undefined;
      if (heartbeats.wasStalled(name)) {
        log.warn({ node: name }, 'this process was stopped for a while, waiting for nodes to report again');
        heartbeats.restart();
        for (const other of names()) enqueue(other);
      }
      if (judge(name)) for (const other of names()) enqueue(other);
      const snapshot = { node, lost: lost.has(name), outage, pods: podLister.by('node', name), nowMs: clock.now() };
      await execute(deps, reconcileNode(snapshot));
      return { afterMs: heartbeats.nextLookMs(name) };
    },
  };
}

/** The node wrote its status, not we. */
function hasReported(node: Node, old: Node): boolean {
  const [now, before] = [getCondition(node.status?.conditions, 'Ready'), getCondition(old.status?.conditions, 'Ready')];
  if (now === undefined || now.status === 'Unknown') return false;
  return now.status !== before?.status || now.lastHeartbeatTime !== before.lastHeartbeatTime;
}
