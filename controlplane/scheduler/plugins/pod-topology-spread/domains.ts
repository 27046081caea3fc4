import type { NodeInfo, PodInfo, Snapshot } from '../../types.ts';
import { counts, countsEverywhere, podsOn, type Constraint } from './constraints.ts';

/** The domains among which one constraint spreads. */
interface Scope {
  readonly domains: ReadonlySet<string>;
  /** Nodes whose pods count; absent when those of all nodes with the label do. */
  readonly nodes: ReadonlySet<NodeInfo> | undefined;
}

const maxKept = 64;

/**
 * Works out which domains there are for a set of constraints. That takes a look at every node, and pods of one template
 * ask the same: an answer is kept until nodes change.
 */
export class Scopes {
  #version = -1;
  readonly #kept = new Map<string, readonly Scope[]>();

  of(constraints: readonly Constraint[], pod: PodInfo, snapshot: Snapshot): readonly Scope[] {
    if (this.#version !== snapshot.nodesVersion) {
      this.#kept.clear();
      this.#version = snapshot.nodesVersion;
    }
    const key = keyOf(constraints, pod);
    let scopes = this.#kept.get(key);
    if (!scopes) {
      scopes = findScopes(constraints, pod, snapshot);
      if (this.#kept.size >= maxKept) this.#kept.clear();
      this.#kept.set(key, scopes);
    }
    return scopes;
  }
}

function keyOf(constraints: readonly Constraint[], { pod: { spec } }: PodInfo): string {
  const honorsTaints = constraints.some((c) => c.honorsTaints);
  return JSON.stringify([
    constraints.map((c) => [c.topologyKey, c.honorsAffinity, c.honorsTaints]), spec?.nodeSelector,
    spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution, honorsTaints ? spec?.tolerations : undefined,
  ]);
}

/** A node that lacks the label of any of the constraints is in none of their domains. */
function findScopes(constraints: readonly Constraint[], pod: PodInfo, snapshot: Snapshot): Scope[] {
  const scopes = constraints.map(() => ({ domains: new Set<string>(), nodes: new Set<NodeInfo>() }));
  let haveAll = 0;
  for (const node of snapshot.nodes) {
    if (!constraints.every((c) => node.labels[c.topologyKey] !== undefined)) continue;
    haveAll++;
    constraints.forEach((constraint, i) => {
      if (!counts(constraint, pod, node)) return;
      scopes[i]?.domains.add(node.labels[constraint.topologyKey] ?? '');
      scopes[i]?.nodes.add(node);
    });
  }
  // Where some nodes have one label only, the pods of a class by that label are not those that count.
  const complete = constraints.length === 1 || haveAll === snapshot.nodes.length;
  return scopes.map(({ domains, nodes }, i) => {
    const constraint = constraints[i];
    return { domains, nodes: complete && constraint && countsEverywhere(constraint, pod) ? undefined : nodes };
  });
}

/** A hard constraint with the pods in each of its domains. */
export class Domains {
  readonly constraint: Constraint;
  readonly #scope: Scope;
  readonly #pods: Map<string, number>;
  #fewest: number | undefined;

  constructor(constraint: Constraint, scope: Scope) {
    this.constraint = constraint;
    this.#scope = scope;
    this.#pods = countPods(constraint, scope);
  }

  /** How many more pods than in the emptiest domain there would be with one more in this one. */
  skewAt(value: string): number {
    return (this.#pods.get(value) ?? 0) + (this.constraint.matchesSelf ? 1 : 0) - this.#fewestNow();
  }

  /** Counts one pod more, or less, on the node. */
  move(other: PodInfo, node: NodeInfo, pod: PodInfo, sign: 1 | -1): void {
    const value = node.labels[this.constraint.topologyKey];
    if (value === undefined || !this.#scope.domains.has(value) || !this.constraint.matches(other) || !counts(this.constraint, pod, node)) return;
    this.#pods.set(value, (this.#pods.get(value) ?? 0) + sign);
    this.#fewest = undefined;
  }

  #fewestNow(): number {
    this.#fewest ??= this.#findFewest();
    return this.#fewest;
  }

  #findFewest(): number {
    const { domains } = this.#scope;
    if (domains.size < this.constraint.minDomains || this.#pods.size < domains.size) return 0;
    let fewest = Infinity;
    for (const value of domains) fewest = Math.min(fewest, this.#pods.get(value) ?? 0);
    return fewest === Infinity ? 0 : fewest;
  }
}

/** Only domains of the scope are in it, and only those with pods. */
function countPods(constraint: Constraint, { domains, nodes }: Scope): Map<string, number> {
  const pods = new Map<string, number>();
  const add = (value: string | undefined, amount: number): void => {
    if (value !== undefined && domains.has(value)) pods.set(value, (pods.get(value) ?? 0) + amount);
  };
  if (!nodes) {
    for (const podClass of constraint.classes) for (const [value, amount] of podClass.domains(constraint.topologyKey).byValue) add(value, amount);
    return pods;
  }
  for (const node of new Set(constraint.classes.flatMap((podClass) => [...podClass.nodes.keys()]))) {
    if (nodes.has(node)) add(node.labels[constraint.topologyKey], podsOn(constraint, node));
  }
  return pods;
}
