import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pods } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { Metrics, type Family } from '#common/metrics.ts';
import { agentSettings, type AgentConfig } from '#agent/config.ts';
import { PodManager } from '#agent/pods/manager.ts';
import type { CheckResult } from '#agent/pods/probes/types.ts';
import { MemoryState, testContainer, testManagerConfig, testNode, testPod } from '#agent/pods/testing.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import { helloImage } from '#install/images.ts';
import { aboutAgent } from './about.ts';
import { countedDriver } from './counted-driver.ts';
import { AgentCounts } from './counts.ts';

const clock = new ManualClock();
const config = Object.fromEntries(Object.entries(agentSettings).map(([name, { default: value }]) => [name, value])) as AgentConfig;
let dir: string;
let fake: FakeDriver;
let state: MemoryState;
let counts: AgentCounts;
let manager: PodManager;
let stop: AbortController;
let running: Promise<void>;
let answer: () => Promise<CheckResult>;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-about-'));
  fake = new FakeDriver(clock);
  fake.images.set(helloImage, 'sha256:hello');
  state = new MemoryState();
  counts = new AgentCounts();
  stop = new AbortController();
  answer = () => Promise.resolve({ ok: true, output: '' });
  manager = new PodManager({ state, driver: countedDriver(fake, counts, clock), clock, log: silentLog, counts, check: () => answer(), events: { emit: () => undefined }, node: testNode }, testManagerConfig(dir));
  running = manager.start(stop.signal);
});
afterEach(async () => {
  stop.abort(new Error('end of test'));
  await running;
  await rm(dir, { recursive: true });
});

async function samples(about: 'metrics' | 'probes', name: string): Promise<string[]> {
  const told = await aboutAgent(about, {
    pods: manager, driver: fake, counts, state, session: { certificateEndsAtMs: clock.now() + 90_000 }, clock, config, clusterDns: '10.43.0.10', runtimeEndpoint: 'unix:///run/c.sock',
  }, stop.signal);
  // As it comes out at the other end.
  const { families } = JSON.parse(JSON.stringify(told)) as { families: Family[] };
  const metrics = new Metrics();
  metrics.add(() => families);
  return metrics.text().split('\n').filter((line) => line.startsWith(name)).map((line) => line.slice(name.length));
}
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadlineMs = performance.now() + 18_000; performance.now() < deadlineMs;) {
    if (await condition()) return;
    await new Promise((resolve) => { setImmediate(resolve); });
  }
  throw new Error(`not reached: ${JSON.stringify(manager.all())}`);
}
const isReady = (name: string): boolean => manager.all().find((report) => report.name === name)?.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
const isRunning = (name: string): boolean => manager.all().find((report) => report.name === name)?.status.phase === 'Running';

describe('/metrics/probes', () => {
  const pod = 'container="app",namespace="default",pod="web"';

  it('counts what each probe of a pod said, as long as the pod is there', async () => {
    state.set(testPod('web', { containers: [testContainer('app', { readinessProbe: { tcpSocket: { port: 1 }, periodSeconds: 10 } })] }), testPod('plain'));
    const { promise, resolve } = Promise.withResolvers<CheckResult>();
    let asked = false;
    answer = () => {
      asked = true;
      return promise;
    };
    await until(() => isRunning('web') && isReady('plain'));
    await clock.advance(0);
    expect(asked).toBe(true);
    await clock.advance(30);
    resolve({ ok: true, output: '' });
    await until(() => isReady('web'));
    answer = () => Promise.resolve({ ok: false, output: 'no' });
    await clock.advance(10_000);
    answer = () => Promise.reject(new StatusError('ServiceUnavailable', 'the runtime is away'));
    await clock.advance(10_000);
    expect(await samples('probes', 'prober_probe_total')).toEqual(['successful', 'failed', 'unknown'].map((result) => `{${pod},probe_type="Readiness",pod_uid="web-uid",result="${result}"} 1`));
    // Only an answer says how long one takes.
    const buckets = await samples('probes', 'prober_probe_duration_seconds_bucket');
    expect(buckets.map((line) => / (\d+)$/.exec(line)?.[1]).join('')).toBe('000111111111');
    expect(buckets[3]).toBe(`{${pod},probe_type="Readiness",le="0.05"} 1`);
    expect([...await samples('probes', 'prober_probe_duration_seconds_sum'), ...await samples('probes', 'prober_probe_duration_seconds_count')]).toEqual([`{${pod},probe_type="Readiness"} 0.03`, `{${pod},probe_type="Readiness"} 1`]);
  });

  it('forgets a pod that is gone, and no container that was restarted', async () => {
    state.set(testPod('web', { containers: [testContainer('app', { livenessProbe: { tcpSocket: { port: 1 }, failureThreshold: 1 } })] }));
    const probed = (total: number) => async (): Promise<boolean> => {
      await clock.advance(100);
      return (await samples('probes', 'prober_probe_total'))[0] === `{${pod},probe_type="Liveness",pod_uid="web-uid",result="successful"} ${String(total)}`;
    };
    await until(probed(1));
    fake.exit(fake.running('web-uid')[0]!.id, 1);
    await until(() => fake.running('web-uid').length === 1 && manager.all()[0]?.status.containerStatuses?.[0]?.restartCount === 1);
    await until(probed(2));
    state.remove(pods, 'default', 'web');
    await until(async () => {
      await clock.advance(1000);
      return manager.evictable().length === 0;
    });
    expect(await samples('probes', 'prober_probe')).toEqual([]);
  });
});

describe('/metrics', () => {
  it('tells of pods, their start and their volumes', async () => {
    state.set(
      testPod('web', { volumes: [{ name: 'a', emptyDir: {} }, { name: 'b', hostPath: { path: '/' } }, { name: 'c', emptyDir: {} }] }),
      testPod('file', {}, { annotations: { 'kubernetes.io/config.source': 'file' } }),
      // Waits for its claim.
      testPod('claims', { volumes: [{ name: 'd', persistentVolumeClaim: { claimName: 'none' } }, { name: 'a', emptyDir: {} }] }),
    );
    await until(() => isRunning('web') && isRunning('file'));
    expect(await samples('metrics', 'kubelet_desired_pods')).toEqual(['{static=""} 2', '{static="true"} 1']);
    expect(await samples('metrics', 'kubelet_active_pods')).toEqual(['{static=""} 2', '{static="true"} 1']);
    expect(await samples('metrics', 'kubelet_mirror_pods')).toEqual([' 1']);
    expect(await samples('metrics', 'kubelet_pod_start_duration_seconds_count')).toEqual([' 2']);
    expect(await samples('metrics', 'kubelet_started_pods_total')).toEqual([' 2']);
    expect(await samples('metrics', 'volume_manager_total_volumes')).toEqual([
      '{plugin_name="kubernetes.io/empty-dir",state="desired_state_of_world"} 3', '{plugin_name="kubernetes.io/host-path",state="desired_state_of_world"} 1', '{plugin_name="kubernetes.io/unknown",state="desired_state_of_world"} 1',
      '{plugin_name="kubernetes.io/empty-dir",state="actual_state_of_world"} 2', '{plugin_name="kubernetes.io/host-path",state="actual_state_of_world"} 1',
    ]);
    const turns = (await samples('metrics', 'kubelet_pod_worker_duration_seconds_count')).map((line) => /operation_type="(\w+)"/.exec(line)?.[1]);
    expect(turns).toContain('create');
    // The look at everything when the agent started.
    expect(await samples('metrics', 'kubelet_pleg_relist_duration_seconds_count')).toEqual([' 1']);
    state.remove(pods, 'default', 'web');
    await until(async () => (await samples('metrics', 'kubelet_desired_pods'))[0] === '{static=""} 1');
  });

  it('tells of the certificate and of the process', async () => {
    expect(await samples('metrics', 'kubelet_certificate_manager_client_ttl_seconds')).toEqual([' 90']);
    expect(await samples('metrics', 'kubelet_certificate_manager_client_expiration_renew_errors')).toEqual([' 0']);
    counts.renewalFailed();
    counts.evicted('memory.available');
    expect(await samples('metrics', 'kubelet_certificate_manager_client_expiration_renew_errors')).toEqual([' 1']);
    expect(await samples('metrics', 'kubelet_evictions')).toEqual(['{eviction_signal="memory.available"} 1']);
    expect(Number((await samples('metrics', 'process_resident_memory_bytes'))[0])).toBeGreaterThan(1 << 20);
  });
});

it('refuses to tell of what it does not know', async () => {
  await expect(samples('other' as 'metrics', '')).rejects.toMatchObject({ code: 'BadRequest' });
});
