import type { Lease, Node } from '#api/gen/types.ts';
import { leases, nodes, pods } from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { execute } from '../execute.ts';
import { podIndexes } from '../indexes.ts';
import { watch, type Change, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { Heartbeats } from './heartbeats.ts';
import { isEvictedFrom, isReadyNode, reconcileNode, wantsEviction } from './reconcile.ts';
import { zoneOf, Zones } from './zones.ts';

const leaseNamespace = 'kube-node-lease';

/** While nodes are being lost all are looked at so often at most. */
const scanMs = 250;

/** Tells which nodes are lost: their conditions, their pods' readiness, their taints. */
export function nodeLifecycleController(deps: ControllerDeps, config: ControllerConfig): Controller {
  const { informers, clock, log, attention } = deps;
  const lister = informers.informer(nodes);
  const podLister = informers.informer(pods, podIndexes);
  const heartbeats = new Heartbeats(clock, config.nodeMonitorGracePeriodMs);
  const zones = new Zones();
  /** Nodes that have been silent for a while: those that are lost, and those that may be about to be. */
  const suspects = new Set<string>();
  let scannedMs = -Infinity;
  let onceReady = false;
  let enqueue: (key: string) => void = () => undefined;

  const names = (zone?: string): string[] => lister.list().filter((node) => zone === undefined || zoneOf(node) === zone).map((node) => node.metadata?.name ?? '');
  const lookAtAll = (): void => { for (const name of names()) enqueue(name); };

  /** A lease is renewed many times a minute: only one of a lost node is worth a look. */
  function leaseChanged({ object }: Change<Lease>): string[] {
    const name = object?.metadata?.name;
    if (name === undefined || object?.metadata?.namespace !== leaseNamespace || !lister.get(undefined, name)) return [];
    return heartbeats.heard(name) || suspects.has(name) ? [name] : [];
  }

  function nodeChanged({ object, old }: Change<Node>): string[] {
    const name = (object ?? old)?.metadata?.name ?? '';
    if (object === undefined) {
      heartbeats.forget(name);
      suspects.delete(name);
      return zones.forget(name) ? names() : [];
    }
    if (old && hasReported(object, old)) heartbeats.heard(name);
    else heartbeats.expect(name);
    return [name];
  }

  /** True when that changed from how many nodes may be evicted. Whoever is silent for half the time counts already: hosts vanish together, their heartbeats one by one. */
  function takeIn(node: Node): boolean {
    const name = node.metadata?.name ?? '';
    if (heartbeats.isOverdue(name)) suspects.add(name);
    else suspects.delete(name);
    onceReady ||= isReadyNode(node);
    return zones.set(name, zoneOf(node), !suspects.has(name) && isReadyNode(node));
  }

  /** Takes in how the node is; when it is lost, how all are. Whatever that changes concerns the others too. */
  function judge(node: Node, isLost: boolean): void {
    const zone = zoneOf(node);
    const [wasDown, wasStopped] = [zones.everyZoneDown, zones.rate(zone) === 0];
    let changed = takeIn(node);
    if (isLost && clock.monotonic() - scannedMs >= scanMs) {
      scannedMs = clock.monotonic();
      for (const other of lister.list()) changed = takeIn(other) || changed;
    }
    if (!changed) return;
    const rate = zones.rate(zone);
    const facts = { zone, ...zones.count(zone), evictionsPerSecond: rate };
    // The first nodes of a cluster are no outage.
    if (zones.everyZoneDown && !wasDown && onceReady) log.warn(facts, 'no node is ready any more, evicting nobody');
    else if (rate === 0 && !wasStopped) log.warn(facts, 'most nodes of a zone are not ready, evicting nobody there');
    else log.info(facts, 'the state of a zone has changed');
    // As after a start: it was not their fault, and they dial again one by one.
    if (rate > 0 && wasStopped) for (const other of names(wasDown ? undefined : zone)) heartbeats.expectAnew(other);
    lookAtAll();
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
      for (const node of lister.list()) {
        onceReady ||= isReadyNode(node);
        zones.set(node.metadata?.name ?? '', zoneOf(node), isReadyNode(node));
      }
    },
    async reconcile(name) {
      const node = lister.get(undefined, name);
      if (node === undefined) return undefined;
      // It may find that the silence was on this side.
      attention.check();
      judge(node, heartbeats.isLost(name));
      const zone = zoneOf(node);
      const waitMs = zones.waitMs(zone, clock.monotonic());
      const goingOn = isEvictedFrom(node) && waitMs !== Infinity;
      const actions = reconcileNode({ node, lost: heartbeats.isLost(name), evict: goingOn || waitMs === 0, pods: podLister.by('node', name), nowMs: clock.now() });
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
      return { afterMs: earlier(heartbeats.nextLookMs(name), turnMs) };
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
