import type { Deployment, DeploymentCondition, ReplicaSet } from '#api/gen/types.ts';
import { deployments, replicaSets } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { eventAction } from '../execute.ts';
import { withMetadata } from '../owner-refs.ts';
import type { Action } from '../types.ts';
import { sizeAnnotations } from './annotations.ts';
import { limitsOf, specReplicas } from './limits.ts';

/**
 * A decision in the making: the deployment and its ReplicaSets as they will be once the actions are done.
 * Local to one reconcile; every ReplicaSet is written at most once.
 */
export class Draft {
  readonly deployment: Deployment;
  readonly nowMs: number;
  conditions: readonly DeploymentCondition[];
  readonly #oldSets: Map<string, ReplicaSet>;
  #newSet: ReplicaSet | undefined;
  readonly #before = new Map<string, ReplicaSet>();
  readonly #creates: Action[] = [];
  readonly #events: Action[] = [];

  constructor(deployment: Deployment, newSet: ReplicaSet | undefined, oldSets: readonly ReplicaSet[], nowMs: number) {
    this.deployment = deployment;
    this.nowMs = nowMs;
    this.conditions = deployment.status?.conditions ?? [];
    this.#newSet = newSet;
    this.#oldSets = new Map(oldSets.map((set) => [set.metadata?.name ?? '', set]));
    for (const set of newSet ? [newSet, ...oldSets] : oldSets) this.#before.set(set.metadata?.name ?? '', set);
  }

  get newSet(): ReplicaSet | undefined { return this.#newSet; }
  get oldSets(): readonly ReplicaSet[] { return [...this.#oldSets.values()]; }
  get sets(): readonly ReplicaSet[] { return this.#newSet ? [...this.oldSets, this.#newSet] : this.oldSets; }

  /** Puts a changed ReplicaSet in the place of the one with its name. */
  replace(set: ReplicaSet): void {
    const name = set.metadata?.name ?? '';
    if (name === this.#newSet?.metadata?.name) this.#newSet = set;
    else this.#oldSets.set(name, set);
  }

  create(set: ReplicaSet): void {
    this.#newSet = set;
    this.#creates.push({ type: 'create', resource: replicaSets, object: set });
    if (specReplicas(set) > 0) this.#event(`Scaled up replica set ${set.metadata?.name ?? ''} from 0 to ${String(specReplicas(set))}`);
  }

  /** True when the size changed. The size annotations are brought up to date in any case. */
  scale(set: ReplicaSet, replicas: number): boolean {
    const { maxSurge } = limitsOf(this.deployment);
    const sized = withMetadata(set, { annotations: { ...set.metadata?.annotations, ...sizeAnnotations(this.deployment, maxSurge) } });
    const old = specReplicas(set);
    if (set.spec) this.replace({ ...sized, spec: { ...set.spec, replicas } });
    if (old === replicas) return false;
    this.#event(`Scaled ${replicas > old ? 'up' : 'down'} replica set ${set.metadata?.name ?? ''} from ${String(old)} to ${String(replicas)}`);
    return true;
  }

  /** Writes of ReplicaSets in an order that is safe to be cut off anywhere: down before up. */
  actions(): Action[] {
    const changed = this.sets.filter((set) => {
      const before = this.#before.get(set.metadata?.name ?? '');
      return before !== undefined && !equal(before, set);
    });
    const growth = (set: ReplicaSet): number => specReplicas(set) - specReplicas(this.#before.get(set.metadata?.name ?? '') ?? set);
    const updates = changed.sort((a, b) => growth(a) - growth(b)).map((set): Action => ({ type: 'update', resource: replicaSets, object: set }));
    return [...updates, ...this.#creates, ...this.#events];
  }

  #event(message: string): void {
    this.#events.push(eventAction(deployments, this.deployment, 'Normal', 'ScalingReplicaSet', message));
  }
}
