import type { CronJob, DaemonSet, Deployment, Job, Namespace, Node, Pod, PodDisruptionBudget, ReplicaSet, ResourceQuota, StatefulSet } from '#api/gen/types.ts';
import { cronJobs, daemonSets, deployments, jobs, namespaces, nodes, podDisruptionBudgets, pods, replicaSets, resourceQuotas, statefulSets } from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { scaledValue } from '#api/meta/int-or-percent.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { isControlledBy } from '#controlplane/controllers/owner-refs.ts';
import { isSettling, limitsOf, specReplicas } from '#controlplane/controllers/deployment/limits.ts';
import { isActive, isReady, isTerminal } from '#controlplane/controllers/pod-state.ts';
import { matchesNode } from '#api/pod-spec/node-selector.ts';
import { untoleratedTaint } from '#api/pod-spec/tolerations.ts';
import type { Truth, Written } from './truth.ts';
import { guarded } from './wishes.ts';

/** Of a Deployment: the most pods that there may be and the fewest that must be available, by all that was asked since it was last at rest. */
interface Bounds { readonly uid: string | undefined; readonly most: number; readonly least: number }

/**
 * What must hold after every single write. `gentle`: nobody takes pods or hosts away, so that what should be available is.
 */
export class Invariants {
  readonly problems: string[] = [];
  readonly #truth: () => Truth;
  readonly #gentle: boolean;
  readonly #bounds = new Map<string, Bounds>();
  /** A quota that was just lowered: what was let in before may come after. */
  readonly #hard = new Map<string, number>();
  /** Budgets whose pods have all been healthy at once. */
  readonly #filled = new Set<string>();

  constructor(truth: () => Truth, gentle: boolean) {
    this.#truth = truth;
    this.#gentle = gentle;
  }

  written({ key, object, old }: Written): void {
    if (key.startsWith('core/pods/')) this.#pod(object as Pod | undefined, old as Pod | undefined);
    else if (key.startsWith('apps/deployments/')) this.#note(key, object as Deployment | undefined);
    else if (key.startsWith('batch/jobs/')) this.#jobs();
    else if (key.startsWith('core/resourcequotas/') && object && old) this.#hard.set(key, podsOf(old as ResourceQuota));
  }

  /** The node as the scheduler knows it takes the pod. While claims are bound first there may be news of either. */
  binding(pod: Pod | undefined, node: Node | undefined): void {
    if (pod === undefined || pod.spec?.volumes?.some(({ persistentVolumeClaim: claim }) => claim)) return;
    const name = `${pod.metadata?.name ?? ''} to ${node?.metadata?.name ?? 'nowhere'}`;
    if (!node) this.problems.push(`bound ${name}`);
    else if (untoleratedTaint(node.spec?.taints, pod.spec?.tolerations)) this.problems.push(`bound ${name}, which is tainted`);
    else if (node.spec?.unschedulable === true && !pod.spec?.tolerations?.some(({ key }) => key === 'node.kubernetes.io/unschedulable')) this.problems.push(`bound ${name}, which is cordoned`);
  }

  #pod(pod: Pod | undefined, old: Pod | undefined): void {
    if (pod && !old) this.#quotas(pod);
    if (pod?.spec?.nodeName && !old?.spec?.nodeName) this.#fits(pod);
    for (const deployment of this.#truth().all(deployments)) this.#within(deployment);
    for (const job of this.#truth().all(jobs)) this.#parallel(job);
    for (const set of this.#truth().all(daemonSets)) this.#onePerNode(set);
    if (this.#gentle) for (const name of guarded) this.#spared(name);
  }

  #quotas({ metadata }: Pod): void {
    const living = this.#truth().all(pods).filter((pod) => pod.metadata?.namespace === metadata?.namespace && !isTerminal(pod)).length;
    for (const quota of this.#truth().all(resourceQuotas)) {
      if (quota.metadata?.namespace !== metadata?.namespace) continue;
      const hard = Math.max(podsOf(quota), this.#hard.get(`core/resourcequotas/${quota.metadata?.namespace ?? ''}/${quota.metadata?.name ?? ''}`) ?? 0);
      if (living > hard) this.problems.push(`${String(living)} pods in ${metadata?.namespace ?? ''}, whose quota is ${String(hard)}`);
    }
  }

  /** Labels of nodes do not change here, nor does what they have. */
  #fits(pod: Pod): void {
    const truth = this.#truth();
    const name = pod.spec?.nodeName ?? '';
    const node = truth.find<Node>(nodes, undefined, name);
    if (!node) { this.problems.push(`${pod.metadata?.name ?? ''} is bound to ${name}, which does not exist`); return; }
    if (!matchesNode(pod.spec, { name, labels: node.metadata?.labels ?? {} })) this.problems.push(`${pod.metadata?.name ?? ''} may not be on ${name}`);
    const there = truth.all<Pod>(pods).filter((other) => other.spec?.nodeName === name && !isTerminal(other));
    const millis = there.reduce((sum, other) => sum + cpuMillis(other), 0);
    if (millis > Number(node.status?.allocatable?.['cpu'] ?? 0) * 1000) this.problems.push(`${name} is asked for ${String(millis)}m of cpu`);
    const apart = pod.spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.[0]?.labelSelector;
    if (apart && there.filter((other) => matchesLabels(requirementsOf(apart), other.metadata?.labels)).length > 1) this.problems.push(`${pod.metadata?.name ?? ''} is on ${name}, and so is one that it must not be with`);
  }

  ownPods(deployment: Deployment): Pod[] {
    const sets = new Set(this.#truth().all(replicaSets).filter((set) => isControlledBy(set, deployment.metadata?.uid)).map(({ metadata }) => metadata?.uid));
    return this.#truth().all<Pod>(pods).filter((pod) => sets.has(pod.metadata?.ownerReferences?.find(({ controller }) => controller)?.uid));
  }

  #note(key: string, deployment: Deployment | undefined): void {
    if (!deployment) { this.#bounds.delete(key); return; }
    const { maxSurge, maxUnavailable } = limitsOf(deployment);
    const [most, least] = [specReplicas(deployment) + maxSurge, specReplicas(deployment) - maxUnavailable];
    const active = this.ownPods(deployment).filter(isActive);
    const sets = this.#truth().all(replicaSets).filter((set) => isControlledBy(set, deployment.metadata?.uid));
    const rests = deployment.status?.observedGeneration === deployment.metadata?.generation && getCondition(deployment.status?.conditions, 'Progressing')?.reason === 'NewReplicaSetAvailable'
      && !sets.some(isSettling) && active.length === specReplicas(deployment) && active.filter(isReady).length === specReplicas(deployment);
    const known = this.#bounds.get(key);
    if (rests) this.#bounds.set(key, { uid: deployment.metadata?.uid, most, least });
    // Of one that is new nothing is known: it may have been given the pods of another.
    else if (known?.uid === deployment.metadata?.uid) this.#bounds.set(key, { uid: known?.uid, most: Math.max(known?.most ?? 0, most), least: Math.min(known?.least ?? 0, least) });
    else this.#bounds.set(key, { uid: deployment.metadata?.uid, most: Infinity, least: 0 });
  }

  #within(deployment: Deployment): void {
    const { namespace = '', name = '', uid } = deployment.metadata ?? {};
    const bounds = this.#bounds.get(`apps/deployments/${namespace}/${name}`);
    if (bounds?.uid !== uid || !bounds) return;
    const active = this.ownPods(deployment).filter(isActive);
    if (active.length > bounds.most) this.problems.push(`${String(active.length)} pods of ${name}, at most ${String(bounds.most)} may be`);
    const available = active.filter(isReady).length;
    const mayEnd = deployment.spec?.strategy?.type === 'Recreate' || this.#truth().find<Namespace>(namespaces, undefined, namespace)?.metadata?.deletionTimestamp !== undefined;
    if (this.#gentle && !mayEnd && available < bounds.least) this.problems.push(`${String(available)} pods of ${name} are available, at least ${String(bounds.least)} should be`);
  }

  /** Nothing but evictions takes these away: what the budget says must be left of them is. */
  #spared(name: string): void {
    const budget = this.#truth().find<PodDisruptionBudget>(podDisruptionBudgets, 'default', name);
    const { healthy = 0, least = 0, replicas = 0 } = budget ? this.#budget(budget) : {};
    if (replicas > 0 && healthy === replicas) this.#filled.add(name);
    if (this.#filled.has(name) && healthy < least) this.problems.push(`${String(healthy)} pods of ${name} are healthy, and its budget says that ${String(least)} must be`);
  }

  /** By the pods themselves, and by what it asks for. */
  #budget({ metadata, spec }: PodDisruptionBudget): { healthy: number; least: number; replicas: number } {
    const truth = this.#truth();
    const { namespace, name = '' } = metadata ?? {};
    const owner = truth.find<Deployment>(deployments, namespace, name) ?? truth.find<ReplicaSet>(replicaSets, namespace, name) ?? truth.find<StatefulSet>(statefulSets, namespace, name);
    const replicas = owner?.spec?.replicas ?? 0;
    const { minAvailable, maxUnavailable = 0 } = spec ?? {};
    const least = minAvailable === undefined ? replicas - scaledValue(maxUnavailable, replicas, 'up') : scaledValue(minAvailable, replicas, 'up');
    const healthy = truth.all<Pod>(pods).filter((pod) => pod.metadata?.namespace === namespace && pod.metadata?.labels?.['app'] === name && isActive(pod) && isReady(pod)).length;
    return { healthy, least: Math.max(0, least), replicas };
  }

  /** What a budget tells, once all is quiet. */
  budgetFaults(budget: PodDisruptionBudget): string[] {
    const { healthy, least } = this.#budget(budget);
    const { currentHealthy, desiredHealthy, disruptionsAllowed, disruptedPods } = budget.status ?? {};
    const is = JSON.stringify({ currentHealthy, desiredHealthy, disruptionsAllowed, disruptedPods });
    const should = JSON.stringify({ currentHealthy: healthy, desiredHealthy: least, disruptionsAllowed: Math.max(0, healthy - least) });
    return is === should ? [] : [`the budget ${budget.metadata?.name ?? ''} tells ${is}, and should ${should}`];
  }

  #parallel(job: Job): void {
    const active = this.#truth().all<Pod>(pods).filter((pod) => isControlledBy(pod, job.metadata?.uid) && isActive(pod)).length;
    if (active > (job.spec?.parallelism ?? 1)) this.problems.push(`${String(active)} pods of job ${job.metadata?.name ?? ''} at once`);
  }

  #onePerNode(set: DaemonSet): void {
    const own = this.#truth().all<Pod>(pods).filter((pod) => isControlledBy(pod, set.metadata?.uid) && isActive(pod));
    for (const [node, list] of Map.groupBy(own, targetOf)) if (list.length > 1) this.problems.push(`${String(list.length)} pods of ${set.metadata?.name ?? ''} for ${node}`);
  }

  #jobs(): void {
    for (const cron of this.#truth().all<CronJob>(cronJobs)) {
      const open = this.#truth().all<Job>(jobs).filter((job) => isControlledBy(job, cron.metadata?.uid) && job.metadata?.deletionTimestamp === undefined && !isFinished(job)).length;
      if (cron.spec?.concurrencyPolicy === 'Forbid' && open > 1) this.problems.push(`${String(open)} jobs of ${cron.metadata?.name ?? ''} at once`);
    }
  }
}

export function isFinished({ status }: Job): boolean {
  return ['Complete', 'Failed'].some((type) => getCondition(status?.conditions, type)?.status === 'True');
}

/** The node that a pod of a DaemonSet is for. */
export function targetOf({ spec }: Pod): string {
  return spec?.nodeName ?? spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms[0]?.matchFields?.[0]?.values?.[0] ?? '';
}

function podsOf({ spec }: ResourceQuota): number {
  return Number(spec?.hard?.['pods'] ?? Infinity);
}

function cpuMillis({ spec }: Pod): number {
  return spec?.containers.reduce((sum, { resources }) => sum + Number((resources?.requests?.['cpu'] ?? '0m').replace('m', '')), 0) ?? 0;
}
