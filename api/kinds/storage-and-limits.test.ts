import { describe, expect, it } from 'vitest';
import { limitRange } from './limit-range/kind.ts';
import { persistentVolumeClaim } from './persistent-volume-claim/kind.ts';
import { persistentVolume } from './persistent-volume/kind.ts';
import { podTemplate } from './pod-template/kind.ts';
import { resourceQuota } from './resource-quota/kind.ts';
import { cells, make, problems, template } from './testing.ts';

describe('PersistentVolumeClaim', () => {
  const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
  const made = make(persistentVolumeClaim, { spec });
  const bound = { ...made, spec: { ...made.spec, volumeName: 'v' }, status: { phase: 'Bound', capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce', 'ReadOnlyMany'] } };

  it('checks what it asks for', () => {
    expect(made).toMatchObject({ spec: { volumeMode: 'Filesystem' }, status: { phase: 'Pending' } });
    expect(problems(persistentVolumeClaim, { spec: {} })).toEqual(['spec.accessModes: Required value: at least 1 access mode is required', 'spec.resources[storage]: Required value']);
    expect(problems(persistentVolumeClaim, { spec: { ...spec, accessModes: ['ReadWriteOnce', 'ReadWriteOncePod', 'Any'], volumeMode: 'Tape' } })).toEqual([
      'spec.accessModes: Unsupported value: "Any": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
      'spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes',
      'spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"',
    ]);
    expect(problems(persistentVolumeClaim, { spec: { ...spec, dataSourceRef: { kind: 'Pod', name: 'x' } } })[0]).toBe('spec.dataSource: Invalid value: "Pod": must be \'PersistentVolumeClaim\' when referencing the default apiGroup');
    const source = { kind: 'PersistentVolumeClaim', name: 'other' };
    expect(make(persistentVolumeClaim, { spec: { ...spec, dataSource: source } }).spec?.dataSourceRef).toEqual(source);
    expect(make(persistentVolumeClaim, { spec: { ...spec, dataSource: { kind: 'Pod', name: 'x' } } }).spec?.dataSource).toBeUndefined();
  });

  it('grows once it is bound, and changes in nothing else', () => {
    const update = (change: object, old: typeof made = bound): string[] => problems(persistentVolumeClaim, { spec: { ...old.spec, ...change } }, old);
    const immutable = 'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';
    expect(update({ resources: { requests: { storage: '2Gi' } }, volumeAttributesClassName: 'fast' })).toEqual([]);
    expect(update({ resources: { requests: { storage: '1Mi' } } })).toEqual(['spec.resources.requests.storage: Forbidden: field can not be less than status.capacity']);
    expect(update({ accessModes: ['ReadOnlyMany'] })).toEqual([immutable]);
    expect(update({ resources: { requests: { storage: '2Gi' } } }, made)).toEqual([immutable]);
    expect(update({ volumeName: 'v', storageClassName: 'standard' }, made)).toEqual([]);
    expect(update({ volumeName: 'w' })).toEqual([immutable]);
  });

  it('prints', () => {
    expect(cells(persistentVolumeClaim, bound)).toEqual(['web', 'Bound', 'v', '1Gi', 'RWO,ROX', '', '<unset>', '<unknown>', 'Filesystem']);
    expect(cells(persistentVolumeClaim, made).slice(0, 5)).toEqual(['web', 'Pending', '', '', '']);
  });
});

describe('PersistentVolume', () => {
  const spec = { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteMany'], nfs: { server: 's', path: '/p' } };

  it('is storage of one type, and stays where it is', () => {
    const made = make(persistentVolume, { spec });
    expect(made).toMatchObject({ spec: { persistentVolumeReclaimPolicy: 'Retain', volumeMode: 'Filesystem' }, status: { phase: 'Pending' } });
    expect(problems(persistentVolume, { spec: { accessModes: ['ReadWriteMany'], capacity: { cpu: '1' } } })).toEqual(['spec.capacity: Unsupported value: {"cpu":"1"}: supported values: "storage"', 'spec: Required value: must specify a volume type']);
    expect(problems(persistentVolume, { spec: { ...spec, nfs: undefined, local: { path: '/p' } } })).toEqual(['spec.nodeAffinity: Required value: Local volume requires node affinity']);
    expect(problems(persistentVolume, { spec: { ...spec, hostPath: { path: '/' } } })).toEqual(['spec.hostPath: Forbidden: may not specify more than 1 volume type']);
    expect(problems(persistentVolume, { spec: { ...spec, nfs: { server: 's', path: '/q' }, claimRef: { name: 'c', namespace: 'n' } } }, made)).toEqual(['spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation']);
    expect(problems(persistentVolume, { spec: { ...spec, claimRef: { name: 'c', namespace: 'n' } } }, made)).toEqual([]);
  });

  it('prints', () => {
    expect(cells(persistentVolume, { spec: { ...spec, storageClassName: 'slow', persistentVolumeReclaimPolicy: 'Delete', claimRef: { namespace: 'n', name: 'c' } }, status: { phase: 'Released' } }))
      .toEqual(['web', '1Gi', 'RWX', 'Delete', 'Released', 'n/c', 'slow', '<unset>', '', '<unknown>', '<unset>']);
  });
});

it('a PodTemplate has the defaults and rules of pods', () => {
  expect(make(podTemplate, { template }).template?.spec?.restartPolicy).toBe('Always');
  expect(problems(podTemplate, { template: { spec: { containers: [{ name: 'A' }] } } })).toEqual([expect.stringMatching(/^template.spec.containers\[0\].name: Invalid value/), 'template.spec.containers[0].image: Required value']);
  expect(cells(podTemplate, { template })).toEqual(['web', 'a', 'a', 'app=web']);
});

describe('ResourceQuota', () => {
  it('checks names, amounts and scopes', () => {
    expect(problems(resourceQuota, { spec: { hard: { widgets: '1', pods: '1.5', 'count/widgets.example.com': '3' } } })).toEqual([
      'spec.hard[widgets]: Invalid value: "widgets": must be a standard resource for quota', expect.stringMatching(/^spec.hard\[pods\]: Invalid value: "1500m": must be an integer$/),
    ]);
    expect(problems(resourceQuota, { spec: { hard: { services: '1' }, scopes: ['BestEffort', 'NotBestEffort'] } })).toEqual([
      'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource',
      'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource',
      'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes',
    ]);
    expect(problems(resourceQuota, { spec: { scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'In' }] } } })).toEqual(["spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"]);
    expect(problems(resourceQuota, { spec: { scopes: ['BestEffort'] } }, make(resourceQuota, { spec: {} }))).toEqual(['spec.scopes: Invalid value: ["BestEffort"]: field is immutable']);
  });

  it('prints what is used', () => {
    expect(cells(resourceQuota, { status: { hard: { 'requests.cpu': '2', pods: '10', 'limits.cpu': '4' }, used: { pods: '3', 'requests.cpu': '500m' } } }))
      .toEqual(['web', 'pods: 3/10, requests.cpu: 500m/2', 'limits.cpu: 0/4', '<unknown>']);
  });
});

describe('LimitRange', () => {
  const range = (item: object): object => ({ spec: { limits: [item] } });

  it('derives defaults of containers', () => {
    expect(make(limitRange, range({ type: 'Container', max: { cpu: '2', memory: '1Gi' }, min: { cpu: '1' }, defaultRequest: { memory: '1Mi' } })).spec?.limits[0])
      .toMatchObject({ default: { cpu: '2', memory: '1Gi' }, defaultRequest: { cpu: '2', memory: '1Mi' } });
    expect(make(limitRange, range({ type: 'Pod', max: { cpu: '2' } })).spec?.limits[0]).toEqual({ type: 'Pod', max: { cpu: '2' } });
  });

  it('keeps amounts in order', () => {
    expect(problems(limitRange, range({ type: 'Container', min: { cpu: '2' }, max: { cpu: '1' } }))).toContain('spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1');
    expect(problems(limitRange, range({ type: 'Pod', default: { cpu: '1' } }))).toEqual(["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"]);
    expect(problems(limitRange, range({ type: 'Pod', min: { cpu: '1' }, max: { cpu: '2' }, maxLimitRequestRatio: { cpu: '3' } }))).toEqual(['spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000']);
    expect(problems(limitRange, range({ type: 'PersistentVolumeClaim' }))).toEqual(['spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided']);
    expect(problems(limitRange, range({ type: 'Other' }))).toEqual(['spec.limits[0].type: Invalid value: "Other": must be a standard limit type or fully qualified']);
  });
});
