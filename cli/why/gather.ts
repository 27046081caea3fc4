import type { Event, Lease, Node, PersistentVolumeClaim, Pod } from '#api/gen/types.ts';
import type { RestClient } from '../client.ts';
import { lastSeenMs } from '../event-times.ts';
import { podSelectorOf } from '../pod-target.ts';
import type { ResourceType } from '../resources.ts';
import { explainPod } from './explain.ts';
import type { ClaimFacts, Explanation, PodFacts } from './types.ts';
import { explainWorkload, type WorkloadExplanation, type WorkloadFacts } from './workload.ts';

interface Items<T> { readonly items: readonly T[] }
interface Condition { readonly type: string; readonly status: string; readonly reason?: string; readonly message?: string }
/** What is read of a workload, whatever its kind. */
interface Workload {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly uid: string };
  readonly spec?: { readonly replicas?: number; readonly paused?: boolean; readonly suspend?: boolean; readonly completions?: number; readonly parallelism?: number; readonly selector?: Readonly<Record<string, unknown>> };
  readonly status?: { readonly readyReplicas?: number; readonly desiredNumberScheduled?: number; readonly numberReady?: number; readonly ready?: number; readonly succeeded?: number; readonly conditions?: readonly Condition[] };
}
interface Owned { readonly metadata: { readonly uid: string; readonly name: string; readonly ownerReferences?: readonly { readonly uid: string }[] }; readonly status?: { readonly conditions?: readonly Condition[] } }

/** Pods of one workload whose troubles are told; more would say the same again. */
const mostPods = 20;

/** Asks the API for what explanations need; each thing that many pods need, once. */
export class Gatherer {
  readonly #client: RestClient;
  readonly #once = new Map<string, Promise<unknown>>();

  constructor(client: RestClient) {
    this.#client = client;
  }

  async pod(pod: Pod): Promise<Explanation> {
    return explainPod(await this.#podFacts(pod));
  }

  /** What became of a workload, and of its pods. */
  async workload(type: ResourceType, workload: Workload): Promise<WorkloadExplanation> {
    const { metadata: { name, namespace, uid }, spec, status } = workload;
    const makers = await this.#makers(type, namespace, uid);
    const uids = new Set([uid, ...makers.map(({ metadata }) => metadata.uid)]);
    const all = await this.#list<Pod>(`/api/v1/namespaces/${namespace}/pods${type.kind === 'Service' ? `?labelSelector=${encodeURIComponent(podSelectorOf(spec?.selector))}` : ''}`);
    const pods = type.kind === 'Service' ? all : all.filter(({ metadata }) => metadata?.ownerReferences?.some((owner) => uids.has(owner.uid)));
    const conditions = [...makers.flatMap((maker) => maker.status?.conditions ?? []), ...(status?.conditions ?? [])];
    const events = (await Promise.all([...uids].map((one) => this.#eventsOf(namespace, one)))).flat();
    const failed = conditionTrue(status?.conditions, 'Failed');
    const facts: WorkloadFacts = {
      object: `${type.singular}/${name}`, namespace, ...numbers(type, workload, pods),
      made: pods.length, paused: spec?.paused === true, suspended: spec?.suspend === true, ended: conditionTrue(status?.conditions, 'Complete') ? 'well' : failed && `${failed.reason ?? ''}: ${failed.message ?? ''}`,
      refusals: [...events.filter(({ reason }) => reason === 'FailedCreate').map(({ message = '' }) => message), ...conditions.filter(({ type: one, status: is, reason }) => one === 'ReplicaFailure' && is === 'True' && reason === 'FailedCreate').map(({ message = '' }) => message)],
      complaints: [
        ...(type.kind === 'Service' && pods.length === 0 ? ['No pod has the labels that it selects'] : []),
        ...(status?.conditions ?? []).filter(({ type: one, reason }) => one === 'Progressing' && reason === 'ProgressDeadlineExceeded').map(({ message = '' }) => message),
      ],
      pods: await Promise.all(pods.filter(({ metadata }) => metadata?.deletionTimestamp === undefined).slice(0, mostPods).map((pod) => this.pod(pod))),
    };
    return explainWorkload(facts);
  }

  async #podFacts(pod: Pod): Promise<PodFacts> {
    const { namespace = '', name = '', uid = '' } = pod.metadata ?? {};
    const { nodeName, volumes = [] } = pod.spec ?? {};
    const claimNames = volumes.flatMap(({ name: volume, persistentVolumeClaim, ephemeral }) => persistentVolumeClaim?.claimName ?? (ephemeral ? `${name}-${volume}` : []));
    // Of many pods most are well, and have nothing to tell.
    const quiet = pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true && pod.status.containerStatuses?.every(({ restartCount }) => restartCount === 0) === true;
    const [events, nodes, lease, neighbours, claims] = await Promise.all([
      quiet ? [] : this.#eventsOf(namespace, uid),
      this.#list<Node>('/api/v1/nodes'),
      nodeName === undefined ? undefined : this.#find<Lease>(`/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${encodeURIComponent(nodeName)}`),
      nodeName === undefined ? this.#list<Pod>(`/api/v1/pods?fieldSelector=${encodeURIComponent('spec.nodeName!=')}`) : [],
      Promise.all(claimNames.map((claim) => this.#claim(namespace, claim))),
    ]);
    return { pod, events, nodes, lease, neighbours, claims, nowMs: Date.now() };
  }

  async #claim(namespace: string, name: string): Promise<ClaimFacts> {
    const claim = await this.#find<PersistentVolumeClaim>(`/api/v1/namespaces/${namespace}/persistentvolumeclaims/${encodeURIComponent(name)}`);
    return { name, claim, events: claim ? await this.#eventsOf(namespace, claim.metadata?.uid ?? '') : [] };
  }

  /** What stands between a workload and its pods. */
  async #makers({ kind }: ResourceType, namespace: string, uid: string): Promise<readonly Owned[]> {
    const path = { Deployment: `/apis/apps/v1/namespaces/${namespace}/replicasets`, CronJob: `/apis/batch/v1/namespaces/${namespace}/jobs` }[kind];
    return path === undefined ? [] : (await this.#list<Owned>(path)).filter(({ metadata }) => metadata.ownerReferences?.some((owner) => owner.uid === uid));
  }

  async #eventsOf(namespace: string, uid: string): Promise<readonly Event[]> {
    const events = await this.#list<Event>(`/api/v1/namespaces/${namespace}/events?fieldSelector=${encodeURIComponent(`involvedObject.uid=${uid}`)}`);
    return events.toSorted((a, b) => lastSeenMs(a) - lastSeenMs(b));
  }

  async #list<T>(path: string): Promise<readonly T[]> {
    return (await this.#ask(path, () => this.#client.json<Items<T>>('GET', path))).items;
  }

  #find<T>(path: string): Promise<T | undefined> {
    return this.#ask(path, () => this.#client.find<T>(path));
  }

  #ask<T>(path: string, ask: () => Promise<T>): Promise<T> {
    const known = this.#once.get(path) as Promise<T> | undefined;
    const answer = known ?? ask();
    this.#once.set(path, answer);
    return answer;
  }
}

function numbers({ kind }: ResourceType, { spec, status }: Workload, pods: readonly Pod[]): { readonly wanted: number | undefined; readonly ready: number } {
  switch (kind) {
    case 'DaemonSet': return { wanted: status?.desiredNumberScheduled ?? 0, ready: status?.numberReady ?? 0 };
    case 'Job': return { wanted: Math.min(spec?.parallelism ?? 1, Math.max(0, (spec?.completions ?? spec?.parallelism ?? 1) - (status?.succeeded ?? 0))) || undefined, ready: status?.ready ?? 0 };
    case 'CronJob': case 'Service': return { wanted: undefined, ready: pods.length };
    default: return { wanted: spec?.replicas ?? 1, ready: status?.readyReplicas ?? 0 };
  }
}

function conditionTrue(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((one) => one.type === type && one.status === 'True');
}
