import { expect, it } from 'vitest';
import type { Container } from '#agent/runtimes/types.ts';
import type { ContainerStatus, Pod, PodStatus } from '#api/gen/types.ts';
import { specHash } from './spec/containers.ts';
import { podStatus } from './status.ts';
import { testContainer, testPod } from './testing.ts';
import type { PodView } from './types.ts';

const view = (pod: Pod, change: Partial<PodView> = {}): PodView => ({
  pod, nowMs: 5000, monotonicMs: 5000, startTime: undefined, activeMs: undefined, ending: undefined, rejection: undefined, eviction: undefined, haltSeconds: undefined, resize: undefined,
  sandboxes: [{ id: 's', podUid: 'u', podNamespace: 'default', podName: 'p', attempt: 0, state: 'ready', createdAtMs: 1, ips: ['10.0.0.1'] }],
  containers: [], probes: new Map(), crashes: new Map(), failures: new Map(), ended: new Map(), stopped: new Set(), ...change,
});
const container = (name: string, change: Partial<Container> = {}): Container => ({
  id: `${name}0`, sandboxId: 's', podUid: 'u', name, attempt: 0, image: 'i', imageId: 'i', specHash: specHash(testContainer(name)), state: 'running', createdAtMs: 1, startedAtMs: 2, finishedAtMs: 0, exitCode: 0,
  reason: '', message: '', logPath: '', graceSeconds: 30, ...change,
});
const exited = (name: string, exitCode: number): Container => container(name, { state: 'exited', exitCode, finishedAtMs: 3000 });
const statusOf = (shown: PodView, messages: Record<string, string> = {}, previous?: PodStatus): PodStatus => podStatus(shown, {
  hostIps: ['192.0.2.1'], terminationMessages: new Map(Object.entries(messages)), runtimeName: 'fake', recursiveReadOnly: false, previous,
});
const unknown = { terminated: { reason: 'ContainerStatusUnknown', message: 'The container could not be located when the pod was terminated', exitCode: 137 } };
const states = (all: readonly ContainerStatus[] | undefined): unknown[] => (all ?? []).map(({ state }) => state?.terminated?.exitCode ?? state?.waiting?.reason);
const evicted: Pick<PodView, 'eviction'> = { eviction: { reason: 'Evicted', message: '', graceSeconds: 1, disruption: undefined } };
const noImage: Pick<PodView, 'failures'> = { failures: new Map([['app', { reason: 'ImagePullBackOff', message: '', untilMs: 9000, count: 2 }]]) };

it('names all readiness gates that are closed', () => {
  const gated = testPod('p', { readinessGates: [{ conditionType: 'a/b' }, { conditionType: 'open' }, { conditionType: 'c/d' }] });
  const status = statusOf(view({ ...gated, status: { conditions: [{ type: 'open', status: 'True' }, { type: 'c/d', status: 'False' }] } }, { containers: [container('app')] }));
  expect(status.conditions?.find(({ type }) => type === 'Ready')).toMatchObject({
    status: 'False', reason: 'ReadinessGatesNotReady',
    message: 'corresponding condition of pod readiness gate "a/b" does not exist., the status of pod readiness gate "c/d" is not "True", but False',
  });
});

it('tells what the runtime says of an end, and the last words', () => {
  const failed = { ...exited('app', 128), reason: 'StartError', message: 'no such file' };
  const words = (messages: Record<string, string>, ended: Container): string | undefined => statusOf(view(testPod('p', { restartPolicy: 'Never' }), { containers: [ended] }), messages).containerStatuses?.[0]?.state?.terminated?.message;
  expect([words({ app0: 'bye' }, failed), words({}, failed), words({ app0: 'bye' }, exited('app', 1)), words({}, exited('app', 1))]).toEqual(['no such file: bye', 'no such file', 'bye', undefined]);
});

it('lets nothing wait in a pod that has ended: what never began has failed', () => {
  const status = statusOf(view(testPod('p'), { ...evicted, ...noImage }));
  expect(status).toMatchObject({ phase: 'Failed', reason: 'Evicted', containerStatuses: [{ state: unknown }] });
  expect(statusOf(view(testPod('p'), noImage)).containerStatuses?.[0]?.state?.waiting?.reason).toBe('ImagePullBackOff');
});

it('says so of containers for whose turn a pod has come, and of no others', () => {
  const pod = testPod('p', { initContainers: [testContainer('one'), testContainer('two')], containers: [testContainer('app'), testContainer('side')] });
  const early = statusOf(view(pod, { ...evicted, containers: [exited('one', 0)] }));
  expect([states(early.initContainerStatuses), states(early.containerStatuses)]).toEqual([[0, 'PodInitializing'], ['PodInitializing', 'PodInitializing']]);
  const unbegun = statusOf(view(pod, evicted));
  expect([states(unbegun.initContainerStatuses), states(unbegun.containerStatuses)]).toEqual([[137, 'PodInitializing'], ['PodInitializing', 'PodInitializing']]);
  const late = statusOf(view(pod, { ...evicted, ...noImage, containers: [exited('one', 0), exited('two', 0), exited('side', 0)] }));
  expect([states(late.initContainerStatuses), states(late.containerStatuses)]).toEqual([[0, 0], [137, 0]]);
  expect(late.conditions?.find(({ type }) => type === 'ContainersReady')).toMatchObject({ status: 'False', reason: 'PodFailed' });
});

it('keeps what is known of init containers that somebody has removed since', () => {
  const pod = testPod('p', { initContainers: [testContainer('one')] });
  const before = statusOf(view(pod, { containers: [exited('one', 0), container('app')] }));
  const after = statusOf(view(pod, { containers: [container('app')] }), {}, before);
  expect(after.initContainerStatuses).toEqual(before.initContainerStatuses);
  expect(after.initContainerStatuses?.[0]).toMatchObject({ ready: true, state: { terminated: { exitCode: 0 } } });
});

it('keeps what is known of containers that go one by one, for their space, once their pod is evicted', () => {
  const pod = testPod('p', { containers: [testContainer('app'), testContainer('side')] });
  const before = statusOf(view(pod, { ...evicted, containers: [exited('app', 3), exited('side', 0)] }));
  const after = statusOf(view(pod, { ...evicted, containers: [exited('side', 0)] }), {}, before);
  expect(states(after.containerStatuses)).toEqual([3, 0]);
});
