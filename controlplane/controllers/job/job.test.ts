import { describe, expect, it } from 'vitest';
import type { Job, JobSpec, Pod } from '#api/gen/types.ts';
import { jobs, pods } from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { rfc3339 } from '#common/time.ts';
import { StatusError } from '#common/errors.ts';
import { runControllers, type RunningControllers } from '#test/support/run-controllers.ts';
import { isActive } from '../pod-state.ts';
import { nextRecord, remainingMs } from './backoff.ts';
import { judgeFailure } from './failure-policy.ts';
import { formatIndexes, freeIndexes, parseIndexes } from './indexes.ts';
import { trackingFinalizer } from './snapshot.ts';
import { matchedSuccess } from './success-policy.ts';

it.each([['1,3-5,7', [1, 3, 4, 5, 7]], ['3,4', [3, 4]], ['0', [0]], ['', []], ['0-2', [0, 1, 2]]])('reads and writes indexes %s', (text, list) => {
  expect([...parseIndexes(text, 8)]).toEqual(list);
  expect(formatIndexes(list.toReversed())).toBe(text);
  expect(freeIndexes(3, 9, new Set(list))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8].filter((i) => !list.includes(i)).slice(0, 3));
});

it('reads nonsense without end as nothing, and no further than there are completions', () => {
  expect([...parseIndexes('x,-1,1-999999999,9999999999', 4)]).toEqual([1, 2, 3]);
});

const ended = (code: number, more: Partial<Pod['status']> = {}): Pod => ({ metadata: { name: 'p', namespace: 'n' }, status: { phase: 'Failed', containerStatuses: [{ name: 'c', image: '', imageID: '', ready: false, restartCount: 0, state: { terminated: { exitCode: code } } }], ...more } });

it.each<[string, Parameters<typeof judgeFailure>[0], Pod, ReturnType<typeof judgeFailure>]>([
  ['no policy', undefined, ended(1), { counts: true }],
  ['no rule that fits', { rules: [{ action: 'FailJob', onExitCodes: { operator: 'In', values: [42] } }] }, ended(1), { counts: true }],
  ['FailJob', { rules: [{ action: 'Count', onExitCodes: { operator: 'In', values: [1] } }, { action: 'FailJob', onExitCodes: { containerName: 'c', operator: 'In', values: [42] } }] }, ended(42), { action: 'FailJob', counts: true, message: 'Container c for pod n/p failed with exit code 42 matching FailJob rule at index 1' }],
  ['NotIn', { rules: [{ action: 'FailIndex', onExitCodes: { operator: 'NotIn', values: [1] } }] }, ended(2), { action: 'FailIndex', counts: true }],
  ['another container', { rules: [{ action: 'Ignore', onExitCodes: { containerName: 'x', operator: 'In', values: [2] } }] }, ended(2), { counts: true }],
  ['a disruption', { rules: [{ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget' }] }] }, ended(1, { conditions: [{ type: 'DisruptionTarget', status: 'True' }] }), { action: 'Ignore', counts: false }],
  ['a condition that fails the job', { rules: [{ action: 'FailJob', onPodConditions: [{ type: 'Odd', status: 'False' }] }] }, ended(1, { conditions: [{ type: 'Odd', status: 'False' }] }), { action: 'FailJob', counts: true, message: 'Pod n/p has condition Odd matching FailJob rule at index 0' }],
])('judges a failure by %s', (_, policy, pod, judgement) => {
  expect(judgeFailure(policy, pod)).toEqual(judgement);
});

it('finds a success policy met', () => {
  const rules = { rules: [{ succeededIndexes: '0,2', succeededCount: 2 }, { succeededCount: 3 }] };
  expect([[0], [0, 1], [0, 2], [1, 3, 4]].map((list) => matchedSuccess(rules, new Set(list), 5))).toEqual([undefined, undefined, 'Matched rules at index 0', 'Matched rules at index 1']);
});

it('waits longer after each failure, and not after a success', () => {
  const at = (seconds: number): Pod => ({ metadata: {}, status: { containerStatuses: [{ name: 'c', image: '', imageID: '', ready: false, restartCount: 0, state: { terminated: { exitCode: 1, finishedAt: rfc3339(seconds * 1000) } } }] } });
  let record = nextRecord({ failures: 0, lastFailureMs: 0 }, [], [at(100)]);
  expect(remainingMs(record, 100_000)).toBe(10_000);
  record = nextRecord(record, [], [at(110), at(111)]);
  expect([record, remainingMs(record, 111_000), remainingMs({ ...record, failures: 40 }, 111_000), remainingMs(record, 0)]).toEqual([{ failures: 3, lastFailureMs: 111_000 }, 40_000, 600_000, 40_000]);
  expect(remainingMs(nextRecord(record, [at(120)], [at(119)]), 120_000)).toBe(0);
  expect(nextRecord(record, [at(120)], [at(121)]).failures).toBe(1);
});

const job = (spec: Partial<JobSpec> = {}): Job => ({
  metadata: { name: 'work', namespace: 'default' },
  spec: { parallelism: 1, completions: 1, backoffLimit: 6, completionMode: 'NonIndexed', podReplacementPolicy: 'TerminatingOrFailed', selector: { matchLabels: { job: 'work' } }, template: { metadata: { labels: { job: 'work' } }, spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } }, ...spec },
});

class Lab {
  readonly run: RunningControllers;
  constructor(refuse?: Parameters<typeof runControllers>[1]) { this.run = runControllers(['job', 'garbage-collector', 'ttl-after-finished'], refuse); }

  async start(spec: Partial<JobSpec> = {}): Promise<void> {
    await this.run.api.create(jobs, job(spec));
    await this.run.start();
  }
  get job(): Job { return this.run.api.all(jobs)[0]!; }
  get active(): Pod[] { return this.run.api.all(pods).filter(isActive); }
  condition(type: string) { return getCondition(this.job.status?.conditions, type); }

  async bind(): Promise<void> {
    for (const pod of this.active) if (!pod.spec?.nodeName) await this.run.api.bind('default', pod.metadata!.name!, pod.metadata!.uid!, 'node');
    await this.run.clock.advance(0);
  }

  async end(pod: Pod | undefined, exitCode: number): Promise<void> {
    await this.report(pod, exitCode);
    await this.run.clock.advance(0);
  }

  /** As a node does. */
  async report(pod: Pod | undefined, exitCode: number): Promise<void> {
    const { name = '' } = pod!.metadata!;
    const status = { phase: exitCode === 0 ? 'Succeeded' : 'Failed', containerStatuses: [{ name: 'c', image: '', imageID: '', ready: false, restartCount: 0, state: { terminated: { exitCode, finishedAt: rfc3339(this.run.clock.now()) } } }] };
    await this.run.api.update(pods, { ...this.run.api.find(pods, 'default', name)!, status }, 'status');
  }

  /** Confirms the end of pods that are being deleted. */
  async sweep(): Promise<void> {
    for (const pod of this.run.api.all(pods)) if (pod.metadata?.deletionTimestamp) await this.run.api.delete(pods, 'default', pod.metadata.name!, { gracePeriodSeconds: 0 });
    await this.run.clock.advance(0);
  }

  async change(spec: Partial<JobSpec>): Promise<void> {
    await this.run.api.patch(jobs, 'default', 'work', 'merge', { spec });
    await this.run.clock.advance(0);
  }
}

describe('a Job', () => {
  it('runs pods side by side up to its completions, counts each once, and is complete', async () => {
    const lab = new Lab();
    await lab.start({ parallelism: 2, completions: 3 });
    expect(lab.active.map(({ metadata }) => metadata?.finalizers)).toEqual([[trackingFinalizer], [trackingFinalizer]]);
    expect(lab.job.status).toMatchObject({ active: 2, ready: 0, terminating: 0, uncountedTerminatedPods: {}, startTime: rfc3339(lab.run.clock.now()) });
    await lab.end(lab.active[0], 0);
    expect([lab.active.length, lab.job.status?.succeeded, lab.job.status?.active]).toEqual([2, 1, 2]);
    await lab.end(lab.active[0], 0);
    expect([lab.active.length, lab.job.status?.succeeded]).toEqual([1, 2]);
    await lab.end(lab.active[0], 0);
    const { status } = lab.job;
    expect(status).toEqual({
      startTime: status?.startTime, completionTime: status?.startTime, succeeded: 3, ready: 0, terminating: 0, uncountedTerminatedPods: {},
      conditions: [expect.objectContaining({ type: 'SuccessCriteriaMet', status: 'True', reason: 'CompletionsReached' }), expect.objectContaining({ type: 'Complete', status: 'True', reason: 'CompletionsReached', message: 'Reached expected number of succeeded pods' })],
    });
    expect(lab.run.api.all(pods).flatMap(({ metadata }) => metadata?.finalizers ?? [])).toEqual([]);
    expect(lab.run.api.recorded.at(-1)).toBe('job-controller: Job/work Normal Completed: Job completed');
    await lab.run.stop();
  });

  it('is a work queue without completions: one success, and the others end by themselves', async () => {
    const lab = new Lab();
    await lab.run.api.create(jobs, { ...job(), spec: { ...job({ parallelism: 3 }).spec!, completions: undefined } });
    await lab.run.start();
    expect(lab.active).toHaveLength(3);
    await lab.end(lab.active[0], 0);
    expect([lab.active.length, lab.condition('Complete')]).toEqual([2, undefined]);
    for (const pod of lab.active) await lab.end(pod, 0);
    expect([lab.job.status?.succeeded, lab.condition('Complete')?.status]).toEqual([3, 'True']);
    await lab.run.stop();
  });

  it('tries again after a growing pause, and gives up at its limit', async () => {
    const lab = new Lab();
    await lab.start({ backoffLimit: 2 });
    for (const pauseMs of [10_000, 20_000]) {
      await lab.end(lab.active[0], 1);
      expect(lab.active).toEqual([]);
      await lab.run.clock.advance(pauseMs - 1000);
      expect(lab.active).toEqual([]);
      await lab.run.clock.advance(2000);
      expect(lab.active).toHaveLength(1);
    }
    await lab.end(lab.active[0], 1);
    expect(lab.job.status).toMatchObject({ failed: 3, conditions: [{ type: 'FailureTarget', reason: 'BackoffLimitExceeded' }, { type: 'Failed', status: 'True', reason: 'BackoffLimitExceeded', message: 'Job has reached the specified backoff limit' }] });
    expect(lab.run.api.recorded.at(-1)).toBe('job-controller: Job/work Warning BackoffLimitExceeded: Job has reached the specified backoff limit');
    await lab.run.stop();
  });

  it('ends at its deadline, and only when its pods have', async () => {
    const lab = new Lab();
    await lab.start({ parallelism: 2, completions: 2, activeDeadlineSeconds: 60 });
    await lab.bind();
    await lab.run.clock.advance(61_000);
    expect(lab.active).toEqual([]);
    expect([lab.condition('FailureTarget')?.reason, lab.condition('Failed'), lab.job.status?.terminating]).toEqual(['DeadlineExceeded', undefined, 2]);
    await lab.sweep();
    expect([lab.condition('Failed')?.message, lab.job.status?.failed, lab.job.status?.terminating]).toEqual(['Job was active longer than specified deadline', 2, 0]);
    await lab.run.stop();
  });

  it('rests while suspended and starts anew when resumed', async () => {
    const lab = new Lab();
    await lab.start({ suspend: true, parallelism: 2, completions: 2, activeDeadlineSeconds: 60 });
    expect([lab.active.length, lab.condition('Suspended')?.status, lab.job.status?.startTime]).toEqual([0, 'True', undefined]);
    await lab.change({ suspend: false });
    expect([lab.active.length, lab.condition('Suspended')?.reason]).toEqual([2, 'JobResumed']);
    await lab.change({ suspend: true });
    await lab.sweep();
    expect([lab.active.length, lab.job.status?.active, lab.condition('Failed')]).toEqual([0, undefined, undefined]);
    await lab.run.clock.advance(600_000);
    await lab.change({ suspend: false });
    await lab.run.clock.advance(50_000);
    expect(lab.active.length).toBe(2);
    expect(lab.run.api.recorded.filter((line) => /Suspended|Resumed/.test(line))).toEqual(['Suspended', 'Resumed', 'Suspended', 'Resumed'].map((reason) => expect.stringContaining(reason) as string));
    await lab.run.stop();
  });

  it('gives every index one pod, with its number, until each has succeeded', async () => {
    const lab = new Lab();
    await lab.start({ completionMode: 'Indexed', parallelism: 2, completions: 4 });
    const [first] = lab.active;
    expect(first?.metadata).toMatchObject({ name: expect.stringMatching(/^work-0-/), labels: { 'batch.kubernetes.io/job-completion-index': '0' }, annotations: { 'batch.kubernetes.io/job-completion-index': '0' } });
    expect(first?.spec).toMatchObject({ hostname: 'work-0', containers: [{ env: [{ name: 'JOB_COMPLETION_INDEX', valueFrom: { fieldRef: { fieldPath: "metadata.labels['batch.kubernetes.io/job-completion-index']" } } }] }] });
    await lab.end(lab.active[1], 0);
    await lab.end(lab.active[0], 1);
    await lab.run.clock.advance(11_000);
    expect(new Set(lab.active.map(({ spec }) => spec?.hostname))).toEqual(new Set(['work-0', 'work-2']));
    for (let i = 0; i < 3; i++) await lab.end(lab.active[0], 0);
    expect(lab.job.status).toMatchObject({ completedIndexes: '0-3', succeeded: 4, failed: 1 });
    expect(lab.condition('Complete')?.status).toBe('True');
    await lab.run.stop();
  });

  it('counts failures by index', async () => {
    const lab = new Lab();
    await lab.start({ completionMode: 'Indexed', parallelism: 3, completions: 3, backoffLimit: 2 ** 31 - 1, backoffLimitPerIndex: 1 });
    const of = (index: number): Pod | undefined => lab.active.find(({ spec }) => spec?.hostname === `work-${String(index)}`);
    await lab.end(of(1), 1);
    expect(of(1)).toBeUndefined();
    await lab.run.clock.advance(11_000);
    expect(of(1)?.metadata?.annotations).toMatchObject({ 'batch.kubernetes.io/job-index-failure-count': '1' });
    await lab.end(of(1), 1);
    await lab.run.clock.advance(60_000);
    expect([of(1), lab.job.status?.failedIndexes]).toEqual([undefined, '1']);
    await lab.end(of(0), 0);
    await lab.end(of(2), 0);
    expect([lab.job.status?.completedIndexes, lab.job.status?.failed, lab.condition('Failed')?.reason]).toEqual(['0,2', 2, 'FailedIndexes']);
    await lab.run.stop();
  });

  it('fails at once, or not at all, as its policy says', async () => {
    const lab = new Lab();
    await lab.start({ backoffLimit: 0, podReplacementPolicy: 'Failed', podFailurePolicy: { rules: [{ action: 'Ignore', onExitCodes: { operator: 'In', values: [7] } }, { action: 'FailJob', onExitCodes: { operator: 'In', values: [42] } }] } });
    await lab.end(lab.active[0], 7);
    await lab.run.clock.advance(11_000);
    expect([lab.active.length, lab.job.status?.failed]).toEqual([1, undefined]);
    await lab.end(lab.active[0], 42);
    expect(lab.condition('Failed')).toMatchObject({ reason: 'PodFailurePolicy', message: expect.stringMatching(/^Container c for pod default\/work-\w+ failed with exit code 42 matching FailJob rule at index 1$/) });
    await lab.run.stop();
  });

  it('waits for the end of a pod before it replaces it, where it is told to', async () => {
    const lab = new Lab();
    await lab.start({ podReplacementPolicy: 'Failed' });
    await lab.bind();
    await lab.run.api.delete(pods, 'default', lab.active[0]!.metadata!.name!);
    await lab.run.clock.advance(60_000);
    expect([lab.active.length, lab.job.status?.terminating]).toEqual([0, 1]);
    const [dying] = lab.run.api.all(pods);
    await lab.end(dying, 1);
    await lab.sweep();
    await lab.run.clock.advance(60_000);
    expect([lab.active.length, lab.job.status?.failed]).toEqual([1, 1]);
    await lab.run.stop();
  });

  it('is done when its success policy is met: the rest is removed', async () => {
    const lab = new Lab();
    await lab.start({ completionMode: 'Indexed', parallelism: 3, completions: 3, successPolicy: { rules: [{ succeededIndexes: '0' }] } });
    await lab.bind();
    await lab.end(lab.active.find(({ spec }) => spec?.hostname === 'work-0'), 0);
    await lab.sweep();
    expect([lab.active.length, lab.job.status?.succeeded, lab.job.status?.failed]).toEqual([0, 1, undefined]);
    expect(lab.job.status?.conditions).toMatchObject([{ type: 'SuccessCriteriaMet', reason: 'SuccessPolicy', message: 'Matched rules at index 0' }, { type: 'Complete', reason: 'SuccessPolicy' }]);
    await lab.run.stop();
  });

  it('lets its pods go when it is deleted', async () => {
    const lab = new Lab({ config: { resources: [jobs, pods] } });
    await lab.start({ parallelism: 2, completions: 2 });
    await lab.bind();
    await lab.run.api.delete(jobs, 'default', 'work');
    await lab.run.clock.advance(0);
    await lab.sweep();
    expect(lab.run.api.all(pods)).toEqual([]);
    await lab.run.stop();
  });

  it('of many pods is not looked at for each of them', async () => {
    let writes = 0;
    const lab = new Lab({ refuse: (verb, resource) => { if (verb === 'update' && resource === jobs) writes += 1; } });
    await lab.start({ parallelism: 300, completions: 300 });
    await lab.run.clock.advance(1000);
    writes = 0;
    for (const pod of lab.active) await lab.end(pod, 0);
    await lab.run.clock.advance(1000);
    expect([lab.job.status?.succeeded, lab.condition('Complete')?.status]).toEqual([300, 'True']);
    expect(writes).toBeLessThan(10);
    await lab.run.stop();
  });

  it('counts each pod exactly once, wherever it is cut off', async () => {
    for (let cut = 1; cut <= 12; cut++) {
      let writes = 0;
      let ours = false;
      const lab = new Lab({ refuse: (verb, resource) => { if (!ours && (verb === 'update' || verb === 'patch') && (resource === jobs || resource === pods) && ++writes === cut) throw new StatusError('ServiceUnavailable', 'cut'); } });
      await lab.start({ parallelism: 2, completions: 2 });
      await lab.run.clock.advance(60_000);
      for (let i = 0; i < 6 && lab.active.length > 0; i++) {
        ours = true;
        await lab.report(lab.active[0], i === 0 ? 1 : 0);
        ours = false;
        await lab.run.clock.advance(0);
        await lab.run.stop();
        await lab.run.start();
        await lab.run.clock.advance(60_000);
      }
      expect([cut, lab.job.status?.succeeded, lab.job.status?.failed, lab.condition('Complete')?.status]).toEqual([cut, 2, 1, 'True']);
      await lab.run.stop();
    }
  });
});
