import { describe, expect, it } from 'vitest';
import type { HorizontalPodAutoscaler } from '../../gen/types.ts';
import { cells, make, problems } from '../testing.ts';
import { horizontalPodAutoscalerV1 as v1 } from './autoscaling-v1.ts';
import { fromV1, toV1 } from './conversion.ts';
import { horizontalPodAutoscaler as v2 } from './kind.ts';

const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
const cpu = { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } };
const requests = { type: 'Pods', pods: { metric: { name: 'requests', selector: { matchLabels: { a: 'b' } } }, target: { type: 'AverageValue', averageValue: '100' } } };
const hits = { type: 'Object', object: { describedObject: scaleTargetRef, metric: { name: 'hits' }, target: { type: 'Value', value: '10' } } };
const queue = { type: 'External', external: { metric: { name: 'queue' }, target: { type: 'AverageValue', averageValue: '3' } } };

describe('autoscaling/v2', () => {
  it('has Kubernetes\' defaults', () => {
    expect(make(v2, { spec: { scaleTargetRef, maxReplicas: 3, behavior: { scaleDown: { stabilizationWindowSeconds: 60 } } } }).spec).toMatchObject({
      minReplicas: 1, metrics: [{ resource: { name: 'cpu', target: { averageUtilization: 80 } } }],
      behavior: { scaleUp: { stabilizationWindowSeconds: 0, selectPolicy: 'Max', policies: [{ type: 'Pods', value: 4, periodSeconds: 15 }, { type: 'Percent' }] }, scaleDown: { stabilizationWindowSeconds: 60, policies: [{ type: 'Percent', value: 100 }] } },
    });
  });

  it('checks bounds, targets and metrics', () => {
    expect(problems(v2, { spec: { scaleTargetRef: { kind: 'Deployment' }, minReplicas: 5, maxReplicas: 3 } })).toEqual(['spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`', 'spec.scaleTargetRef.name: Required value']);
    expect(problems(v2, { spec: { scaleTargetRef, maxReplicas: 3, metrics: [{ type: 'Resource', pods: requests.pods }, { type: 'Guess' }, { ...cpu, resource: { name: 'cpu', target: { type: 'Utilization' } } }] } })).toEqual([
      'spec.metrics[0].resource: Required value: must populate information for the given metric source',
      'spec.metrics[1].type: Unsupported value: "Guess": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"',
      'spec.metrics[2].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization',
    ]);
    expect(problems(v2, { spec: { scaleTargetRef, maxReplicas: 3, behavior: { scaleUp: { stabilizationWindowSeconds: 4000, policies: [{ type: 'Pods', value: 0, periodSeconds: 1801 }] } } } })).toEqual([
      'spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to 3600',
      'spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero',
      'spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800',
    ]);
  });

  it('prints what it measures', () => {
    const status = { currentReplicas: 2, desiredReplicas: 2, currentMetrics: [{ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: 10, averageValue: '20m' } } }] };
    const object = { spec: { scaleTargetRef, minReplicas: 1, maxReplicas: 5, metrics: [cpu] }, status };
    expect(cells(v2, object)).toEqual(['web', 'Deployment/web', 'cpu: 10%/50%', '1', 5, 2, '<unknown>']);
    expect(cells(v2, { ...object, spec: { ...object.spec, metrics: [cpu, queue, hits] } })[2]).toBe('cpu: 10%/50%, <unknown>/3 (avg) + 1 more...');
  });
});

describe('autoscaling/v1', () => {
  const stored: HorizontalPodAutoscaler = {
    apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', metadata: { name: 'web', annotations: { mine: '1' } },
    spec: { scaleTargetRef, minReplicas: 1, maxReplicas: 5, metrics: [cpu, requests, hits, queue], behavior: { scaleUp: { selectPolicy: 'Min', policies: [{ type: 'Pods', value: 1, periodSeconds: 2 }] } } },
    status: { currentReplicas: 1, desiredReplicas: 2, currentMetrics: [{ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: 10, averageValue: '20m' } } }], conditions: [{ type: 'AbleToScale', status: 'True' }] },
  };

  it('says the rest by annotations, and loses nothing on the way there and back', () => {
    const shown = toV1(stored);
    expect(shown).toMatchObject({ apiVersion: 'autoscaling/v1', spec: { targetCPUUtilizationPercentage: 50 }, status: { currentCPUUtilizationPercentage: 10 } });
    expect(shown.metadata?.annotations).toMatchObject({
      mine: '1', 'autoscaling.alpha.kubernetes.io/behavior': '{"ScaleUp":{"SelectPolicy":"Min","Policies":[{"Type":"Pods","Value":1,"PeriodSeconds":2}]}}',
      'autoscaling.alpha.kubernetes.io/current-metrics': '[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":10,"currentAverageValue":"20m"}}]',
    });
    expect(fromV1(shown)).toEqual(stored);
  });

  it('has its own default, and the rules of v2', () => {
    expect(make(v1, { spec: { scaleTargetRef, maxReplicas: 3 } }).spec).toMatchObject({ minReplicas: 1, targetCPUUtilizationPercentage: 80 });
    expect(problems(v1, { spec: { scaleTargetRef, maxReplicas: 0 } })).toContain('spec.maxReplicas: Invalid value: 0: must be greater than 0');
    expect(problems(v1, { spec: { scaleTargetRef, maxReplicas: 3, targetCPUUtilizationPercentage: 0 } })).toEqual(['spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0']);
    expect(cells(v1, toV1(stored))[2]).toBe('cpu: 10%/50%, <unknown>/100 + 2 more...');
  });

  it('lives with annotations that are not JSON', () => {
    expect(fromV1({ metadata: { annotations: { 'autoscaling.alpha.kubernetes.io/metrics': '{' } }, spec: { scaleTargetRef, maxReplicas: 3 } }).spec).toEqual({ scaleTargetRef, maxReplicas: 3 });
  });
});
