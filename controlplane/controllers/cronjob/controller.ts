import type { CronJob, CronJobStatus, Job } from '#api/gen/types.ts';
import { cronJobs, jobs } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, objectKey, splitKey } from '#api/meta/object.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import { deleteObject, eventAction, execute, isNamespaceTerminating } from '../execute.ts';
import { ownedIndexes } from '../indexes.ts';
import { controllerOf, isControlledBy } from '../owner-refs.ts';
import { watch, type Controller, type ControllerDeps, type ReconcileResult } from '../types.ts';
import { planCronJob, withStarted } from './reconcile.ts';

/** Starts Jobs at their times. */
class CronJobController implements Controller {
  readonly watches;
  readonly #deps: ControllerDeps;
  readonly #cronJobs;
  readonly #jobs;

  constructor(deps: ControllerDeps) {
    this.#deps = deps;
    this.#cronJobs = deps.informers.informer(cronJobs);
    this.#jobs = deps.informers.informer(jobs, ownedIndexes);
    this.watches = [
      watch(this.#cronJobs, ({ object }) => (object ? [keyOf(object)] : [])),
      watch(this.#jobs, ({ object, old }) => {
        const job = object ?? old;
        const owner = job && controllerOf(job);
        return owner?.kind === cronJobs.kind ? [objectKey(job?.metadata?.namespace, owner.name)] : [];
      }),
    ];
  }

  async reconcile(key: string): Promise<ReconcileResult | undefined> {
    const { namespace, name } = splitKey(key);
    if (this.#cronJobs.get(namespace, name) === undefined) return undefined;
    const cronJob = await this.#deps.client.get(cronJobs, namespace, name);
    const own = this.#jobs.by('controller', cronJob.metadata?.uid ?? '');
    const plan = planCronJob({ cronJob, jobs: own, missing: await this.#missing(cronJob, own), nowMs: this.#deps.clock.now() });
    await execute(this.#deps, plan.events);
    for (const job of plan.remove) await this.#remove(cronJob, job);
    const started = plan.start && await this.#start(cronJob, plan.start.job);
    const status = plan.start && started ? withStarted(plan.status, started, plan.start.scheduledMs) : plan.status;
    await this.#writeStatus(cronJob, status);
    return { afterMs: plan.afterMs };
  }

  /** A Job that the cache does not show may have been made a moment ago. */
  async #missing({ status, metadata }: CronJob, own: readonly Job[]): Promise<Set<string>> {
    const missing = new Set<string>();
    for (const { name = '', uid = '' } of status?.active ?? []) {
      if (own.some((job) => job.metadata?.uid === uid)) continue;
      try {
        const job = await this.#deps.client.get(jobs, metadata?.namespace, name);
        if (job.metadata?.uid !== uid) missing.add(uid);
      } catch (error) {
        if (!isStatus(error, 'NotFound')) throw error;
        missing.add(uid);
      }
    }
    return missing;
  }

  async #remove(cronJob: CronJob, job: Job): Promise<void> {
    const tell = (severity: 'Normal' | 'Warning', reason: string, message: string): Promise<void> => execute(this.#deps, [eventAction(cronJobs, cronJob, severity, reason, message)]);
    try {
      if (await deleteObject(this.#deps.client, jobs, job, { propagationPolicy: 'Background' })) await tell('Normal', 'SuccessfulDelete', `Deleted job ${job.metadata?.name ?? ''}`);
    } catch (error) {
      await tell('Warning', 'FailedDelete', `Deleted job: ${messageOf(error)}`);
      throw error;
    }
  }

  /** The Job of this time, made now or before a crash; undefined when it is another's. */
  async #start(cronJob: CronJob, job: Job): Promise<Job | undefined> {
    try {
      const created = await this.#deps.client.create(jobs, job);
      await execute(this.#deps, [eventAction(cronJobs, cronJob, 'Normal', 'SuccessfulCreate', `Created job ${created.metadata?.name ?? ''}`)]);
      return created;
    } catch (error) {
      if (isNamespaceTerminating(error)) return undefined;
      if (!isStatus(error, 'AlreadyExists')) {
        await execute(this.#deps, [eventAction(cronJobs, cronJob, 'Warning', 'FailedCreate', `Error creating job: ${messageOf(error)}`)]);
        throw error;
      }
      const other = await this.#deps.client.get(jobs, job.metadata?.namespace, job.metadata?.name ?? '');
      return isControlledBy(other, cronJob.metadata?.uid) ? other : undefined;
    }
  }

  async #writeStatus(cronJob: CronJob, status: CronJobStatus): Promise<void> {
    if (!equal(status, cronJob.status ?? {})) await this.#deps.client.update(cronJobs, { ...cronJob, status }, 'status');
  }
}

export function cronJobController(deps: ControllerDeps): Controller {
  return new CronJobController(deps);
}
