import type { Pod, StatefulSet, StatefulSetStatus } from '#api/gen/types.ts';
import { controllerRevisions, persistentVolumeClaims, pods, statefulSets } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, objectKey, splitKey } from '#api/meta/object.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import { deleteAsSeen, eventAction, execute, isNamespaceTerminating } from '../execute.ts';
import { ownedIndexes, podIndexes } from '../indexes.ts';
import { claim, controllerOf, withMetadata } from '../owner-refs.ts';
import { keepHistory, surplusRevisions, type History } from '../revision-history.ts';
import { watch, type Controller, type ControllerDeps, type ReconcileResult } from '../types.ts';
import { claimsFor, isStale, withOwners } from './claims.ts';
import { nameOf, ordinalOf, revisionOf, specReplicas, startOrdinal } from './identity.ts';
import { planStatefulSet, type StatefulSnapshot } from './reconcile.ts';
import { statefulSetStatus } from './status.ts';

const revisionHashLabel = 'controller.kubernetes.io/hash';
/** How long until the cache surely shows what is there already. */
const behindMs = 1000;

/** Keeps the pods of StatefulSets: named, in order, each with its own claims. */
class StatefulSetController implements Controller {
  readonly workers = 4;
  readonly watches;
  readonly #deps: ControllerDeps;
  readonly #sets;
  readonly #pods;
  readonly #revisions;
  readonly #claims;
  /** Pods that were deleted, by uid, until the cache says so: taken for whole they would let the next one go, too. */
  readonly #deleted = new Set<string>();

  constructor(deps: ControllerDeps) {
    this.#deps = deps;
    this.#sets = deps.informers.informer(statefulSets);
    this.#pods = deps.informers.informer(pods, podIndexes);
    this.#revisions = deps.informers.informer(controllerRevisions, ownedIndexes);
    this.#claims = deps.informers.informer(persistentVolumeClaims);
    this.watches = [
      watch(this.#sets, ({ object, old }) => (object ?? old ? [keyOf((object ?? old) as StatefulSet)] : [])),
      watch(this.#pods, ({ object, old }) => {
        if (object === undefined || object.metadata?.deletionTimestamp !== undefined) this.#deleted.delete(old?.metadata?.uid ?? '');
        return new Set([...this.#ownersOf(object), ...this.#ownersOf(old)]);
      }),
      watch(this.#revisions, () => []),
      watch(this.#claims, ({ object, old }) => (object === undefined && old ? this.#waitingFor(old.metadata?.namespace, old.metadata?.name ?? '') : [])),
    ];
  }

  async reconcile(key: string): Promise<ReconcileResult | undefined> {
    const { namespace, name } = splitKey(key);
    const set = this.#sets.get(namespace, name);
    if (set === undefined) return undefined;
    const history = await this.#history(set);
    const snapshot = await this.#snapshot(set, history);
    const plan = planStatefulSet(snapshot);
    await execute(this.#deps, plan.events);
    await this.#tendClaims(snapshot);
    for (const pod of plan.relabel) await this.#deps.client.update(pods, pod);
    const results = await Promise.allSettled([...plan.create.map((pod) => this.#create(set, pod)), ...plan.remove.map((pod) => this.#delete(set, pod))]);
    const live = new Set([...snapshot.pods.map(revisionOf), nameOf(snapshot.current), nameOf(snapshot.update)]);
    const old = history.old.filter((revision) => !live.has(nameOf(revision)));
    await execute(this.#deps, surplusRevisions(old, set.spec?.revisionHistoryLimit ?? 10, () => false));
    const { status, afterMs } = statefulSetStatus(snapshot);
    await this.#writeStatus(set, status);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed && !isNamespaceTerminating(failed.reason)) throw failed.reason;
    const behind = results.some((result) => result.status === 'fulfilled' && result.value === 'not yet');
    return { afterMs: behind ? behindMs : afterMs };
  }

  #history(set: StatefulSet): Promise<History> {
    const { namespace = '', uid = '' } = set.metadata ?? {};
    const requirements = requirementsOf(set.spec?.selector);
    return keepHistory(this.#deps, {
      resource: statefulSets, owner: set, template: set.spec?.template ?? {}, collisionCount: set.status?.collisionCount,
      revisions: [...this.#revisions.by('controller', uid), ...this.#revisions.by('orphan', namespace)],
      matches: (revision) => matchesLabels(requirements, revision.metadata?.labels), labels: (hash) => ({ [revisionHashLabel]: hash }),
    }, (collisionCount) => this.#deps.client.update(statefulSets, { ...set, status: { replicas: 0, ...set.status, collisionCount } }, 'status'));
  }

  async #snapshot(set: StatefulSet, { current: update, old }: History): Promise<StatefulSnapshot> {
    const { namespace = '', uid = '' } = set.metadata ?? {};
    const requirements = requirementsOf(set.spec?.selector);
    const matches = (pod: Pod): boolean => ordinalOf(set, pod) !== undefined && matchesLabels(requirements, pod.metadata?.labels);
    const { owned, adopt, release } = claim(statefulSets, set, [...this.#pods.by('controller', uid), ...this.#pods.by('orphan', namespace)], matches);
    for (const pod of [...adopt, ...release]) await this.#deps.client.update(pods, pod);
    const current = old.find((revision) => nameOf(revision) === set.status?.currentRevision) ?? update;
    return { set, pods: [...owned, ...adopt].map((pod) => this.#asDeleted(pod)), update, current, nowMs: this.#deps.clock.now() };
  }

  #asDeleted(pod: Pod): Pod {
    return this.#deleted.has(pod.metadata?.uid ?? '') ? withMetadata(pod, { deletionTimestamp: rfc3339(this.#deps.clock.now()) }) : pod;
  }

  async #create(set: StatefulSet, pod: Pod): Promise<'done' | 'not yet'> {
    const name = pod.metadata?.name ?? '';
    const tell = (severity: 'Normal' | 'Warning', reason: string, message: string): Promise<void> => execute(this.#deps, [eventAction(statefulSets, set, severity, reason, message)]);
    try {
      const ordinal = ordinalOf(set, pod) ?? 0;
      if (claimsFor(set, ordinal).some(({ metadata }) => { const there = this.#claims.get(metadata?.namespace, metadata?.name ?? ''); return there !== undefined && isStale(there, undefined); })) return 'not yet';
      await this.#createClaims(set, ordinal, name);
      await this.#deps.client.create(pods, pod);
      await tell('Normal', 'SuccessfulCreate', `create Pod ${name} in StatefulSet ${set.metadata?.name ?? ''} successful`);
      return 'done';
    } catch (error) {
      // The cache does not show it yet, or a pod of that name has yet to go.
      if (isStatus(error, 'AlreadyExists')) return 'not yet';
      if (!isNamespaceTerminating(error)) await tell('Warning', 'FailedCreate', `create Pod ${name} in StatefulSet ${set.metadata?.name ?? ''} failed error: ${messageOf(error)}`);
      throw error;
    }
  }

  async #createClaims(set: StatefulSet, ordinal: number, podName: string): Promise<void> {
    for (const wanted of claimsFor(set, ordinal)) {
      const name = wanted.metadata?.name ?? '';
      if (this.#claims.get(wanted.metadata?.namespace, name) !== undefined) continue;
      try {
        await this.#deps.client.create(persistentVolumeClaims, wanted);
        await execute(this.#deps, [eventAction(statefulSets, set, 'Normal', 'SuccessfulCreate', `create Claim ${name} Pod ${podName} in StatefulSet ${set.metadata?.name ?? ''} success`)]);
      } catch (error) {
        if (!isStatus(error, 'AlreadyExists')) throw error;
      }
    }
  }

  async #delete(set: StatefulSet, pod: Pod): Promise<void> {
    const name = `${pod.metadata?.name ?? ''} in StatefulSet ${set.metadata?.name ?? ''}`;
    try {
      if (!await deleteAsSeen(this.#deps.client, pods, pod)) return;
      const cached = this.#pods.get(pod.metadata?.namespace, pod.metadata?.name ?? '');
      if (cached?.metadata?.uid !== undefined && cached.metadata.uid === pod.metadata?.uid && cached.metadata.deletionTimestamp === undefined) this.#deleted.add(cached.metadata.uid);
      await execute(this.#deps, [eventAction(statefulSets, set, 'Normal', 'SuccessfulDelete', `delete Pod ${name} successful`)]);
    } catch (error) {
      await execute(this.#deps, [eventAction(statefulSets, set, 'Warning', 'FailedDelete', `delete Pod ${name} failed error: ${messageOf(error)}`)]);
      throw error;
    }
  }

  /** Makes claims that went missing, and says with whom each goes; before any pod is removed. */
  async #tendClaims({ set, pods: own }: StatefulSnapshot): Promise<void> {
    if ((set.spec?.volumeClaimTemplates ?? []).length === 0 || set.metadata?.deletionTimestamp !== undefined) return;
    for (const pod of own) {
      const ordinal = ordinalOf(set, pod) ?? 0;
      const condemned = ordinal < startOrdinal(set) || ordinal >= startOrdinal(set) + specReplicas(set);
      if (!condemned && pod.status?.phase === 'Pending') await this.#createClaims(set, ordinal, pod.metadata?.name ?? '');
      for (const { metadata } of claimsFor(set, ordinal)) {
        const there = this.#claims.get(metadata?.namespace, metadata?.name ?? '');
        const next = there && withOwners(set, there, condemned ? pod : undefined);
        if (next) await this.#deps.client.update(persistentVolumeClaims, next);
      }
    }
  }

  async #writeStatus(set: StatefulSet, status: StatefulSetStatus): Promise<void> {
    if (equal(status, set.status)) return;
    try {
      await this.#deps.client.update(statefulSets, { ...set, status }, 'status');
    } catch (error) {
      if (!isStatus(error, 'NotFound')) throw error;
    }
  }

  *#ownersOf(pod: Pod | undefined): Iterable<string> {
    if (pod === undefined) return;
    const namespace = pod.metadata?.namespace;
    const owner = controllerOf(pod);
    if (owner !== undefined) {
      if (owner.kind === statefulSets.kind) yield objectKey(namespace, owner.name);
      return;
    }
    for (const set of this.#sets.list(namespace)) if (ordinalOf(set, pod) !== undefined) yield keyOf(set);
  }

  /** Sets one of whose pods may wait until this claim is gone. */
  *#waitingFor(namespace: string | undefined, claimName: string): Iterable<string> {
    for (const set of this.#sets.list(namespace)) {
      if (set.spec?.volumeClaimTemplates?.some(({ metadata }) => claimName.startsWith(`${metadata?.name ?? ''}-${set.metadata?.name ?? ''}-`))) yield keyOf(set);
    }
  }
}

export function statefulSetController(deps: ControllerDeps): Controller {
  return new StatefulSetController(deps);
}
