import type { ControllerRevision, DaemonSet, Node, Pod } from '#api/gen/types.ts';
import { controllerRevisions, daemonSets, nodes, pods } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, splitKey } from '#api/meta/object.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { isStatus } from '#common/errors.ts';
import { eventAction, execute, isNamespaceTerminating } from '../execute.ts';
import { Expectations } from '../expectations.ts';
import { ownedIndexes, podIndexes } from '../indexes.ts';
import { claim, controllerOf } from '../owner-refs.ts';
import { Pace } from '../pace.ts';
import { PodControl } from '../pod-control.ts';
import { keepHistory, revisionLabel, surplusRevisions, type History } from '../revision-history.ts';
import { watch, type Change, type Controller, type ControllerConfig, type ControllerDeps, type ReconcileResult } from '../types.ts';
import { FailedPods } from './failed-pods.ts';
import { daemonPod, fitOf } from './nodes.ts';
import { planDaemonSet } from './reconcile.ts';
import type { DaemonSnapshot } from './snapshot.ts';
import { daemonSetStatus } from './status.ts';

const burst = 250;
/** How much faster than by one look per node and millisecond; see `Pace`. */
const nodesPerMs = 10;

/** Keeps a pod of each DaemonSet on every node that should have one. */
class DaemonSetController implements Controller {
  readonly workers = 2;
  readonly watches;
  readonly #deps: ControllerDeps;
  readonly #sets;
  readonly #pods;
  readonly #nodes;
  readonly #revisions;
  readonly #expectations: Expectations;
  readonly #control: PodControl;
  readonly #failed: FailedPods;
  readonly #pace: Pace;

  constructor(deps: ControllerDeps) {
    this.#deps = deps;
    this.#sets = deps.informers.informer(daemonSets);
    this.#pods = deps.informers.informer(pods, podIndexes);
    this.#nodes = deps.informers.informer(nodes);
    this.#revisions = deps.informers.informer(controllerRevisions, ownedIndexes);
    this.#expectations = new Expectations(deps);
    this.#control = new PodControl({ ...deps, expectations: this.#expectations, owners: this.#sets }, daemonSets);
    this.#failed = new FailedPods(deps.clock);
    this.#pace = new Pace(deps.clock);
    this.watches = [
      watch(this.#sets, ({ object, old }) => {
        const set = object ?? old;
        if (!set) return [];
        if (object?.metadata?.uid !== old?.metadata?.uid) this.#expectations.forget(keyOf(set));
        if (!object) this.#failed.forget(keyOf(set));
        if (object?.metadata?.generation !== old?.metadata?.generation) this.#pace.forget(keyOf(set));
        return [keyOf(set)];
      }),
      watch(this.#pods, (change) => this.#pace.awake(this.#podChanged(change))),
      watch(this.#nodes, (change) => this.#nodeChanged(change)),
      watch(this.#revisions, () => []),
    ];
  }

  async reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | undefined> {
    const { namespace, name } = splitKey(key);
    const set = this.#sets.get(namespace, name);
    if (set === undefined) return undefined;
    if (isEmpty(set)) {
      await execute(this.#deps, [eventAction(daemonSets, set, 'Warning', 'SelectingAll', 'This daemon set is selecting all pods. A non-empty selector is required.')]);
      return undefined;
    }
    if (set.metadata?.deletionTimestamp !== undefined) return undefined;
    const restMs = this.#pace.waitMs(key, this.#nodes.list().length / nodesPerMs);
    if (restMs > 0) return { afterMs: restMs };
    const waitMs = this.#expectations.remainingMs(key);
    const history = await this.#history(set);
    const snapshot = await this.#snapshot(key, set, history);
    if (waitMs > 0) {
      await this.#writeStatus(set, daemonSetStatus(snapshot, false).status);
      return { afterMs: waitMs };
    }
    const plan = planDaemonSet(snapshot);
    await execute(this.#deps, plan.events);
    for (const node of plan.failedOn) this.#failed.note(key, node);
    const { failure } = await this.#control.perform(key, set, { create: plan.create.map((node) => daemonPod(set, node, snapshot.hash)), remove: plan.remove }, signal);
    const live = new Set(snapshot.pods.map(({ metadata }) => metadata?.labels?.[revisionLabel]));
    await execute(this.#deps, surplusRevisions(history.old, set.spec?.revisionHistoryLimit ?? 10, (revision) => live.has(hashOf(revision))));
    const { status, afterMs } = daemonSetStatus(snapshot, true);
    await this.#writeStatus(set, status);
    if (failure !== undefined && !isNamespaceTerminating(failure.error)) throw failure.error;
    return { afterMs: earliest(plan.afterMs, afterMs) };
  }

  #history(set: DaemonSet): Promise<History> {
    const { namespace = '', uid = '' } = set.metadata ?? {};
    const requirements = requirementsOf(set.spec?.selector);
    return keepHistory(this.#deps, {
      resource: daemonSets, owner: set, template: set.spec?.template ?? {}, collisionCount: set.status?.collisionCount,
      revisions: [...this.#revisions.by('controller', uid), ...this.#revisions.by('orphan', namespace)],
      matches: (revision) => matchesLabels(requirements, revision.metadata?.labels), labels: (hash) => ({ [revisionLabel]: hash }),
    }, (collisionCount) => this.#deps.client.update(daemonSets, { ...set, status: { currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0, ...set.status, collisionCount } }, 'status'));
  }

  async #snapshot(key: string, set: DaemonSet, history: History): Promise<DaemonSnapshot> {
    const { namespace = '', uid = '' } = set.metadata ?? {};
    const requirements = requirementsOf(set.spec?.selector);
    const { owned, adopt, release } = claim(daemonSets, set, [...this.#pods.by('controller', uid), ...this.#pods.by('orphan', namespace)], (pod) => matchesLabels(requirements, pod.metadata?.labels));
    for (const pod of [...adopt, ...release]) await this.#deps.client.update(pods, pod);
    return {
      daemonSet: set, nodes: this.#nodes.list(), pods: [...owned, ...adopt], hash: hashOf(history.current) ?? '', nowMs: this.#deps.clock.now(), burst,
      failureDelayMs: (node) => this.#failed.delayMs(key, node),
    };
  }

  async #writeStatus(set: DaemonSet, status: DaemonSet['status']): Promise<void> {
    if (equal(status, set.status)) return;
    try {
      await this.#deps.client.update(daemonSets, { ...set, status }, 'status');
    } catch (error) {
      if (!isStatus(error, 'NotFound')) throw error;
    }
  }

  *#podChanged(change: Change<Pod>): Iterable<string> {
    yield* this.#control.changed(change);
    const { object } = change;
    if (!object || controllerOf(object) !== undefined) return;
    for (const set of this.#sets.list(object.metadata?.namespace)) {
      if (matchesLabels(requirementsOf(set.spec?.selector), object.metadata?.labels)) yield keyOf(set);
    }
  }

  /** Heartbeats are many: only a change that lets a set's pods in or out concerns it. */
  *#nodeChanged({ object, old }: Change<Node>): Iterable<string> {
    if (object && old && equal(object.metadata?.labels, old.metadata?.labels) && equal(object.spec?.taints, old.spec?.taints)) return;
    for (const set of this.#sets.list()) {
      if (!object || !old || !equal(fitOf(set, object), fitOf(set, old))) yield keyOf(set);
    }
  }
}

function hashOf(revision: ControllerRevision): string | undefined {
  return revision.metadata?.labels?.[revisionLabel];
}

function isEmpty({ spec }: DaemonSet): boolean {
  return requirementsOf(spec?.selector).length === 0;
}

function earliest(...times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((ms) => ms !== undefined);
  return known.length > 0 ? Math.min(...known) : undefined;
}

export function daemonSetController(deps: ControllerDeps, _config: ControllerConfig): Controller {
  return new DaemonSetController(deps);
}
