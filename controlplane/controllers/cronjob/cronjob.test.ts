import { describe, expect, it } from 'vitest';
import type { CronJob, CronJobSpec, Job } from '#api/gen/types.ts';
import { cronJobs, jobs } from '#api/kinds/resources.ts';
import { rfc3339 } from '#common/time.ts';
import { StatusError } from '#common/errors.ts';
import { runControllers, type RunningControllers } from '#test/support/run-controllers.ts';
import { due, timetableOf } from './times.ts';

const at = (text: string): number => Date.parse(text);
const cron = (spec: Partial<CronJobSpec> = {}): CronJob => ({
  metadata: { name: 'tick', namespace: 'default', creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: { schedule: '*/10 * * * *', concurrencyPolicy: 'Allow', successfulJobsHistoryLimit: 2, failedJobsHistoryLimit: 1, jobTemplate: { metadata: { labels: { of: 'tick' }, annotations: { note: 'x' } }, spec: { template: {} } }, ...spec },
});

it.each<[string, Partial<CronJobSpec>, string | undefined, string, string | undefined, string | undefined]>([
  ['nothing yet', {}, undefined, '2026-01-01T00:09:59Z', undefined, '2026-01-01T00:10:00Z'],
  ['on time', {}, undefined, '2026-01-01T00:10:00Z', '2026-01-01T00:10:00Z', '2026-01-01T00:20:00Z'],
  ['the last of several', {}, undefined, '2026-01-01T02:05:00Z', '2026-01-01T02:00:00Z', '2026-01-01T02:10:00Z'],
  ['nothing since the last', {}, '2026-01-01T02:00:00Z', '2026-01-01T02:05:00Z', undefined, '2026-01-01T02:10:00Z'],
  ['nothing before its deadline', { startingDeadlineSeconds: 60 }, undefined, '2026-01-01T02:05:00Z', undefined, '2026-01-01T02:10:00Z'],
  ['after years of downtime', { schedule: '0 0 1 1 *' }, '2001-01-01T00:00:00Z', '2026-06-01T00:00:00Z', '2026-01-01T00:00:00Z', '2027-01-01T00:00:00Z'],
  ['a clock that was set back', {}, '2030-01-01T00:00:00Z', '2026-01-01T00:10:00Z', undefined, undefined],
  ['its own zone', { schedule: '0 8 * * *', timeZone: 'Asia/Tokyo' }, undefined, '2026-01-02T00:00:00Z', '2026-01-01T23:00:00Z', '2026-01-02T23:00:00Z'],
  ['every so often', { schedule: '@every 7m' }, '2026-01-01T00:03:00Z', '2026-01-01T00:20:00Z', '2026-01-01T00:17:00Z', '2026-01-01T00:24:00Z'],
])('finds %s', (_, spec, lastScheduleTime, now, last, next) => {
  const cronJob = { ...cron(spec), ...(lastScheduleTime && { status: { lastScheduleTime } }) };
  const { atMs, nextMs } = due(cronJob, timetableOf(cronJob), at(now));
  expect(atMs).toBe(last && at(last));
  if (next) expect(nextMs).toBe(at(next));
});

it('tells of very many missed times, and finds the last without going through all', () => {
  const cronJob = { ...cron({ schedule: '* * * * *' }), status: { lastScheduleTime: '1990-01-01T00:00:00Z' } };
  let looks = 0;
  const utc = { wall: (ms: number) => { looks += 1; return ms; }, epoch: (ms: number) => ms };
  expect(due(cronJob, { ...timetableOf(cronJob), zone: utc }, at('2026-01-01T00:00:30Z'))).toMatchObject({ atMs: at('2026-01-01T00:00:00Z'), tooMany: true });
  expect(looks).toBeLessThan(1000);
});

async function lab(spec: Partial<CronJobSpec> = {}, refuse?: Parameters<typeof runControllers>[1]): Promise<RunningControllers> {
  const run = runControllers(['cronjob'], refuse);
  await run.api.create(cronJobs, cron(spec));
  await run.start();
  return run;
}
const names = (run: RunningControllers): (string | undefined)[] => run.api.all(jobs).map(({ metadata }) => metadata?.name);
const status = (run: RunningControllers) => run.api.all(cronJobs)[0]?.status;
const end = async (run: RunningControllers, job: Job | undefined, type = 'Complete'): Promise<void> => {
  const now = rfc3339(run.clock.now());
  await run.api.update(jobs, { ...job!, status: { startTime: now, ...(type === 'Complete' && { completionTime: now }), conditions: [{ type, status: 'True', lastTransitionTime: now }] } }, 'status');
  await run.clock.advance(0);
};
const minutes = (n: number): number => n * 60_000;
const nameAt = (text: string): string => `tick-${String(at(text) / 60_000)}`;

describe('a CronJob', () => {
  it('starts Jobs at their times, with their names, and keeps books', async () => {
    const run = await lab();
    await run.clock.advance(minutes(9));
    expect(names(run)).toEqual([]);
    await run.clock.advance(minutes(1));
    expect(names(run)).toEqual([nameAt('2026-01-01T00:10:00Z')]);
    expect(run.api.all(jobs)[0]?.metadata).toMatchObject({ labels: { of: 'tick' }, annotations: { 'note': 'x', 'batch.kubernetes.io/cronjob-scheduled-timestamp': '2026-01-01T00:10:00Z' }, ownerReferences: [{ kind: 'CronJob', controller: true }] });
    expect(status(run)).toMatchObject({ lastScheduleTime: '2026-01-01T00:10:00Z', active: [{ kind: 'Job', apiVersion: 'batch/v1', name: nameAt('2026-01-01T00:10:00Z') }] });
    await end(run, run.api.all(jobs)[0]);
    expect(status(run)).toEqual({ lastScheduleTime: '2026-01-01T00:10:00Z', lastSuccessfulTime: '2026-01-01T00:10:00Z' });
    expect(run.api.recorded).toEqual([`cronjob-controller: CronJob/tick Normal SuccessfulCreate: Created job ${nameAt('2026-01-01T00:10:00Z')}`, `cronjob-controller: CronJob/tick Normal SawCompletedJob: Saw completed job: ${nameAt('2026-01-01T00:10:00Z')}, condition: Complete`]);
    await run.stop();
  });

  it('keeps as many finished Jobs as it should', async () => {
    const run = await lab();
    for (let i = 0; i < 6; i++) {
      await run.clock.advance(minutes(10));
      await end(run, run.api.all(jobs).at(-1), i % 2 === 0 ? 'Failed' : 'Complete');
    }
    expect(names(run)).toEqual([nameAt('2026-01-01T00:40:00Z'), nameAt('2026-01-01T00:50:00Z'), nameAt('2026-01-01T01:00:00Z')]);
    await run.stop();
  });

  it.each([['Allow', 2, 2], ['Forbid', 1, 1], ['Replace', 1, 1]])('%s: has %i Jobs, %i active, while the first still runs', async (concurrencyPolicy, count, active) => {
    const run = await lab({ concurrencyPolicy });
    await run.clock.advance(minutes(20));
    expect([names(run).length, status(run)?.active?.length]).toEqual([count, active]);
    if (concurrencyPolicy === 'Forbid') {
      expect(run.api.recorded.at(-1)).toContain('JobAlreadyActive');
      await end(run, run.api.all(jobs)[0]);
      expect(names(run)).toEqual(['2026-01-01T00:10:00Z', '2026-01-01T00:20:00Z'].map(nameAt));
    }
    if (concurrencyPolicy === 'Replace') expect(names(run)).toEqual([nameAt('2026-01-01T00:20:00Z')]);
    await run.stop();
  });

  it('makes up for one missed start after downtime, but not while it is suspended', async () => {
    const run = await lab({ suspend: true });
    await run.clock.advance(minutes(65));
    expect(names(run)).toEqual([]);
    await run.stop();
    await run.api.patch(cronJobs, 'default', 'tick', 'merge', { spec: { suspend: false } });
    await run.start();
    expect(names(run)).toEqual([nameAt('2026-01-01T01:00:00Z')]);
    await run.stop();
  });

  it('starts nothing twice when it is killed between Job and status', async () => {
    let cut = true;
    const run = await lab({}, { refuse: (verb, resource) => { if (cut && verb === 'update' && resource === cronJobs) throw new StatusError('ServiceUnavailable', 'cut'); } });
    await run.clock.advance(minutes(10));
    expect([names(run).length, status(run)]).toEqual([1, undefined]);
    await run.stop();
    cut = false;
    await run.start();
    await run.clock.advance(1000);
    expect([names(run).length, status(run)?.active?.length]).toEqual([1, 1]);
    await run.stop();
  });

  it('starts one Job a minute, as its name has no more room', async () => {
    const run = await lab({ schedule: '@every 20s' });
    await run.clock.advance(20_000);
    await end(run, run.api.all(jobs)[0]);
    await run.clock.advance(30_000);
    expect([names(run), status(run)?.active, status(run)?.lastScheduleTime]).toEqual([[nameAt('2026-01-01T00:00:00Z')], undefined, '2026-01-01T00:00:40Z']);
    await run.clock.advance(10_000);
    expect(names(run)).toHaveLength(2);
    await run.stop();
  });

  it('forgets Jobs that went missing, and says what is wrong with its schedule', async () => {
    const run = await lab();
    await run.clock.advance(minutes(10));
    await run.api.delete(jobs, 'default', names(run)[0]!);
    await run.clock.advance(0);
    expect([status(run)?.active, run.api.recorded.at(-1)]).toEqual([undefined, expect.stringContaining('MissingJob: Active job went missing: tick-')]);
    await run.api.patch(cronJobs, 'default', 'tick', 'merge', { spec: { schedule: 'now and then' } });
    await run.clock.advance(0);
    expect(run.api.recorded.at(-1)).toContain('UnparseableSchedule: unparseable schedule: "now and then" : expected exactly 5 fields');
    await run.stop();
  });
});
