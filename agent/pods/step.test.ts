import { describe, expect, it } from 'vitest';
import type { Container, Sandbox } from '#agent/runtimes/types.ts';
import type { Pod } from '#api/gen/types.ts';
import { crashKey } from './crash-backoff.ts';
import { specHash } from './spec/containers.ts';
import { step } from './step.ts';
import { testContainer, testPod } from './testing.ts';
import { resizeKey, sandboxKey, type Decision, type PodView, type ProbeView } from './types.ts';

const now = 1_000_000;

function sandbox(change: Partial<Sandbox> = {}): Sandbox {
  return { id: 's0', podUid: 'u', podNamespace: 'default', podName: 'p', attempt: 0, state: 'ready', createdAtMs: 1, ips: ['10.0.0.1'], ...change };
}

function container(name: string, change: Partial<Container> = {}): Container {
  return {
    id: `${name}${String(change.attempt ?? 0)}`, sandboxId: 's0', podUid: 'u', name, attempt: 0, image: 'i', imageId: 'i', specHash: specHash(testContainer(name)),
    state: 'running', createdAtMs: 1, startedAtMs: 2, finishedAtMs: change.state === 'exited' ? now - 1000 : 0, exitCode: 0, reason: '', message: '', logPath: '', graceSeconds: 30, ...change,
  };
}

function view(pod: Pod, change: Partial<PodView> = {}): PodView {
  const ended = new Map((change.containers ?? []).filter((c) => c.state === 'exited').map((c) => [c.id, c.finishedAtMs]));
  return {
    pod, nowMs: now, monotonicMs: now, startTime: new Date(now - 5000).toISOString(), activeMs: 5000, ending: undefined, rejection: undefined, eviction: undefined, haltSeconds: undefined, resize: undefined, sandboxes: [sandbox()], containers: [], probes: new Map(), crashes: new Map(), failures: new Map(),
    ended, stopped: new Set(), ...change,
  };
}

const exited = (name: string, exitCode: number, change: Partial<Container> = {}): Container => container(name, { state: 'exited', exitCode, ...change });
const probe = (change: Partial<ProbeView>): ProbeView => ({ started: true, ready: true, failed: undefined, pending: false, ...change });
const start = (name: string, attempt = 0, sandboxId = 's0'): Decision => ({ type: 'start', name, sandboxId, attempt });

const always = testPod('p');
const onFailure = testPod('p', { restartPolicy: 'OnFailure' });
const never = testPod('p', { restartPolicy: 'Never' });
const two = testPod('p', { containers: [testContainer('app'), testContainer('side')] });
const withInit = testPod('p', { initContainers: [testContainer('one'), testContainer('two')] });
const withSidecar = testPod('p', { initContainers: [testContainer('proxy', { restartPolicy: 'Always' }), testContainer('two')] });
const twoSidecars = testPod('p', { initContainers: [testContainer('proxy', { restartPolicy: 'Always' }), testContainer('logs', { restartPolicy: 'Always' })] });
const debugged = testPod('p', { initContainers: [testContainer('one')], ephemeralContainers: [testContainer('debug')] });
const impatient = testPod('p', { containers: [testContainer('app', { startupProbe: { terminationGracePeriodSeconds: 3 } })] });
const limited = testPod('p', { activeDeadlineSeconds: 20 });
const other = { specHash: 'other' };
const stopped = { stopped: new Set(['s0']) };
const ending = (graceSeconds: number | undefined, sinceMs = now): Pick<PodView, 'ending'> => ({ ending: { graceSeconds, sinceMs } });

const resized = (change: Partial<Parameters<typeof testContainer>[1]> = {}): Pod => testPod('p', { restartPolicy: 'OnFailure', containers: [testContainer('app', { resources: { requests: { cpu: '2' } }, ...change })] });
const byRestart = resized({ resizePolicy: [{ resourceName: 'cpu', restartPolicy: 'RestartContainer' }] });
const former = (...names: string[]): Pick<PodView, 'resize'> => ({ resize: { refusal: undefined, former: new Map(names.map((name) => [name, name === '' ? {} : { requests: { cpu: '1' } }])) } });
const ruled = (podPolicy: string, change: Partial<Parameters<typeof testContainer>[1]>): Pod => testPod('p', { restartPolicy: podPolicy, containers: [testContainer('app', change)] });
const on = (operator: string, ...values: number[]) => ({ restartPolicyRules: [{ action: 'Restart', exitCodes: { operator, values } }] });
const evicted: Pick<PodView, 'eviction'> = { eviction: { reason: 'Evicted', message: '', graceSeconds: 4, disruption: undefined } };

const cases: [string, PodView, Partial<Decision> & { type: Decision['type'] }][] = [
  ['a new pod gets a sandbox', view(always, { sandboxes: [] }), { type: 'run-sandbox', attempt: 0 }],
  ['then its container', view(always), start('app')],
  ['and is done when it runs', view(always, { containers: [container('app')] }), { type: 'done' }],
  ['counting goes on when the runtime lost everything', view({ ...always, status: { containerStatuses: [{ name: 'app', restartCount: 4, image: '', imageID: '', ready: false }] } }), start('app', 5)],
  ['but not again at once when that failed', view(always, { containers: [container('app', { state: 'created' })], failures: new Map([['app', { reason: 'RunContainerError', message: '', untilMs: now + 5, count: 1 }]]) }), { type: 'wait', untilMs: now + 5 }],
  ['containers start one after the other', view(two, { containers: [container('app')] }), start('side')],
  ['a created container is started', view(always, { containers: [container('app', { state: 'created' })] }), { type: 'resume', name: 'app', id: 'app0' }],

  ['a container keeps to its own policy', view(ruled('Always', { restartPolicy: 'Never' }), { containers: [exited('app', 1)] }), { type: 'stop-sandbox', id: 's0' }],
  ['also where the pod would have it end', view(ruled('Never', { restartPolicy: 'Always' }), { containers: [exited('app', 0)] }), start('app', 1)],
  ['before that to its rules', view(ruled('Never', { restartPolicy: 'Never', ...on('In', 42) }), { containers: [exited('app', 42)] }), start('app', 1)],
  ['as far as they go', view(ruled('Always', { restartPolicy: 'Never', ...on('In', 42) }), { containers: [exited('app', 1)] }), { type: 'stop-sandbox', id: 's0' }],
  ['which may be all but some', view(ruled('Never', { restartPolicy: 'Never', ...on('NotIn', 0, 1) }), { containers: [exited('app', 7)] }), start('app', 1)],
  ['an init container may fail the pod by itself', view(testPod('p', { initContainers: [testContainer('one', { restartPolicy: 'Never' })] }), { containers: [exited('one', 1)] }), { type: 'stop-sandbox', id: 's0' }],
  ['and is over when it ended well, whatever its rules', view(testPod('p', { restartPolicy: 'Never', initContainers: [testContainer('one', { restartPolicy: 'Never', ...on('NotIn', 42) }), testContainer('two')] }), { containers: [exited('one', 0)] }), start('two')],
  ['new resources are given to a running container', view(resized(), { containers: [container('app')], ...former('app', '') }), { type: 'resize' }],
  ['not to one that does not run', view(resized(), { containers: [exited('app', 1)], ...former('app') }), start('app', 1)],
  ['to the pod as a whole last', view(resized(), { containers: [container('app')], ...former('') }), { type: 'resize' }],
  ['not again at once when that failed', view(resized(), { containers: [container('app')], ...former('app', ''), failures: new Map([[resizeKey, { reason: 'ResizeError', message: '', untilMs: now + 5, count: 1 }]]) }), { type: 'wait', untilMs: now + 5 }],
  ['a container that asks for that is killed for them', view(byRestart, { containers: [container('app')], ...former('app', '') }), { type: 'kill', kills: [{ id: 'app0', name: 'app', graceSeconds: 30, message: 'Container app resize requires restart' }] }],
  ['and started again, however it ended', view(byRestart, { containers: [exited('app', 0)], ...former('app') }), start('app', 1)],
  ['an evicted pod is killed within its grace', view(always, { containers: [container('app')], ...evicted }), { type: 'kill', kills: [{ id: 'app0', name: 'app', graceSeconds: 4, message: 'Stopping container app' }] }],
  ['a pod of a host that goes down is killed in time', view(always, { containers: [container('app')], haltSeconds: 5 }), { type: 'kill', kills: [{ id: 'app0', name: 'app', graceSeconds: 5, message: 'Stopping container app' }] }],
  ['and not started again before that', view(always, { containers: [exited('app', 1)], haltSeconds: 5 }), { type: 'done' }],
  ['and not started again', view(always, { containers: [exited('app', 1)], ...evicted }), { type: 'stop-sandbox', id: 's0' }],

  ['Always restarts after success', view(always, { containers: [exited('app', 0)] }), start('app', 1)],
  ['OnFailure restarts after failure', view(onFailure, { containers: [exited('app', 1)] }), start('app', 1)],
  ['OnFailure ends after success', view(onFailure, { containers: [exited('app', 0)] }), { type: 'stop-sandbox', id: 's0' }],
  ['Never ends after failure', view(never, { containers: [exited('app', 1)] }), { type: 'stop-sandbox', id: 's0' }],
  ['a finished pod stays as it is', view(never, { ...stopped, sandboxes: [sandbox({ state: 'not-ready' })], containers: [exited('app', 1)] }), { type: 'done' }],
  ['once its sandbox has given its address back', view(never, { sandboxes: [sandbox({ state: 'not-ready' })], containers: [exited('app', 1)] }), { type: 'stop-sandbox', id: 's0' }],
  ['a pod that the control plane knows as finished never runs again', view({ ...never, status: { phase: 'Succeeded' } }, { sandboxes: [] }), { type: 'done' }],
  ['not even when something of it still does', view({ ...always, status: { phase: 'Failed' } }, { containers: [container('app')] }), { type: 'kill' }],
  ['a pod that nobody hears of and that has no time goes at once', view(always, { containers: [container('app')], ending: { graceSeconds: 0, sinceMs: now, isForgotten: true } }), { type: 'remove' }],
  ['what is heard of ends first', view(always, { containers: [container('app')], ...ending(0) }), { type: 'kill' }],
  ['a pod with a deadline is looked at again then', view(limited, { containers: [container('app')] }), { type: 'wait', untilMs: now + 15_000 }],
  ['or sooner', view(limited, { failures: new Map([['app', { reason: '', message: '', untilMs: now + 5, count: 1 }]]) }), { type: 'wait', untilMs: now + 5 }],
  ['and ended when it has passed', view(limited, { activeMs: 20_000, containers: [container('app')] }), { type: 'kill' }],
  ['for good', view(limited, { activeMs: 20_000, ...stopped, sandboxes: [sandbox({ state: 'not-ready' })], containers: [exited('app', 143)] }), { type: 'done' }],
  ['a clock that was set does not lengthen the crash back-off', view(always, { nowMs: 0, containers: [exited('app', 1)], crashes: new Map([[crashKey('app', specHash(testContainer('app'))), { delayMs: 10_000, updatedMs: now - 5000 }]]) }), { type: 'wait', untilMs: now + 9000 }],
  ['crash back-off holds a restart', view(always, { containers: [exited('app', 1)], crashes: new Map([[crashKey('app', specHash(testContainer('app'))), { delayMs: 10_000, updatedMs: now - 5000 }]]) }), { type: 'wait', untilMs: now + 9000 }],
  ['and is forgotten after ten good minutes', view(always, { containers: [exited('app', 1)], crashes: new Map([[crashKey('app', specHash(testContainer('app'))), { delayMs: 10_000, updatedMs: now - 700_000 }]]) }), start('app', 1)],
  ['one container that waits does not hold up another', view(two, { containers: [exited('app', 1)], crashes: new Map([[crashKey('app', specHash(testContainer('app'))), { delayMs: 10_000, updatedMs: now - 5000 }]]) }), start('side')],
  ['a failed start is tried again later', view(always, { failures: new Map([['app', { reason: 'ErrImagePull', message: '', untilMs: now + 5, count: 1 }]]) }), { type: 'wait', untilMs: now + 5 }],
  ['so is a failed sandbox', view(always, { sandboxes: [], failures: new Map([[sandboxKey, { reason: '', message: '', untilMs: now + 5, count: 1 }]]) }), { type: 'wait', untilMs: now + 5 }],

  ['init containers come first', view(withInit), start('one')],
  ['each waits for the one before', view(withInit, { containers: [container('one')] }), { type: 'done' }],
  ['in order', view(withInit, { containers: [exited('one', 0)] }), start('two')],
  ['a failed one is run again', view(withInit, { containers: [exited('one', 1)] }), start('one', 1)],
  ['then the containers', view(withInit, { containers: [exited('one', 0), exited('two', 0)] }), start('app')],
  ['traces of init containers are not needed later', view(withInit, { containers: [exited('app', 1)] }), start('app', 1)],
  ['a failed init container ends a Never pod', view({ ...withInit, spec: { ...withInit.spec!, restartPolicy: 'Never' } }, { containers: [exited('one', 1)] }), { type: 'stop-sandbox' }],
  ['a sidecar counts when it has started', view(withSidecar, { containers: [container('proxy')] }), start('two')],
  ['but not before its startup probe says so', view(withSidecar, { containers: [container('proxy')], probes: new Map([['proxy0', probe({ started: false, ready: false })]]) }), { type: 'done' }],
  ['a sidecar is kept running', view(withSidecar, { containers: [exited('proxy', 0), exited('two', 0), container('app')] }), start('proxy', 1)],
  ['and stopped when the pod has finished', view({ ...withSidecar, spec: { ...withSidecar.spec!, restartPolicy: 'Never' } }, { containers: [container('proxy'), exited('two', 0), exited('app', 0)] }), { type: 'kill', kills: [expect.objectContaining({ name: 'proxy' })] }],

  ['an ephemeral container starts, even before the init containers', view(debugged), start('debug')],
  ['and is never started again', view(debugged, { containers: [exited('debug', 1), exited('one', 0), container('app')] }), { type: 'done' }],
  ['not even in a new sandbox', view(debugged, { ...stopped, sandboxes: [sandbox({ state: 'not-ready' }), sandbox({ id: 's1', attempt: 1 })], containers: [exited('debug', 137)] }), start('one', 0, 's1')],
  ['but it is ended with its pod', view(debugged, { ...ending(5), containers: [container('debug'), exited('one', 0), exited('app', 0)] }), { type: 'kill', kills: [expect.objectContaining({ name: 'debug' })] }],
  ['a refused pod is left alone', view(always, { sandboxes: [], rejection: { reason: 'No', message: 'no' } }), { type: 'done' }],
  ['until it is deleted', view(always, { ...ending(5), sandboxes: [], rejection: { reason: 'No', message: 'no' } }), { type: 'remove' }],

  ['a new image replaces the container', view(always, { containers: [container('app', other)] }), { type: 'kill', kills: [expect.objectContaining({ message: 'Container app definition changed, will be restarted', graceSeconds: 30 })] }],
  ['also where nothing else restarts', view(never, { containers: [exited('app', 137, other)] }), start('app', 1)],
  ['a device that was plugged in again needs a new container', view(always, { containers: [container('app')], outdated: new Set(['app']) }), { type: 'kill', kills: [expect.objectContaining({ message: 'Container app has a device that was plugged in again, will be restarted' })] }],
  ['which a pod that never restarts does not get', view(never, { containers: [container('app')], outdated: new Set(['app']) }), { type: 'done' }],
  ['a failed liveness probe kills', view(always, { containers: [container('app')], probes: new Map([['app0', probe({ failed: 'liveness' })]]) }), { type: 'kill', kills: [expect.objectContaining({ message: 'Container app failed liveness probe, will be restarted' })] }],
  ['for good where it may not be started again', view(never, { containers: [container('app')], probes: new Map([['app0', probe({ failed: 'liveness' })]]) }), { type: 'kill', kills: [expect.objectContaining({ message: 'Container app failed liveness probe' })] }],
  ['a sidecar in words of its own', view(withSidecar, { containers: [container('proxy'), exited('two', 0), container('app')], probes: new Map([['proxy0', probe({ failed: 'liveness' })]]) }), { type: 'kill', kills: [expect.objectContaining({ message: 'Init container proxy failed liveness probe' }) as never] }],
  ['and one with a new image', view(withSidecar, { containers: [container('proxy', other), exited('two', 0), container('app')] }), { type: 'kill', kills: [expect.objectContaining({ message: 'Init container proxy definition changed' }) as never] }],
  ['an init container that runs is let run to its end all the same', view(withInit, { containers: [container('one', other)] }), { type: 'done' }],
  ['and does not run again after it', view(withInit, { containers: [exited('one', 0, other), container('two')] }), { type: 'done' }],
  ['a probe may have a grace period of its own', view(impatient, { containers: [container('app')], probes: new Map([['app0', probe({ failed: 'startup' })]]) }), { type: 'kill', kills: [expect.objectContaining({ message: 'Container app failed startup probe, will be restarted', graceSeconds: 3 })] }],
  ['an unready container lives', view(always, { containers: [container('app')], probes: new Map([['app0', probe({ ready: false })]]) }), { type: 'done' }],
  ['an unknown container is replaced', view(always, { containers: [container('app', { state: 'unknown' })] }), { type: 'kill' }],

  ['a lost sandbox gives its address back first', view(always, { sandboxes: [sandbox({ state: 'not-ready' })], containers: [exited('app', 137)] }), { type: 'stop-sandbox', id: 's0' }],
  ['then it is replaced', view(always, { ...stopped, sandboxes: [sandbox({ state: 'not-ready' })], containers: [exited('app', 137)] }), { type: 'run-sandbox', attempt: 1 }],
  ['after what still runs in it was stopped', view(always, { sandboxes: [sandbox({ state: 'not-ready' })], containers: [container('app')] }), { type: 'stop-sandbox', id: 's0' }],
  ['the container goes on counting in the new one', view(always, { ...stopped, sandboxes: [sandbox({ state: 'not-ready' }), sandbox({ id: 's1', attempt: 1 })], containers: [exited('app', 137)] }), start('app', 1, 's1')],
  ['init containers run again in it', view(withInit, { ...stopped, sandboxes: [sandbox({ state: 'not-ready' }), sandbox({ id: 's1', attempt: 1 })], containers: [exited('one', 0), exited('two', 0), exited('app', 137)] }), start('one', 1, 's1')],
  ['a second ready sandbox is stopped', view(always, { sandboxes: [sandbox(), sandbox({ id: 's1', attempt: 1 })] }), { type: 'stop-sandbox', id: 's0' }],
  ['old attempts are removed, all but two', view(always, { containers: [exited('app', 1), exited('app', 1, { attempt: 1 }), container('app', { attempt: 2 })] }), { type: 'prune', containers: [expect.objectContaining({ id: 'app0' })], sandboxes: [] }],
  ['and sandboxes that hold nothing any more', view(always, { ...stopped, sandboxes: [sandbox({ state: 'not-ready' }), sandbox({ id: 's1', attempt: 1 })], containers: [container('app', { sandboxId: 's1', attempt: 1 })] }), { type: 'prune', sandboxes: [expect.objectContaining({ id: 's0' })] }],

  ['a deleted pod stops its containers', view(two, { ...ending(5), containers: [container('app'), container('side')] }), { type: 'kill', kills: [expect.objectContaining({ name: 'app', graceSeconds: 5 }), expect.objectContaining({ name: 'side' })] }],
  ['by their own grace when none is given', view(always, { ...ending(undefined), containers: [container('app', { graceSeconds: 7 })] }), { type: 'kill', kills: [expect.objectContaining({ graceSeconds: 7 })] }],
  ['sidecars stay until the others have ended', view(withSidecar, { ...ending(5), containers: [container('proxy'), container('app')] }), { type: 'kill', kills: [expect.objectContaining({ name: 'app' })], later: [expect.objectContaining({ name: 'proxy' })] }],
  ['the last one started ends first, with what is left of the grace', view(twoSidecars, { ...ending(30, now - 10_000), containers: [container('proxy'), container('logs'), exited('app', 0)] }), { type: 'kill', kills: [expect.objectContaining({ name: 'logs', graceSeconds: 20 })] }],
  ['then everything is removed', view(always, { ...ending(5), containers: [exited('app', 143)] }), { type: 'remove' }],
  ['a deleted pod starts nothing', view(always, { ...ending(5), sandboxes: [] }), { type: 'remove' }],
];

describe('step', () => {
  it.each(cases)('%s', (_name, input, expected) => {
    expect(step(input)).toMatchObject(expected);
  });
});
