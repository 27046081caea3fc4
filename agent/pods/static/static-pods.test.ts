import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import type { PodReport } from '#agent/session/types.ts';
import type { StateChange } from '#agent/state/types.ts';
import { MemoryState, testPod } from '../testing.ts';
import { mirrorOf, readStaticPods } from './folder.ts';
import { StaticPods } from './static-pods.ts';

let folder: string;
let clock: ManualClock;
let state: MemoryState;
let stop: AbortController;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cleat-static-'));
  [clock, state, stop] = [new ManualClock(), new MemoryState(), new AbortController()];
});
afterEach(async () => {
  stop.abort(new Error('end'));
  await rm(folder, { recursive: true, force: true });
});

const text = (image: string, name = 'web'): string => `apiVersion: v1\nkind: Pod\nmetadata:\n  name: ${name}\n  labels: { app: ${name} }\nspec:\n  containers:\n  - name: app\n    image: ${image}\n`;
const put = (file: string, content: string): Promise<void> => writeFile(join(folder, file), content);
const open = (): Promise<StaticPods> => StaticPods.open({ state, clock, log: silentLog }, { folder, nodeName: 'n1', checkMs: 1000 });
const names = (statics: StaticPods): string[] => statics.list(pods).map((pod) => pod.metadata?.name ?? '').sort();

describe('files of static pods', () => {
  it('are pods as kubelet makes them', async () => {
    await put('web.yaml', text('i:1'));
    await put('db.json', JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'db', namespace: 'system' }, spec: { containers: [{ name: 'db', image: 'd' }] } }));
    await put('.web.yaml.swp', 'x');
    await put('notes.txt', 'x');
    const { pods: found, problems } = await readStaticPods(folder, 'n1');
    expect([...problems]).toEqual([]);
    const made = [...found.values()];
    expect(made.map(({ metadata }) => `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`)).toEqual(['system/db-n1', 'default/web-n1']);
    const uid = made[1]?.metadata?.uid ?? '';
    expect(made[1]).toMatchObject({ metadata: { labels: { app: 'web' }, annotations: { 'kubernetes.io/config.source': 'file', 'kubernetes.io/config.hash': uid } }, spec: { nodeName: 'n1', restartPolicy: 'Always', containers: [{ imagePullPolicy: 'IfNotPresent' }], tolerations: [{ operator: 'Exists', effect: 'NoExecute' }] } });
    await put('web.yaml', text('i:2'));
    expect((await readStaticPods(folder, 'n1')).pods.get('web.yaml')?.metadata?.uid).not.toBe(uid);
  });

  it.each([
    ['{', /./], ['kind: Service\napiVersion: v1', /not a Pod/], [text('i').replace('name: web', 'name: ""'), /name is needed/], [text('i').replace(/spec:[^]*/, 'spec: {}'), /^invalid pod: spec.containers: Required value/],
    [`${text('i')}  serviceAccountName: admin\n`, /^static pods may not reference serviceaccounts$/], [text('i'), /another file describes the pod default\/web-n1 too/],
    // What the API would refuse is refused here, before it is a folder's name, or is read as something else.
    [text('i').replace('- name: app', '- name: ../../../app'), /^invalid pod: spec.containers\[0\].name: Invalid value/], [text('i').replace('- name: app', '- name: [app]'), /cannot be handled as a Pod/],
    [text('i').replace('name: web', 'name: ../web'), /^invalid pod: metadata.name: Invalid value/], [`${text('i')}  restartPolicy: Sometimes\n`, /spec.restartPolicy: Unsupported value/],
    [`${text('i')}    env: [{ name: A, valueFrom: { configMapKeyRef: { name: c, key: k } } }]\n`, /^static pods may not reference configmaps$/], [`${text('i')}  imagePullSecrets: [{ name: s }]\n`, /^static pods may not reference secrets$/],
    [`${text('i')}  volumes: [{ name: v, persistentVolumeClaim: { claimName: c } }]\n`, /^static pods may not reference persistentvolumeclaims$/],
    [`${text('i')}  volumes: [{ name: v, projected: { sources: [{ serviceAccountToken: { path: t } }] } }]\n`, /^static pods may not reference serviceaccounts \(via projected volumes\)$/],
  ])('are passed over where they make no sense: %j', async (content, problem) => {
    await put('a.yaml', text('i:1'));
    await put('b.yaml', content);
    const { pods: found, problems } = await readStaticPods(folder, 'n1');
    expect([...found.keys()]).toEqual(['a.yaml']);
    expect(problems.get('b.yaml')).toMatch(problem);
  });
});

describe('static pods', () => {
  it('come and go with their files; a file that is half written ends nothing', async () => {
    await put('web.yaml', text('i:1'));
    state.set(testPod('plain'));
    const statics = await open();
    expect(names(statics)).toEqual(['plain', 'web-n1']);
    const told: StateChange[] = [];
    statics.subscribe((changes) => told.push(...changes));
    const running = statics.start(stop.signal);
    const until = async (condition: () => boolean): Promise<void> => { while (!condition()) { await clock.advance(1000); await new Promise((resolve) => { setImmediate(resolve); }); } };
    await put('web.yaml', '{');
    await put('more.yaml', text('i:1', 'more'));
    await until(() => told.length === 1);
    await put('web.yaml', text('i:2'));
    await until(() => told.length === 2);
    expect(names(statics)).toEqual(['more-n1', 'plain', 'web-n1']);
    await rm(join(folder, 'more.yaml'));
    await until(() => told.some(({ type }) => type === 'remove'));
    expect(names(statics)).toEqual(['plain', 'web-n1']);
    stop.abort(new Error('end'));
    await running;
  });

  it('are shown by mirrors, which are made, replaced and removed, and not run', async () => {
    await put('web.yaml', text('i:1'));
    const statics = await open();
    const [pod] = statics.list(pods);
    const uid = pod?.metadata?.uid ?? '';
    const report: PodReport = { namespace: 'default', name: 'web-n1', uid, status: { phase: 'Running' }, gone: false };
    const told: PodReport[] = [];
    let leaving: string[] = [];
    let left: () => void = () => undefined;
    const inner: Parameters<typeof statics.reports>[0] = { all: () => [report], subscribe: () => () => undefined, leaving: () => leaving, onLeft: (listener) => { left = listener; return () => undefined; } };
    const reports = statics.reports(inner);
    reports.subscribe((r) => told.push(r));
    expect(reports.all()).toEqual([{ ...report, mirror: mirrorOf(pod!) }]);

    const mirror = (change: Pod['metadata'] = {}): Pod => ({ ...mirrorOf(pod!), metadata: { ...mirrorOf(pod!).metadata, uid: 'm1', ...change } });
    state.set(mirror());
    expect(told.at(-1)).toEqual({ ...report, uid: 'm1' });
    expect(names(statics)).toEqual(['web-n1']);
    expect([statics.uidOf('m1'), statics.uidOf('other')]).toEqual([uid, 'other']);
    // Somebody deletes it: it goes at once, and comes back.
    state.set(mirror({ deletionTimestamp: '2026-01-01T00:00:00Z' }));
    expect(told.at(-1)).toMatchObject({ uid: 'm1', gone: true });
    state.remove(pods, 'default', 'web-n1');
    expect(told.at(-1)?.mirror).toBeDefined();
    // Of an earlier file, and of one that is no more.
    state.set(mirror({ annotations: { 'kubernetes.io/config.mirror': 'old' } }));
    expect(told.at(-1)).toMatchObject({ uid: 'm1', gone: true });
    state.set({ ...mirror(), metadata: { ...mirror().metadata, name: 'lost-n1', uid: 'm2' } });
    expect(told.at(-1)).toEqual({ namespace: 'default', name: 'lost-n1', uid: 'm2', status: {}, gone: true });
    // While it ends it is shown.
    leaving = [uid];
    told.length = 0;
    state.set({ ...mirror(), metadata: { ...mirror().metadata, name: 'slow-n1', uid: 'm3' } });
    expect(told).toEqual([]);
    leaving = [];
    left();
    expect(told).toContainEqual({ namespace: 'default', name: 'slow-n1', uid: 'm3', status: {}, gone: true });
  });
});
