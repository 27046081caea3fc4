import type { Job, JobStatus, Pod } from '#api/gen/types.ts';
import { jobs, pods } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, objectKey, splitKey } from '#api/meta/object.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { isStatus } from '#common/errors.ts';
import { execute, isNamespaceTerminating } from '../execute.ts';
import { Expectations } from '../expectations.ts';
import { podIndexes } from '../indexes.ts';
import { claim, controllerOf, withMetadata } from '../owner-refs.ts';
import { Pace } from '../pace.ts';
import { PodControl, type PodOutcome } from '../pod-control.ts';
import { watch, type Change, type Controller, type ControllerDeps, type ReconcileResult } from '../types.ts';
import { countJob, deadlineInMs, type JobCount } from './count.ts';
import { jobPod } from './job-pods.ts';
import { manageJob } from './manage.ts';
import { finish, settle, trackJob, type Tracking } from './reconcile.ts';
import { isFinished, isHeld, noFailures, trackingFinalizer, uidOf, type BackoffRecord, type JobSnapshot } from './snapshot.ts';

const strayPrefix = 'stray pod|';
const releasesAtATime = 16;

/** Runs the pods of Jobs to their completion. Keys are Jobs, and pods that no Job waits for any more. */
class JobController implements Controller {
  readonly workers = 4;
  readonly watches;
  readonly #deps: ControllerDeps;
  readonly #jobs;
  readonly #pods;
  readonly #expectations: Expectations;
  readonly #control: PodControl;
  readonly #backoff = new Map<string, BackoffRecord>();
  /** Uids of pods let go, by job, until the cache shows it. */
  readonly #released = new Map<string, Set<string>>();
  readonly #pace: Pace;

  constructor(deps: ControllerDeps) {
    this.#deps = deps;
    this.#jobs = deps.informers.informer(jobs);
    this.#pods = deps.informers.informer(pods, podIndexes);
    this.#expectations = new Expectations(deps);
    this.#pace = new Pace(deps.clock);
    this.#control = new PodControl({ ...deps, expectations: this.#expectations, owners: this.#jobs }, jobs);
    this.watches = [watch(this.#jobs, (change) => this.#jobChanged(change)), watch(this.#pods, (change) => this.#podChanged(change))];
  }

  async reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | undefined> {
    if (key.startsWith(strayPrefix)) return this.#stray(key.slice(strayPrefix.length));
    const { namespace, name } = splitKey(key);
    // As the API has it: by an old status, pods that are counted and let go would seem never to have been.
    const job = this.#jobs.get(namespace, name) && await this.#current(namespace, name);
    // Another controller's, by the Job's own word.
    if (job === undefined || isFinished(job) || (job.spec?.managedBy ?? 'kubernetes.io/job-controller') !== 'kubernetes.io/job-controller') return undefined;
    const pauseMs = this.#pace.waitMs(key, this.#pods.by('controller', job.metadata?.uid ?? '').length);
    if (pauseMs > 0) return { afterMs: pauseMs };
    const settled = this.#expectations.remainingMs(key) === 0;
    const snapshot = await this.#snapshot(key, job);
    const count = countJob(snapshot);
    const { outcome, done, afterMs } = await this.#manage(key, snapshot, count, settled, signal);
    const tracking = trackJob(snapshot, count, {
      active: count.active.length - outcome.removed + outcome.created, removed: outcome.removed, done, settled,
      cleared: count.ending !== undefined && settled && outcome.removed === count.active.length,
    });
    await execute(this.#deps, tracking.events);
    await this.#track(key, snapshot, count, tracking);
    if (outcome.failure !== undefined && !isNamespaceTerminating(outcome.failure.error)) throw outcome.failure.error;
    return { afterMs: earliest(afterMs, count.ending === undefined ? deadlineInMs({ ...job, status: tracking.status }, snapshot.nowMs) : undefined) };
  }

  async #current(namespace: string | undefined, name: string): Promise<Job | undefined> {
    try {
      return await this.#deps.client.get(jobs, namespace, name);
    } catch (error) {
      if (isStatus(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  async #snapshot(key: string, job: Job): Promise<JobSnapshot> {
    const { namespace = '', uid = '' } = job.metadata ?? {};
    const requirements = requirementsOf(job.spec?.selector);
    // A copy: the cache goes on while these pods are judged.
    const released = new Set(this.#released.get(key));
    const { owned, adopt, release } = claim(jobs, job, [...this.#pods.by('controller', uid), ...this.#pods.by('orphan', namespace)], (pod) => matchesLabels(requirements, pod.metadata?.labels));
    const tracked = adopt.map((pod) => withMetadata(pod, { finalizers: [...new Set([...pod.metadata?.finalizers ?? [], trackingFinalizer])] }));
    for (const pod of [...tracked, ...release]) await this.#deps.client.update(pods, pod);
    return { job, pods: [...owned, ...tracked], released, backoff: this.#backoff.get(key) ?? noFailures, nowMs: this.#deps.clock.now() };
  }

  async #manage(key: string, snapshot: JobSnapshot, count: JobCount, settled: boolean, signal: AbortSignal): Promise<{ outcome: PodOutcome; done: boolean; afterMs?: number | undefined }> {
    const { job } = snapshot;
    if (count.ending !== undefined) return { outcome: await this.#control.perform(key, job, { create: [], remove: settled ? count.active : [] }, signal), done: false };
    if (!settled || job.metadata?.deletionTimestamp !== undefined) return { outcome: { created: 0, removed: 0 }, done: false };
    const { create, remove, afterMs } = manageJob(snapshot, count);
    const made = create.map((index) => jobPod(job, index, count.lastFailed.get(index ?? -1)));
    return { outcome: await this.#control.perform(key, job, { create: made, remove }, signal), done: true, afterMs };
  }

  /** First the status that names the pods, then the pods, then the counters: whatever is cut off, the next look goes on from there. */
  async #track(key: string, { job, pods: own, released }: JobSnapshot, count: JobCount, { status, release, finished }: Tracking): Promise<void> {
    const noted = await this.#writeStatus(job, status);
    this.#backoff.set(key, count.backoff);
    await this.#release(key, release);
    const gone = new Set([...released, ...this.#released.get(key) ?? []]);
    const counted = settle(status, new Set(own.filter((pod) => isHeld({ released: gone }, pod)).map(uidOf)));
    const end = finished && finish(job, counted, finished);
    await this.#writeStatus(noted, end?.status ?? counted);
    if (end) await execute(this.#deps, end.events);
  }

  async #writeStatus(job: Job, status: JobStatus): Promise<Job> {
    return equal(status, job.status) ? job : this.#deps.client.update(jobs, { ...job, status }, 'status');
  }

  async #release(key: string, list: readonly Pod[]): Promise<void> {
    for (let i = 0; i < list.length; i += releasesAtATime) {
      const results = await Promise.allSettled(list.slice(i, i + releasesAtATime).map((pod) => this.#releaseOne(key, pod)));
      const failed = results.find((result) => result.status === 'rejected');
      if (failed) throw failed.reason;
    }
  }

  async #releaseOne(key: string, pod: Pod): Promise<void> {
    const released = this.#released.get(key) ?? new Set<string>();
    this.#released.set(key, released.add(uidOf(pod)));
    try {
      await this.#letGo(pod);
    } catch (error) {
      released.delete(uidOf(pod));
      throw error;
    }
  }

  async #letGo({ metadata }: Pod): Promise<void> {
    const finalizers = (metadata?.finalizers ?? []).filter((finalizer) => finalizer !== trackingFinalizer);
    try {
      await this.#deps.client.patch(pods, metadata?.namespace, metadata?.name ?? '', 'merge', { metadata: { uid: metadata?.uid, finalizers: finalizers.length > 0 ? finalizers : null } });
    } catch (error) {
      // Gone, or another pod of that name: nobody is held any more.
      if (!isStatus(error, 'NotFound', 'Conflict')) throw error;
    }
  }

  /** A pod whose Job is over or gone is not counted any more. */
  async #stray(key: string): Promise<undefined> {
    const { namespace, name } = splitKey(key);
    const pod = this.#pods.get(namespace, name);
    if (pod !== undefined && this.#isStray(pod)) await this.#letGo(pod);
    return undefined;
  }

  #isStray(pod: Pod): boolean {
    if (!pod.metadata?.finalizers?.includes(trackingFinalizer)) return false;
    const owner = controllerOf(pod);
    const job = owner?.kind === jobs.kind ? this.#jobs.get(pod.metadata.namespace, owner.name) : undefined;
    return job === undefined || job.metadata?.uid !== owner?.uid || isFinished(job);
  }

  *#jobChanged({ object, old }: Change<Job>): Iterable<string> {
    const job = object ?? old;
    if (!job) return;
    const key = keyOf(job);
    if (object?.metadata?.uid !== old?.metadata?.uid) {
      this.#expectations.forget(key);
      this.#backoff.delete(key);
      this.#released.delete(key);
      this.#pace.forget(key);
    }
    if (object === undefined || isFinished(object)) for (const pod of this.#pods.by('controller', job.metadata?.uid ?? '')) if (this.#isStray(pod)) yield strayPrefix + keyOf(pod);
    yield key;
  }

  *#podChanged(change: Change<Pod>): Iterable<string> {
    const { object, old } = change;
    const pod = object ?? old;
    if (!pod) return;
    const owner = controllerOf(pod);
    if (owner?.kind === jobs.kind && !object?.metadata?.finalizers?.includes(trackingFinalizer)) this.#released.get(objectKey(pod.metadata?.namespace, owner.name))?.delete(uidOf(pod));
    yield* this.#pace.awake(this.#control.changed(change));
    if (object === undefined) return;
    if (this.#isStray(object)) yield strayPrefix + keyOf(object);
    if (owner !== undefined) return;
    for (const job of this.#jobs.list(object.metadata?.namespace)) if (matchesLabels(requirementsOf(job.spec?.selector), object.metadata?.labels)) yield keyOf(job);
  }
}

function earliest(...times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((ms) => ms !== undefined);
  return known.length > 0 ? Math.max(0, Math.min(...known)) : undefined;
}

export function jobController(deps: ControllerDeps): Controller {
  return new JobController(deps);
}
