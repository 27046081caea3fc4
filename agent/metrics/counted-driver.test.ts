import { expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { Metrics } from '#common/metrics.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import { countedDriver } from './counted-driver.ts';
import { AgentCounts } from './counts.ts';

const clock = new ManualClock();
const { signal } = new AbortController();

function setUp(): { readonly fake: FakeDriver; readonly driver: RuntimeDriver; readonly samples: (name: string) => string[] } {
  const [fake, counts, metrics] = [new FakeDriver(clock), new AgentCounts(), new Metrics()];
  metrics.add(() => counts.collect());
  return { fake, driver: countedDriver(fake, counts, clock), samples: (name) => metrics.text().split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `)) };
}

it('counts what a runtime is asked for, how long it took and whether it failed', async () => {
  const { fake, driver, samples } = setUp();
  fake.failures.set('runSandbox', [new StatusError('InternalError', 'no')]);
  await driver.list(signal);
  await driver.list(signal);
  await expect(driver.runSandbox({ podName: 'web' } as never, signal)).rejects.toThrow('no');
  await driver.runSandbox({ podName: 'web', podUid: 'u' } as never, signal);
  expect(samples('kubelet_runtime_operations_total')).toEqual(['kubelet_runtime_operations_total{operation_type="list_containers"} 2', 'kubelet_runtime_operations_total{operation_type="run_podsandbox"} 2']);
  expect(samples('kubelet_runtime_operations_errors_total')).toEqual(['kubelet_runtime_operations_errors_total{operation_type="run_podsandbox"} 1']);
  expect([...samples('kubelet_started_pods_total'), ...samples('kubelet_started_pods_errors_total')]).toEqual(['kubelet_started_pods_total 1', 'kubelet_started_pods_errors_total 1']);
  expect(samples('kubelet_runtime_operations_duration_seconds_count')).toEqual(['kubelet_runtime_operations_duration_seconds_count{operation_type="list_containers"} 2', 'kubelet_runtime_operations_duration_seconds_count{operation_type="run_podsandbox"} 2']);
  // Kubelet's own bounds.
  expect(samples('kubelet_runtime_operations_duration_seconds_bucket').slice(0, 4).map((line) => /le="([^"]+)"/.exec(line)?.[1])).toEqual(['0.005', '0.0125', '0.03125', '0.078125']);
});

it('takes what was broken off by the agent for no error of the runtime', async () => {
  const { fake, driver, samples } = setUp();
  const stop = new AbortController();
  fake.registry.set('slow', 'sha256:slow');
  fake.pulling.set('slow', (_options, ends) => new Promise((_resolve, reject) => {
    ends.throwIfAborted();
    ends.addEventListener('abort', () => { reject(new Error('aborted')); });
  }));
  const pull = driver.pullImage('slow', {}, stop.signal);
  stop.abort(new Error('the pod is gone'));
  await expect(pull).rejects.toThrow();
  expect([samples('kubelet_runtime_operations_total'), samples('kubelet_runtime_operations_errors_total')]).toEqual([['kubelet_runtime_operations_total{operation_type="pull_image"} 1'], []]);
});

it('is the driver that it is made of in all else', async () => {
  const { fake, driver, samples } = setUp();
  expect([driver.name, driver.sharesImages, 'heldLayers' in driver, 'list' in driver]).toEqual([fake.name, false, 'heldLayers' in fake, true]);
  const events = driver.events(signal)[Symbol.asyncIterator]();
  const next = events.next();
  await driver.runSandbox({ podName: 'web', podUid: 'u' } as never, signal);
  expect((await next).done).toBe(false);
  await events.return?.();
  expect(samples('kubelet_runtime_operations_total')).toHaveLength(1);
});
