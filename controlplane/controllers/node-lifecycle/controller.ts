import type { Lease, Node } from '#api/gen/types.ts';
import { leases, nodes, pods } from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { execute } from '../execute.ts';
import { podIndexes } from '../indexes.ts';
import { watch, type Change, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { FleetHealth } from './fleet-health.ts';
import { Heartbeats } from './heartbeats.ts';
import { isEvictedFrom, reconcileNode, wantsEviction } from './reconcile.ts';
import { zoneOf, Zones } from './zones.ts';

const leaseNamespace = 'kube-node-lease';

/** Tells which nodes are lost: their conditions, their pods' readiness, their taints. */
export function nodeLifecycleController(deps: ControllerDeps, config: ControllerConfig): Controller {
  const { informers, clock, log, attention } = deps;
  const lister = informers.informer(nodes);
  const podLister = informers.informer(pods, podIndexes);
  const heartbeats = new Heartbeats(clock, config.nodeMonitorGracePeriodMs);
  const zones = new Zones();
  const health = new FleetHealth({ clock, log, heartbeats, zones, nodes: () => lister.list() });
  let enqueue: (key: string) => void = () => undefined;

  const names = (): string[] => lister.list().map((node) => node.metadata?.name ?? '');
  const lookAtAll = (): void => { for (const name of names()) enqueue(name); };

  /** A lease is renewed many times a minute: only one of a lost node is worth a look. */
  function leaseChanged({ object }: Change<Lease>): string[] {
    const name = object?.metadata?.name;
    if (name === undefined || object?.metadata?.namespace !== leaseNamespace || !lister.get(undefined, name)) return [];
    return heartbeats.heard(name) || health.isSuspect(name) ? [name] : [];
  }

  function nodeChanged({ object, old }: Change<Node>): string[] {
    const name = (object ?? old)?.metadata?.name ?? '';
    if (object === undefined) {
      heartbeats.forget(name);
      return health.forget(name) ? names() : [];
    }
    if (old && hasReported(object, old)) heartbeats.heard(name);
    else heartbeats.expect(name);
    return [name];
  }

  attention.onGap(() => {
    heartbeats.restart();
    lookAtAll();
  });
  return {
    watches: [watch(lister, nodeChanged), watch(informers.informer(leases), leaseChanged)],
    // What happened while nobody watched is not held against the nodes.
    ready(add) {
      enqueue = add;
      heartbeats.restart();
      for (const node of lister.list()) health.takeIn(node);
    },
    async reconcile(name) {
      const node = lister.get(undefined, name);
      if (node === undefined) return undefined;
      // It may find that the silence was on this side.
      attention.check();
      if (health.judge(node)) lookAtAll();
      const lost = heartbeats.isLost(name);
      const zone = zoneOf(node);
      const waitMs = zones.waitMs(zone, clock.monotonic());
      const goingOn = isEvictedFrom(node) && waitMs !== Infinity;
      const actions = reconcileNode({ node, lost, evict: goingOn || waitMs === 0, pods: podLister.by('node', name), nowMs: clock.now() });
      const begins = actions.some((action) => action.type === 'update' && action.resource === nodes && isEvictedFrom(action.object as Node)) && !isEvictedFrom(node);
      // Before the write: the next node is not to slip through while this one's taint is on its way.
      const takeBack = begins ? zones.evicted(zone, clock.monotonic()) : undefined;
      try {
        await execute(deps, actions);
      } catch (error) {
        takeBack?.();
        throw error;
      }
      // Its turn may be now, and yet there is something to come before: then that brings it back here.
      const turnMs = !goingOn && waitMs > 0 && waitMs !== Infinity && wantsEviction(node) ? waitMs : undefined;
      // One that became lost only meanwhile is looked at again: nothing else would bring it back here.
      return { afterMs: earlier(lost ? undefined : Math.max(1, heartbeats.remainingMs(name)), turnMs) };
    },
  };
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? a ?? b : Math.min(a, b);
}

/** The node wrote its status, not we. */
function hasReported(node: Node, old: Node): boolean {
  const [now, before] = [getCondition(node.status?.conditions, 'Ready'), getCondition(old.status?.conditions, 'Ready')];
  if (now === undefined || now.status === 'Unknown') return false;
  return now.status !== before?.status || now.lastHeartbeatTime !== before.lastHeartbeatTime;
}
