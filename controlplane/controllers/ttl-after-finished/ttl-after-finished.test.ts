import { expect, it } from 'vitest';
import type { Job } from '#api/gen/types.ts';
import { jobs } from '#api/kinds/resources.ts';
import { rfc3339 } from '#common/time.ts';
import { runControllers } from '#test/support/run-controllers.ts';

it('removes finished Jobs when their time is over', async () => {
  const lab = runControllers(['ttl-after-finished']);
  const make = async (name: string, ttlSecondsAfterFinished: number | undefined, type?: string): Promise<void> => {
    await lab.api.create<Job>(jobs, { metadata: { name, namespace: 'default' }, spec: { template: {}, ...(ttlSecondsAfterFinished !== undefined && { ttlSecondsAfterFinished }) }, ...(type && { status: { conditions: [{ type, status: 'True', lastTransitionTime: rfc3339(lab.clock.now()) }] } }) });
  };
  await make('done', 60, 'Complete');
  await make('failed', 0, 'Failed');
  await make('kept', undefined, 'Complete');
  await make('running', 0);
  await lab.start();
  const left = (): (string | undefined)[] => lab.api.all(jobs).filter(({ metadata }) => metadata?.deletionTimestamp === undefined).map(({ metadata }) => metadata?.name);
  expect(left()).toEqual(['done', 'kept', 'running']);
  await lab.clock.advance(60_000);
  expect(left()).toEqual(['kept', 'running']);
  expect(lab.api.find(jobs, 'default', 'done')?.metadata?.finalizers).toEqual(['foregroundDeletion']);
  await lab.stop();
});
