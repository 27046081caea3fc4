import { describe, expect, it } from 'vitest';
import type { Deployment, DeploymentCondition, DeploymentSpec, Pod, ReplicaSet } from '#api/gen/types.ts';
import { deployments, replicaSets } from '#api/kinds/resources.ts';
import { rfc3339 } from '#common/time.ts';
import { controllerReference } from '../owner-refs.ts';
import type { Action } from '../types.ts';
import { newSetAnnotations } from './annotations.ts';
import { limitsOf } from './limits.ts';
import { reconcileDeployment } from './reconcile.ts';
import { templateHash } from '../template-hash.ts';
import { sameTemplate } from './template.ts';

const nowMs = Date.UTC(2026, 0, 2);
const template = (version: number): DeploymentSpec['template'] => ({ metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image: `web:${String(version)}` }] } });

function deployment(spec: Partial<DeploymentSpec> = {}, rest: Partial<Deployment> = {}): Deployment {
  return {
    metadata: { name: 'web', namespace: 'default', uid: 'd', generation: 1, resourceVersion: '1' },
    spec: { replicas: 10, selector: { matchLabels: { app: 'web' } }, template: template(2), progressDeadlineSeconds: 600, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } }, ...spec },
    ...rest,
  };
}

interface SetOptions { readonly available?: number; readonly desired?: number; readonly max?: number; readonly observed?: boolean; readonly revision?: number }

/** The ReplicaSet of a template version: `replicas` asked for and there, `available` of them available. */
function set(version: number, replicas: number, options: SetOptions = {}): ReplicaSet {
  const { available = replicas, desired = 10, max = 13, observed = true, revision = version } = options;
  const { labels } = template(version).metadata!;
  return {
    metadata: {
      name: `web-${String(version)}`, namespace: 'default', uid: `rs${String(version)}`, generation: 1, resourceVersion: '1', labels: { ...labels, 'pod-template-hash': String(version) }, creationTimestamp: rfc3339(version * 1000),
      annotations: { 'deployment.kubernetes.io/revision': String(revision), 'deployment.kubernetes.io/desired-replicas': String(desired), 'deployment.kubernetes.io/max-replicas': String(max) },
      ownerReferences: [controllerReference(deployments, deployment())],
    },
    spec: { replicas, selector: {}, template: { ...template(version), metadata: { labels: { ...labels, 'pod-template-hash': String(version) } } } },
    status: { replicas, readyReplicas: available, availableReplicas: available, observedGeneration: observed ? 1 : 0 },
  };
}

function run(d: Deployment, sets: ReplicaSet[], pods: Pod[] = []) {
  const { actions, afterMs } = reconcileDeployment({ deployment: d, replicaSets: sets, pods, nowMs });
  const of = <T>(type: Action['type'], kind: string): T[] => actions.flatMap((a) => (a.type === type && 'resource' in a && a.resource.kind === kind && 'object' in a ? [a.object as T] : []));
  return {
    actions, afterMs,
    sizes: Object.fromEntries(of<ReplicaSet>('update', 'ReplicaSet').map((s) => [s.metadata!.name, s.spec!.replicas])),
    created: of<ReplicaSet>('create', 'ReplicaSet')[0],
    deleted: of<ReplicaSet>('delete', 'ReplicaSet').map((s) => s.metadata!.name),
    status: of<Deployment>('update', 'Deployment')[0]?.status,
    events: actions.flatMap((a) => (a.type === 'event' ? [`${a.reason}: ${a.message}`] : [])),
    patch: actions.find((a) => a.type === 'patch')?.patch,
  };
}

const condition = (conditions: readonly DeploymentCondition[] | undefined, type: string): DeploymentCondition | undefined => conditions?.find((c) => c.type === type);

describe('limits', () => {
  it.each([
    ['25%', '25%', 4, 1, 1], ['25%', '25%', 10, 3, 2], ['25%', '25%', 1, 1, 0], ['30%', 0, 3, 1, 0], [0, '10%', 5, 0, 1], [0, 0, 5, 0, 1], ['0%', '0%', 0, 0, 0], [1, 5, 3, 1, 3], ['100%', '100%', 4, 4, 4], [undefined, undefined, 8, 2, 2],
  ])('surge %s, unavailable %s of %i: %i and %i', (maxSurge, maxUnavailable, replicas, surge, unavailable) => {
    expect(limitsOf(deployment({ replicas, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } } }))).toEqual({ maxSurge: surge, maxUnavailable: unavailable });
  });
});

describe('template', () => {
  it('names equal templates equally, whatever the order of their fields', () => {
    expect(templateHash({ metadata: { labels: { a: '1', b: '2' } } }, undefined)).toBe(templateHash({ metadata: { labels: { b: '2', a: '1' }, name: undefined } }, undefined));
    expect(templateHash(template(1), undefined)).not.toBe(templateHash(template(2), undefined));
    expect(templateHash(template(1), 1)).not.toBe(templateHash(template(1), undefined));
    // What was computed once must be computed for ever: ReplicaSets are found by it.
    expect(templateHash(template(1), undefined)).toMatch(/^[bcdfghjklmnpqrstvwxz2456789]{1,10}$/);
  });

  it('compares without the hash label', () => {
    expect(sameTemplate(template(1), { ...template(1), metadata: { labels: { app: 'web', 'pod-template-hash': 'x' } } })).toBe(true);
    expect(sameTemplate(template(1), template(2))).toBe(false);
  });
});

describe('a rolling update', () => {
  it('starts with a ReplicaSet of the template, named, labelled and sized', () => {
    const { created, status, events, patch } = run(deployment({}, { metadata: { name: 'web', namespace: 'default', uid: 'd', generation: 1, annotations: { note: 'x', 'kubectl.kubernetes.io/last-applied-configuration': '{}' } } }), []);
    const hash = templateHash(template(2), undefined);
    expect(created).toMatchObject({
      metadata: { name: `web-${hash}`, labels: { app: 'web', 'pod-template-hash': hash }, annotations: { note: 'x', 'deployment.kubernetes.io/revision': '1', 'deployment.kubernetes.io/desired-replicas': '10', 'deployment.kubernetes.io/max-replicas': '13' } },
      spec: { replicas: 10, selector: { matchLabels: { app: 'web', 'pod-template-hash': hash } } },
    });
    expect(created!.metadata!.annotations).not.toHaveProperty(['kubectl.kubernetes.io/last-applied-configuration']);
    expect(created!.metadata!.ownerReferences).toEqual([controllerReference(deployments, deployment())]);
    expect(events).toEqual([`ScalingReplicaSet: Scaled up replica set web-${hash} from 0 to 10`]);
    expect(condition(status?.conditions, 'Progressing')).toMatchObject({ status: 'True', reason: 'NewReplicaSetCreated' });
    expect(condition(status?.conditions, 'Available')).toMatchObject({ status: 'False', reason: 'MinimumReplicasUnavailable', message: 'Deployment does not have minimum availability.' });
    expect(patch).toEqual({ metadata: { annotations: { 'deployment.kubernetes.io/revision': '1' } } });
  });

  it.each<[string, Partial<DeploymentSpec>, ReplicaSet[], Record<string, number>]>([
    ['creates up to the surge', {}, [set(1, 10), set(2, 0)], { 'web-2': 3 }],
    ['shrinks the old by what may be unavailable', {}, [set(1, 10), set(2, 3, { available: 0 })], { 'web-1': 8 }],
    ['shrinks further as new pods become available', {}, [set(1, 8), set(2, 3, { available: 3 })], { 'web-2': 5 }],
    ['removes unavailable old pods first', {}, [set(1, 10, { available: 6 }), set(2, 3, { available: 0 })], { 'web-1': 8 }],
    ['never goes below the minimum', {}, [set(1, 8), set(2, 5, { available: 0 })], {}],
    ['waits while an old one has not reported', {}, [set(1, 7, { observed: false }), set(2, 3, { available: 3 })], { 'web-1': 5 }],
    ['removes the last old pods', {}, [set(1, 2), set(2, 10)], { 'web-1': 0 }],
    ['shrinks the oldest first', {}, [set(0, 3), set(1, 7), set(2, 3, { available: 0 })], { 'web-0': 1 }],
    ['moves one at a time without surge and unavailability', { replicas: 3, strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } }, [set(1, 3, { desired: 3, max: 3 }), set(2, 0, { desired: 3, max: 3 })], { 'web-1': 2 }],
    ['does nothing when all is done', {}, [set(1, 0), set(2, 10)], {}],
  ])('%s', (_, spec, sets, expected) => {
    expect(run(deployment(spec), sets).sizes).toEqual(expected);
  });

  it('reports progress, completion and missed deadlines in Kubernetes\' words', () => {
    const progressing = (minutesAgo: number): Partial<Deployment> => ({ status: { replicas: 10, updatedReplicas: 3, readyReplicas: 10, availableReplicas: 10, conditions: [
      { type: 'Progressing', status: 'True', reason: 'ReplicaSetUpdated', lastUpdateTime: rfc3339(nowMs - minutesAgo * 60_000), lastTransitionTime: rfc3339(0) }] } });
    const state = (d: Deployment, sets: ReplicaSet[]): unknown[] => {
      const c = condition(run(d, sets).status?.conditions, 'Progressing');
      return [c?.status, c?.reason, c?.message];
    };
    expect(state(deployment({}, progressing(20)), [set(1, 0), set(2, 10)])).toEqual(['True', 'NewReplicaSetAvailable', 'ReplicaSet "web-2" has successfully progressed.']);
    expect(state(deployment({}, progressing(20)), [set(1, 8), set(2, 5, { available: 1 })])).toEqual(['True', 'ReplicaSetUpdated', 'ReplicaSet "web-2" is progressing.']);
    expect(state(deployment({}, progressing(20)), [set(1, 7), set(2, 3, { available: 1 })])).toEqual(['False', 'ProgressDeadlineExceeded', 'ReplicaSet "web-2" has timed out progressing.']);
    expect(run(deployment({}, progressing(4)), [set(1, 7), set(2, 3, { available: 0 })]).afterMs).toBe(361_000);
  });

  it('passes on that pods cannot be made', () => {
    const failing = set(2, 3, { available: 0 });
    failing.status!.conditions = [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message: 'no' }];
    expect(condition(run(deployment(), [set(1, 8), failing]).status?.conditions, 'ReplicaFailure')).toMatchObject({ status: 'True', reason: 'FailedCreate', message: 'no' });
  });

  it('counts what there is', () => {
    expect(run(deployment({}, { metadata: { name: 'web', uid: 'd', generation: 7 } }), [set(1, 8, { available: 7 }), set(2, 5, { available: 1 })]).status).toMatchObject({
      observedGeneration: 7, replicas: 13, updatedReplicas: 5, readyReplicas: 8, availableReplicas: 8, unavailableReplicas: 4,
    });
  });
});

describe('revisions', () => {
  it('a rollback takes the old ReplicaSet up again with a new revision', () => {
    const { actions, patch } = run(deployment({ template: template(1) }), [set(1, 0), set(2, 10)]);
    const annotated = actions.find((a) => a.type === 'update' && a.resource === replicaSets) as { object: ReplicaSet };
    expect(annotated.object.metadata).toMatchObject({ name: 'web-1', annotations: { 'deployment.kubernetes.io/revision': '3', 'deployment.kubernetes.io/revision-history': '1' } });
    expect(annotated.object.spec?.replicas).toBe(0);
    expect(patch).toEqual({ metadata: { annotations: { 'deployment.kubernetes.io/revision': '3' } } });
  });

  it('keeps a bounded history of revisions', () => {
    const long = Array.from({ length: 500 }, (_, i) => String(i + 1000)).join(',');
    const next = newSetAnnotations(deployment(), { 'deployment.kubernetes.io/revision': '7', 'deployment.kubernetes.io/revision-history': long }, 9);
    expect(next['deployment.kubernetes.io/revision-history']!.length).toBeLessThanOrEqual(2000);
    expect(next['deployment.kubernetes.io/revision-history']).toMatch(/,7$/);
  });

  it('removes empty old ReplicaSets beyond the limit, lowest revision first', () => {
    const sets = [set(9, 0, { revision: 1 }), set(8, 0, { revision: 2 }), set(7, 0, { revision: 3, observed: false }), set(2, 10, { revision: 4 })];
    expect(run(deployment({ revisionHistoryLimit: 1 }), sets).deleted).toEqual(['web-9', 'web-8']);
    expect(run(deployment({ revisionHistoryLimit: 0 }), sets).deleted).toEqual(['web-9', 'web-8']);
    expect(run(deployment({ revisionHistoryLimit: 1 }), [...sets.slice(0, 3), set(2, 10, { available: 9, revision: 4 })]).deleted).toEqual([]);
  });
});

describe('scaling', () => {
  it.each<[string, number, ReplicaSet[], Record<string, number>]>([
    ['the only one', 4, [set(2, 10)], { 'web-2': 4 }],
    ['in proportion up', 15, [set(1, 8), set(2, 5, { available: 0 })], { 'web-1': 11, 'web-2': 7 }],
    ['in proportion down', 5, [set(1, 8), set(2, 5, { available: 0 })], { 'web-1': 5, 'web-2': 3 }],
    ['down, but not by what must stay available', 9, [set(1, 7), set(2, 6, { available: 0, max: 13 })], { 'web-1': 7, 'web-2': 5 }],
    ['to nothing', 0, [set(1, 8), set(2, 5)], { 'web-1': 0, 'web-2': 0 }],
  ])('%s', (_, replicas, sets, sizes) => {
    expect(run(deployment({ replicas }), sets).sizes).toEqual(sizes);
  });

  it('does not move the rollout of a paused deployment, but follows its size', () => {
    const paused = run(deployment({ paused: true, template: template(3) }), [set(2, 10)]);
    expect([paused.created, paused.sizes]).toEqual([undefined, {}]);
    expect(condition(paused.status?.conditions, 'Progressing')).toMatchObject({ status: 'Unknown', reason: 'DeploymentPaused', message: 'Deployment is paused' });
    expect(run(deployment({ paused: true, replicas: 3, template: template(3) }), [set(2, 10)]).sizes).toEqual({ 'web-2': 3 });
  });
});

describe('Recreate', () => {
  const spec: Partial<DeploymentSpec> = { strategy: { type: 'Recreate' } };
  const old: Pod = { metadata: { name: 'p', ownerReferences: [controllerReference(replicaSets, set(1, 0))], deletionTimestamp: rfc3339(nowMs) }, status: { phase: 'Running' } };

  it('stops all old pods, waits until the last is gone, then starts the new ones', () => {
    expect(run(deployment(spec), [set(1, 10, { max: 10 })]).sizes).toEqual({ 'web-1': 0 });
    expect(run(deployment(spec), [set(1, 0)], [old]).created).toBeUndefined();
    expect(run(deployment(spec), [set(1, 0, { observed: false })]).created).toBeUndefined();
    expect(run(deployment(spec), [set(1, 0)], [{ ...old, status: { phase: 'Failed' } }]).created?.spec?.replicas).toBe(10);
    expect(run(deployment(spec), [set(1, 0), set(2, 0)]).sizes).toEqual({ 'web-2': 10 });
  });

  it('starts no earlier template beside ending pods of another, though it is paused', () => {
    const paused = deployment({ ...spec, paused: true, template: template(3) });
    expect(run(paused, [set(1, 0), set(2, 0)], [old]).sizes).toEqual({});
    expect(run(paused, [set(1, 0), set(2, 0)]).sizes).toEqual({ 'web-2': 10 });
  });
});

it('adopts what matches, releases what no longer does, and touches nothing of others', () => {
  const { ownerReferences: _, ...free } = set(2, 10).metadata!;
  const orphan = { ...set(2, 10), metadata: free };
  const strayed = { ...set(1, 0), metadata: { ...set(1, 0).metadata, labels: {} } };
  const foreign = { ...set(3, 4), metadata: { ...set(3, 4).metadata, ownerReferences: [{ ...controllerReference(deployments, deployment()), uid: 'other' }] } };
  const updates = run(deployment(), [orphan, strayed, foreign]).actions.map((a) => (a as { object: ReplicaSet }).object.metadata);
  expect(updates).toMatchObject([{ name: 'web-2', ownerReferences: [{ uid: 'd' }] }, { name: 'web-1', ownerReferences: undefined }]);
});

it('refuses a selector that selects everything', () => {
  expect(run(deployment({ selector: {} }), []).events[0]).toMatch(/^SelectingAll/);
});

it('only reports while it is being deleted', () => {
  const dying = deployment({}, { metadata: { name: 'web', uid: 'd', deletionTimestamp: rfc3339(nowMs) } });
  expect(run(dying, []).created).toBeUndefined();
  expect(run(dying, [set(1, 4)]).sizes).toEqual({});
});
