import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ContainerState, Pod } from '#api/gen/types.ts';
import { messageOf } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { testContainer, testPod } from '#agent/pods/testing.ts';
import { FaultLab } from '../test-faults.ts';
import { CtrDriver } from './driver.ts';
import { FakeCtr } from './test-fake-ctr.ts';

let lab: FaultLab;
let fake: FakeCtr;
let driver: CtrDriver;

beforeEach(async () => {
  lab = await FaultLab.open();
  fake = new FakeCtr(lab.dir);
  lab.isBusy = () => fake.isBusy;
  driver = connect();
  lab.start(driver);
});
afterEach(async () => {
  await lab.close();
  fake.close();
});

/** Commands take as long as the machine lets them. */
const patience = 150_000;
const connect = (): CtrDriver => new CtrDriver({ clock: lab.clock, log: silentLog }, { endpoint: '/run/x.sock', owner: 'node', stateDir: lab.dir, runDir: lab.dir, sandboxImage: 'pause', cni: fake.cni });
const pod = (name: string): Pod => testPod(name, { terminationGracePeriodSeconds: 1 });
const withImage = (name: string): Pod => testPod(name, { terminationGracePeriodSeconds: 1, volumes: [{ name: 'files', image: { reference: 'files:1' } }], containers: [testContainer('app', { volumeMounts: [{ name: 'files', mountPath: '/files' }] })] });
const running = (...names: string[]): Promise<void> => lab.until(() => names.every((name) => lab.isRunning(name)), `${names.join(', ')} to run`);

interface Case { readonly what: string; readonly call: string; /** In the shell's words: `hang` never ends, `truth` does what was asked for. */ readonly script: string; readonly reason: string; readonly message: RegExp; readonly waiting?: ContainerState['waiting'] }

const sandbox = { reason: 'FailedCreatePodSandBox', waiting: { reason: 'ContainerCreating' } } as const;
const preparation = { reason: 'Failed', waiting: { reason: 'CreateContainerConfigError' } } as const;
const start = { reason: 'Failed', waiting: { reason: 'RunContainerError' } } as const;

const beginnings: readonly Case[] = [
  { what: 'a sandbox is begun, and that is not said', call: 'runc run', script: 'truth; hang', ...sandbox, message: /runc, which makes the namespaces of pods, has not done so in time/ },
  { what: 'runc is killed when a sandbox is begun', call: 'runc run', script: 'truth; kill -9 $$', ...sandbox, message: /cannot run sh: it was ended by SIGKILL/ },
  { what: 'runc refuses a sandbox', call: 'runc run', script: 'say "runc run failed: cgroup not found"', ...sandbox, message: /the pod's namespaces cannot be made: runc run failed: cgroup not found/ },
  { what: 'runc refuses one without a word', call: 'runc run', script: 'exit 7', ...sandbox, message: /the pod's namespaces cannot be made: exit code 7/ },
  { what: 'a sandbox is said to run, and does not', call: 'runc run', script: 'exit 0', ...sandbox, message: /runc says that it has started the program, and does not tell its process \(""\)/ },
  { what: 'half of a process is told', call: 'runc run', script: 'truth; echo 1x > "$pidfile"; exit', ...sandbox, message: /does not tell its process \("1x/ },
  { what: 'a container is refused without a word', call: 'run', script: 'exit 7', ...start, message: /^Error: ctr failed without a word/ },
  { what: 'no view of an image is made', call: 'snapshots view', script: 'hang', ...preparation, message: /MountVolume\.SetUp failed for volume "files" : containerd has not done within 30 s what ctr snapshots asks/ },
  { what: 'a view of an image is gone at once', call: 'snapshots label', script: 'say "snapshot x: not found"', ...preparation, message: /MountVolume\.SetUp failed for volume "files" : snapshot x: not found/ },
  { what: 'half of a mount is told', call: 'snapshots mounts', script: 'echo mount -t over; exit', ...preparation, message: /containerd asks for something that is no mount: mount -t over/ },
  { what: 'a container is started, and that is not said', call: 'run', script: 'truth "$@"; hang', ...start, message: /has not done within 120 s what ctr run asks/ },
  { what: 'a shim is lost', call: 'run', script: 'truth "$@"; say "ttrpc: closed: unknown"', ...start, message: /ttrpc: closed/ },
  { what: 'a plugin gives an address and does not end', call: 'ADD', script: 'truth; hang', ...sandbox, message: /the CNI plugin lab did not end within 60 s \(ADD\); check what it waits for/ },
  { what: 'a plugin answers half a sentence', call: 'ADD', script: `echo '{"ips":['; exit`, ...sandbox, message: /the CNI plugins of network lab \(lab\) gave the pod no address; check its configuration in/ },
  { what: 'a plugin is killed', call: 'ADD', script: 'truth; kill -9 $$', ...sandbox, message: /cni\/lab: it was ended by SIGKILL/ },
  { what: 'a plugin fails without a word', call: 'ADD', script: 'exit 3', ...sandbox, message: /the CNI plugin lab of network lab failed \(ADD\): exit code 3/ },
];

const endings: readonly Case[] = [
  { what: 'a task is not let go of', call: 'tasks delete', script: 'hang', reason: 'FailedSync', message: /has not done within 30 s what ctr tasks delete asks/ },
  { what: 'runc lets go of nothing', call: 'runc delete', script: 'say "unable to destroy container: device or resource busy"', reason: 'FailedKillPod', message: /the pod's namespaces cannot be taken down: unable to destroy container/ },
  { what: 'ctr is killed', call: 'containers rm', script: 'kill -9 $$', reason: 'FailedKillPod', message: /ended by SIGKILL/ },
  { what: 'a snapshot stays', call: 'snapshots rm', script: 'say "snapshot is in use: unknown"', reason: 'FailedKillPod', message: /snapshot is in use/ },
  { what: 'a plugin takes no address back', call: 'DEL', script: 'hang', reason: 'FailedKillPod', message: /the CNI plugin lab did not end within 60 s \(DEL\)/ },
  { what: 'a plugin takes it back, and fails', call: 'DEL', script: 'truth; exit 9', reason: 'FailedKillPod', message: /failed \(DEL\): exit code 9/ },
];
const nameOf = (_one: unknown, index: number): string => `bad${String(index).padStart(2, '0')}`;

it.each([
  ['answer instead of beginning a pod', beginnings.filter(({ script }) => !script.includes('hang'))],
  ['do without ever ending', beginnings.filter(({ script }) => script.includes('hang'))],
])('whatever ctr, runc and CNI plugins %s is said, others run, all heals, and nothing stays', async (_what, cases) => {
  lab.want(pod('other'), pod('slow'));
  for (const call of ['runc run', 'run', 'ADD']) fake.break(call, 'sleep 0.2', 'slow-uid');
  const bad = cases.map(nameOf);
  cases.forEach(({ call, script }, index) => { fake.break(call, script, `${bad[index] ?? ''}-uid`); });
  await running('other', 'slow');
  lab.want(...bad.map((name, index) => (cases[index]?.call.match(/view|label|mounts/) ? withImage(name) : pod(name))));
  for (const [index, { what, reason, message, waiting }] of cases.entries()) {
    const name = bad[index] ?? '';
    await lab.until(() => lab.isTold(name, reason, message), `the Event that ${what}`);
    await lab.until(() => lab.stateOf(name)?.waiting?.reason === waiting?.reason, `the state when ${what}`);
  }
  lab.want(pod('third'));
  await running('other', 'slow', 'third');
  fake.mend();
  await running(...bad);
  const all = ['other', 'slow', 'third', ...bad];
  expect([fake.pauses.size, fake.tasks.size]).toEqual([all.length, all.length]);
  lab.drop(...all);
  await lab.untilGone(...all);
  expect(fake.held).toEqual([]);
}, patience);

it('whatever they do instead of ending one is said, others end, and nothing stays once they do it', async () => {
  const bad = endings.map(nameOf);
  lab.want(pod('other'), ...bad.map(withImage));
  await running('other', ...bad);
  endings.forEach(({ call, script }, index) => { fake.break(call, script, `${bad[index] ?? ''}-uid`); });
  lab.drop('other', ...bad);
  for (const [index, { what, reason, message }] of endings.entries()) await lab.until(() => lab.isTold(bad[index] ?? '', reason, message), `the Event that ${what}`);
  await lab.untilGone('other');
  fake.mend();
  await lab.untilGone(...bad);
  expect(fake.held).toEqual([]);
}, patience);

it('roots that the agent cannot mount are made by containerd, and what that tells instead is said', async () => {
  fake.break('mount', 'case $* in *upperdir=*) exit 32 ;; esac');
  fake.break('snapshots prepare', 'truth > /dev/null; exit', 'bad-uid');
  lab.want(pod('web'), pod('other'), pod('bad'));
  await running('web', 'other');
  await lab.until(() => lab.isTold('bad', 'Failed', /containerd asks for something that is no mount/), 'the Event');
  await lab.until(() => lab.stateOf('bad')?.waiting?.reason === 'CreateContainerError', 'the state');
  for (const name of ['web', 'other']) expect(fake.held).toContain(`snapshots: ${(await driver.list(lab.signal, `${name}-uid`)).containers[0]?.id ?? ''}`);
  lab.drop('web', 'other', 'bad');
  await lab.untilGone('web', 'other', 'bad');
  expect(fake.held).toEqual([]);
}, patience);

it('a containerd that goes away ends nothing; what ended meanwhile is noticed when it is back', async () => {
  lab.want(pod('steady'), pod('ended'));
  await running('steady', 'ended');
  const [steady, ended] = await Promise.all(['steady', 'ended'].map(async (name) => (await driver.list(lab.signal, `${name}-uid`)).containers[0]?.id ?? ''));
  const before = fake.tasks.get(steady ?? '');
  fake.goAway();
  process.kill(fake.tasks.get(ended ?? '') ?? 0, 'SIGKILL');
  lab.want(pod('new'));
  const told = /containerd did not answer on \/run\/x\.sock: .*; check that it is running/;
  await lab.until(() => lab.isTold('new', 'FailedSync', told), 'the Event');
  await expect(driver.notReady(lab.signal)).rejects.toMatchObject({ code: 'ServiceUnavailable', message: expect.stringMatching(told) as string });
  expect(lab.isRunning('steady')).toBe(true);
  fake.mend();
  await running('steady', 'new');
  await lab.until(() => lab.restartsOf('ended') === 1 && lab.isRunning('ended'), 'the one that ended to be started again');
  expect([lab.restartsOf('steady'), fake.tasks.get(steady ?? '')]).toEqual([0, before]);
}, patience);

it('a pause program that ends by itself takes its pod with it, and the pod begins anew', async () => {
  lab.want(pod('web'), pod('other'));
  await running('web', 'other');
  const [before, other] = await Promise.all(['web', 'other'].map((name) => driver.list(lab.signal, `${name}-uid`)));
  process.kill(fake.pauses.get(before?.sandboxes[0]?.id ?? '') ?? 0, 'SIGKILL');
  const ids = (): string[] => [...fake.pauses.keys(), ...fake.tasks.keys()];
  await lab.until(() => ids().length === 4 && !ids().some((id) => id === before?.sandboxes[0]?.id || id === before?.containers[0]?.id) && lab.isRunning('web'), 'another sandbox');
  const after = (await driver.list(lab.signal, 'web-uid')).sandboxes.filter(({ state }) => state === 'ready');
  expect(after.map(({ attempt }) => attempt)).toEqual([1]);
  expect(await driver.list(lab.signal, 'other-uid')).toEqual(other);
}, patience);

it('a runc that is not installed is said to be missing', async () => {
  fake.break('runc run', 'say() { echo "sh: 5: runc: not found" >&2; exit 127; }; say');
  lab.want(pod('new'));
  await lab.until(() => lab.isTold('new', 'FailedSync', /runc, by which containerd too runs containers, is not installed/), 'the Event');
  fake.mend();
  await running('new');
});

it('a ctr that is not installed is said to be missing, and pods begin once it is there', async () => {
  const install = fake.uninstall();
  lab.want(pod('new'));
  const told = /ctr, containerd's command line, is not installed; install containerd/;
  await lab.until(() => lab.isTold('new', 'FailedSync', told), 'the Event');
  await expect(driver.notReady(lab.signal)).rejects.toThrow(told);
  install();
  await running('new');
});

it.each<[string, RegExp]>([['hang', /has not done within 30 s what ctr version asks/], ['echo noise; exit', /does not tell containerd's version: noise/], ['exit 1', /ctr failed without a word/]])('with a ctr that does `%s` the node is not ready', async (script, problem) => {
  fake.break('version', script);
  let told = '';
  const asked = driver.notReady(lab.signal).catch((error: unknown) => { told = messageOf(error); });
  await lab.until(() => told !== '', 'an error');
  await asked;
  expect(told).toMatch(problem);
});

it('what nobody can read is not believed: of images, of tasks, of events', async () => {
  fake.break('content get', `echo '{"config":'; exit`);
  fake.break('events', 'echo noise; echo "now cleat /tasks/exit {"; exit 3');
  lab.want(pod('web'));
  await lab.until(() => lab.isTold('web', 'InspectFailed', /is no image description/), 'the Event');
  await lab.until(() => lab.stateOf('web')?.waiting?.reason === 'ImageInspectError', 'the state');
  fake.mend();
  fake.break('events', 'echo noise; echo "now cleat /tasks/exit {"; exit 3');
  await running('web');
  const known = await driver.list(lab.signal);
  fake.break('tasks ls', 'echo half a li; exit');
  expect(await connect().list(lab.signal)).toEqual(known);
  process.kill(fake.tasks.get(known.containers[0]?.id ?? '') ?? 0, 'SIGKILL');
  await lab.until(() => lab.restartsOf('web') === 1 && lab.isRunning('web'), 'the program to be started again');
}, patience);
