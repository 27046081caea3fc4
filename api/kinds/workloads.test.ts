import { describe, expect, it } from 'vitest';
import { controllerRevision } from './controller-revision/kind.ts';
import { cronJob } from './cron-job/kind.ts';
import { daemonSet } from './daemon-set/kind.ts';
import { prepareUpdate } from './engine.ts';
import { job } from './job/kind.ts';
import { podDisruptionBudget } from './pod-disruption-budget/kind.ts';
import { replicationController } from './replication-controller/kind.ts';
import { statefulSet } from './stateful-set/kind.ts';
import { cells, make, problems, selector, template } from './testing.ts';

describe('StatefulSet', () => {
  const claim = { metadata: { name: 'data' }, spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } };
  const spec = { serviceName: 'web', selector, template };

  it('has Kubernetes\' defaults', () => {
    expect(make(statefulSet, { spec: { ...spec, volumeClaimTemplates: [claim] } })).toMatchObject({
      spec: {
        replicas: 1, revisionHistoryLimit: 10, podManagementPolicy: 'OrderedReady', updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
        persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
        volumeClaimTemplates: [{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', spec: { volumeMode: 'Filesystem' }, status: { phase: 'Pending' } }],
      },
      status: { replicas: 0, availableReplicas: 0 },
    });
  });

  it('checks strategy, policies and what its pods mount', () => {
    const mounting = { ...template, spec: { containers: [{ name: 'a', image: 'a', volumeMounts: [{ name: 'data', mountPath: '/data' }] }] } };
    expect(problems(statefulSet, { spec: { ...spec, template: mounting, volumeClaimTemplates: [claim] } })).toEqual([]);
    expect(problems(statefulSet, { spec: { ...spec, template: mounting } })).toEqual(['spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"']);
    expect(problems(statefulSet, { spec: { ...spec, podManagementPolicy: 'Random', updateStrategy: { type: 'Recreate' } } })).toEqual([
      "spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'",
      "spec.updateStrategy: Invalid value: {\"type\":\"Recreate\"}: must be 'RollingUpdate' or 'OnDelete'",
    ]);
    const share = (maxUnavailable: unknown): string[] => problems(statefulSet, { spec: { ...spec, updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable } } } });
    const field = 'spec.updateStrategy.rollingUpdate.maxUnavailable';
    expect([share(2), share('30%'), share(0), share('0%'), share('101%')]).toEqual([[], [], [`${field}: Invalid value: 0: cannot be 0`], [`${field}: Invalid value: "0%": cannot be 0`], [`${field}: Invalid value: "101%": must not be greater than 100%`]]);
    expect(problems(statefulSet, { metadata: { name: 'a.b', namespace: 'default' }, spec })[0]).toMatch(/^metadata.name: Invalid value: "a.b": a lowercase RFC 1123 label/);
  });

  it('changes in a few fields only', () => {
    const old = make(statefulSet, { spec });
    expect(problems(statefulSet, { spec: { ...spec, replicas: 5, minReadySeconds: 3, template: { ...template, spec: { containers: [{ name: 'a', image: 'b' }] } } } }, old)).toEqual([]);
    expect(problems(statefulSet, { spec: { ...spec, serviceName: 'other' } }, old)).toEqual([
      "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
    ]);
  });

  it('prints', () => {
    expect(cells(statefulSet, { spec: { ...spec, replicas: 3 }, status: { readyReplicas: 2 } })).toEqual(['web', '2/3', '<unknown>', 'a', 'a']);
  });
});

describe('DaemonSet', () => {
  const spec = { selector, template };
  const rolling = (rollingUpdate: object): object => ({ spec: { ...spec, updateStrategy: { type: 'RollingUpdate', rollingUpdate } } });

  it('checks its strategy and keeps its selector', () => {
    expect(make(daemonSet, { spec }).spec?.updateStrategy).toEqual({ type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } });
    expect(problems(daemonSet, rolling({ maxUnavailable: 1, maxSurge: '10%' }))).toEqual(['spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: "10%": may not be set when maxUnavailable is non-zero']);
    expect(problems(daemonSet, rolling({ maxUnavailable: '0%' }))).toEqual(['spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0']);
    expect(problems(daemonSet, rolling({ maxUnavailable: '101%' }))).toEqual(['spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%']);
    const wider = { matchExpressions: [{ key: 'app', operator: 'Exists' }] };
    expect(problems(daemonSet, { spec: { ...spec, selector: wider } }, make(daemonSet, { spec }))).toEqual([`spec.selector: Invalid value: ${JSON.stringify(wider)}: field is immutable`]);
  });

  it('counts the versions of its template where apps/v1 does', () => {
    const old = make(daemonSet, { spec });
    const annotation = (object: object): unknown => prepareUpdate(daemonSet, object as typeof old, old).metadata?.annotations?.['deprecated.daemonset.template.generation'];
    expect(annotation({ ...old, metadata: { name: 'web', namespace: 'default' } })).toBe('1');
    expect(annotation({ ...old, spec: { ...old.spec, template: { ...template, spec: { ...old.spec?.template.spec, hostNetwork: true } } } })).toBe('2');
  });

  it('prints', () => {
    const status = { desiredNumberScheduled: 3, currentNumberScheduled: 3, numberReady: 2, updatedNumberScheduled: 1, numberAvailable: 2, numberMisscheduled: 0 };
    expect(cells(daemonSet, { spec: { selector, template: { ...template, spec: { ...template.spec, nodeSelector: { disk: 'ssd', b: '1' } } } }, status })).toEqual(['web', 3, 3, 2, 1, 2, 'b=1,disk=ssd', '<unknown>', 'a', 'a', 'app=web']);
  });
});

describe('ControllerRevision', () => {
  it('keeps its data', () => {
    const value = { data: { a: 1 }, revision: 1 };
    expect(problems(controllerRevision, { revision: 1 })).toEqual(['data: Required value: data is mandatory']);
    expect(problems(controllerRevision, { data: { a: 2 }, revision: 2 }, make(controllerRevision, value))).toEqual(['data: Invalid value: {"a":2}: field is immutable']);
    const owner = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'db', uid: '1', controller: true };
    expect(cells(controllerRevision, { ...value, metadata: { name: 'web', ownerReferences: [owner] } })).toEqual(['web', 'statefulset.apps/db', 1, '<unknown>']);
  });
});

describe('ReplicationController', () => {
  it('takes selector and labels from its template', () => {
    expect(make(replicationController, { spec: { template } })).toMatchObject({ metadata: { labels: { app: 'web' } }, spec: { replicas: 1, selector: { app: 'web' } } });
    expect(problems(replicationController, { spec: { selector: { app: 'other' }, template } })).toEqual(['spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`']);
    expect(problems(replicationController, { spec: {} })).toEqual(['spec.selector: Required value', 'spec.template: Required value']);
    expect(cells(replicationController, { spec: { replicas: 2, selector: { app: 'web' }, template }, status: { replicas: 1 } })).toEqual(['web', 2, 1, 0, '<unknown>', 'a', 'a', 'app=web']);
  });
});

it('no workload reports more pods than it has', () => {
  const old = make(replicationController, { spec: { template } });
  expect(problems(replicationController, { status: { replicas: 2, readyReplicas: 3, availableReplicas: 4, fullyLabeledReplicas: -1 } }, old, 'status')).toEqual([
    'status.fullyLabeledReplicas: Invalid value: -1: must be greater than or equal to 0', 'status.readyReplicas: Invalid value: 3: cannot be greater than status.replicas',
    'status.availableReplicas: Invalid value: 4: cannot be greater than status.replicas', 'status.availableReplicas: Invalid value: 4: cannot be greater than readyReplicas',
  ]);
});

describe('PodDisruptionBudget', () => {
  it('has one of two limits', () => {
    expect(problems(podDisruptionBudget, { spec: { minAvailable: 1, maxUnavailable: '20%' } })).toEqual(['spec: Invalid value: {"minAvailable":1,"maxUnavailable":"20%"}: minAvailable and maxUnavailable cannot be both set']);
    expect(problems(podDisruptionBudget, { spec: { minAvailable: '120%', unhealthyPodEvictionPolicy: 'Sometimes' } })).toEqual([
      'spec.minAvailable: Invalid value: "120%": must not be greater than 100%',
      'spec.unhealthyPodEvictionPolicy: Unsupported value: "Sometimes": supported values: "AlwaysAllow", "IfHealthyBudget"',
    ]);
    expect(cells(podDisruptionBudget, { spec: { minAvailable: '50%' }, status: { disruptionsAllowed: 1 } })).toEqual(['web', '50%', 'N/A', 1, '<unknown>']);
  });
});

describe('Job', () => {
  const pods = { spec: { restartPolicy: 'Never', containers: [{ name: 'a', image: 'a' }] } };
  const indexed = { completionMode: 'Indexed', completions: 3, template: pods };
  const made = make(job, { spec: { template: pods } });

  it('selects its own pods', () => {
    const labels = { 'batch.kubernetes.io/job-name': 'web', 'job-name': 'web', 'batch.kubernetes.io/controller-uid': 'uid-1', 'controller-uid': 'uid-1' };
    expect(made.spec).toMatchObject({
      parallelism: 1, completions: 1, backoffLimit: 6, completionMode: 'NonIndexed', suspend: false, podReplacementPolicy: 'TerminatingOrFailed', manualSelector: false,
      selector: { matchLabels: { 'batch.kubernetes.io/controller-uid': 'uid-1' } }, template: { metadata: { labels } },
    });
    expect(problems(job, { spec: { template: { ...pods, metadata: { labels: { 'job-name': 'x' } } } } })).toEqual([
      expect.stringMatching(/^spec.template.metadata.labels\[job-name\]: Invalid value: .*: must be 'web'$/),
    ]);
    expect(problems(job, { spec: { manualSelector: true, selector, template: { ...pods, metadata: { labels: { app: 'web' } } } } })).toEqual([]);
    expect(problems(job, { spec: { manualSelector: true, template: pods } })).toEqual(['spec.selector: Required value']);
  });

  it('checks modes and policies', () => {
    expect(problems(job, { spec: { template: { spec: { ...pods.spec, restartPolicy: 'Always' } } } })).toEqual(['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"']);
    expect(problems(job, { spec: { completionMode: 'Indexed', parallelism: 2, template: pods } })).toEqual(['spec.completions: Required value: when completion mode is Indexed']);
    expect(problems(job, { spec: { backoffLimitPerIndex: 1, template: pods } })).toEqual(['spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode']);
    expect(problems(job, { spec: { ...indexed, successPolicy: { rules: [{ succeededIndexes: '0-1,5' }, {}] } } })).toEqual([
      'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0-1,5": error parsing succeededIndexes: too large index: "5"',
      'spec.successPolicy.rules[1]: Required value: at least one of succeededCount or succeededIndexes must be specified',
    ]);
    expect(problems(job, { spec: { ...indexed, podFailurePolicy: { rules: [{ action: 'FailIndex', onExitCodes: { operator: 'In', values: [3, 0, 3] } }] } } })).toEqual([
      'spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
      'spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator',
      'spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 3',
      'spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0,3]: must be ordered',
    ]);
    expect(problems(job, { metadata: { name: 'x'.repeat(63), namespace: 'default' }, spec: { ...indexed, completions: 1 } })[0]).toMatch(/^metadata.name: .*will not able to create pod with invalid DNS label: x+-0$/);
  });

  it('keeps its template, and its selector', () => {
    const update = (change: object, old = made): string[] => problems(job, { spec: { ...old.spec, ...change } }, old);
    expect(update({ parallelism: 3, suspend: true, activeDeadlineSeconds: 5 })).toEqual([]);
    expect(update({ completions: 2 })).toEqual(['spec.completions: Invalid value: 2: field is immutable']);
    const placed = { ...made.spec?.template, spec: { ...made.spec?.template.spec, nodeSelector: { disk: 'ssd' } } };
    expect(update({ template: placed })).toEqual([expect.stringMatching(/^spec.template: Invalid value: .*: field is immutable$/)]);
    expect(update({ template: placed }, make(job, { spec: { suspend: true, template: pods } }))).toEqual([]);
    const old = make(job, { spec: { ...indexed, parallelism: 3 } });
    expect(update({ completions: 2 }, old)).toEqual(['spec.completions: Invalid value: 2: can only be modified in tandem with spec.parallelism']);
    expect(update({ completions: 2, parallelism: 2 }, old)).toEqual([]);
  });

  it('never un-finishes', () => {
    const done = { ...made, status: { completionTime: '2026-01-01T00:00:00Z', conditions: [{ type: 'Complete', status: 'True' }], succeeded: 1 } };
    expect(problems(job, { status: { succeeded: 1 } }, done, 'status')).toEqual(['status.conditions: Invalid value: null: cannot disable a terminal Complete=True condition']);
  });

  it('prints', () => {
    const status = { startTime: '2026-01-01T00:00:00Z', completionTime: '2026-01-01T00:00:12Z', succeeded: 1, conditions: [{ type: 'Complete', status: 'True' }] };
    expect(cells(job, { spec: { ...made.spec, selector }, status })).toEqual(['web', 'Complete', '1/1', '12s', '<unknown>', 'a', 'a', 'app=web']);
    expect(cells(job, { spec: { parallelism: 3, template: pods }, status: { startTime: '2026-01-01T00:00:00Z', conditions: [{ type: 'Suspended', status: 'True' }] } }).slice(1, 4)).toEqual(['Suspended', '0/1 of 3', '60s']);
  });
});

describe('CronJob', () => {
  const jobTemplate = { spec: { template: { spec: { restartPolicy: 'OnFailure', containers: [{ name: 'a', image: 'a' }] } } } };
  const spec = { schedule: '*/5 * * * *', jobTemplate };

  it('checks schedule, zone and the Jobs it makes', () => {
    expect(problems(cronJob, { spec })).toEqual([]);
    expect(problems(cronJob, { spec: { ...spec, schedule: '* * * *', timeZone: 'Mars' } })).toEqual([
      'spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]',
      'spec.timeZone: Invalid value: "Mars": unknown time zone Mars',
    ]);
    expect(problems(cronJob, { spec: { ...spec, schedule: 'TZ=UTC * * * * *' } })).toEqual(['spec.schedule: Invalid value: "TZ=UTC * * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead']);
    expect(problems(cronJob, { spec: { ...spec, concurrencyPolicy: 'Maybe', jobTemplate: { spec: { ...jobTemplate.spec, selector } } } })).toEqual([
      'spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"',
      'spec.jobTemplate.spec.selector: Invalid value: {"matchLabels":{"app":"web"}}: `selector` will be auto-generated',
    ]);
    expect(problems(cronJob, { metadata: { name: 'x'.repeat(53), namespace: 'default' }, spec })).toEqual([`metadata.name: Invalid value: "${'x'.repeat(53)}": must be no more than 52 characters`]);
  });

  it('prints', () => {
    expect(cells(cronJob, { spec: { ...spec, suspend: false }, status: { active: [{}], lastScheduleTime: '2026-01-01T00:00:30Z' } })).toEqual(['web', '*/5 * * * *', '<none>', 'False', 1, '30s', '<unknown>', 'a', 'a', '<none>']);
  });
});
