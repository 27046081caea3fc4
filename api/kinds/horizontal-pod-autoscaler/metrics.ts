import type { LabelSelector, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus } from '../../gen/types.ts';
import { isRecord, type JsonRecord } from '../../meta/json.ts';

/** Metrics in the form of autoscaling/v1's annotations, and back. */

function text(record: JsonRecord, key: string): string {
  const value = record[key];
  return typeof value === 'string' ? value : '';
}

function optionalText(record: JsonRecord, key: string): string | undefined {
  return text(record, key) || undefined;
}

function optionalNumber(record: JsonRecord, key: string): number | undefined {
  const value = record[key];
  return typeof value === 'number' ? value : undefined;
}

function part(record: JsonRecord, key: string): JsonRecord {
  const value = record[key];
  return isRecord(value) ? value : {};
}

/** Without what is not there. */
function defined<T extends object>(record: T): T {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as T;
}

function identifier(source: JsonRecord, selectorKey: string): { name: string; selector?: LabelSelector } {
  const selector = source[selectorKey];
  return { name: text(source, 'metricName'), ...(isRecord(selector) && { selector: selector as LabelSelector }) };
}

function reference(source: JsonRecord): { kind: string; name: string; apiVersion?: string | undefined } {
  const target = part(source, 'target');
  return defined({ kind: text(target, 'kind'), name: text(target, 'name'), apiVersion: optionalText(target, 'apiVersion') });
}

export function metricToV1({ containerResource, external, object, pods, resource, type }: MetricSpec): JsonRecord {
  const share = ({ target }: { target: MetricTarget }): JsonRecord => defined({ targetAverageUtilization: target?.averageUtilization, targetAverageValue: target?.averageValue });
  return defined({
    type,
    resource: resource && { name: resource.name, ...share(resource) },
    containerResource: containerResource && { name: containerResource.name, ...share(containerResource), container: containerResource.container },
    pods: pods && defined({ metricName: pods.metric?.name, targetAverageValue: pods.target?.averageValue ?? '0', selector: pods.metric?.selector }),
    object: object && defined({ target: object.describedObject, metricName: object.metric?.name, targetValue: object.target?.value ?? '0', selector: object.metric?.selector, averageValue: object.target?.averageValue }),
    external: external && defined({ metricName: external.metric?.name, metricSelector: external.metric?.selector, targetValue: external.target?.value, targetAverageValue: external.target?.averageValue }),
  });
}

export function metricFromV1(record: JsonRecord): MetricSpec {
  const share = (source: JsonRecord): MetricTarget => {
    const averageUtilization = optionalNumber(source, 'targetAverageUtilization');
    return defined({ type: averageUtilization === undefined ? 'AverageValue' : 'Utilization', averageUtilization, averageValue: optionalText(source, 'targetAverageValue') });
  };
  /** An average counts before a value, which cannot be left out. */
  const amount = (source: JsonRecord, average: string): MetricTarget => {
    const averageValue = optionalText(source, average);
    const value = optionalText(source, 'targetValue');
    return averageValue === undefined ? defined({ type: 'Value', value }) : defined({ type: 'AverageValue', averageValue, value: value === '0' ? undefined : value });
  };
  const of = <T>(key: string, make: (source: JsonRecord) => T): T | undefined => (isRecord(record[key]) ? make(part(record, key)) : undefined);
  return defined({
    type: text(record, 'type'),
    resource: of('resource', (source) => ({ name: text(source, 'name'), target: share(source) })),
    containerResource: of('containerResource', (source) => ({ name: text(source, 'name'), container: text(source, 'container'), target: share(source) })),
    pods: of('pods', (source) => ({ metric: identifier(source, 'selector'), target: { type: 'AverageValue', averageValue: text(source, 'targetAverageValue') || '0' } })),
    object: of('object', (source) => ({ describedObject: reference(source), metric: identifier(source, 'selector'), target: amount(source, 'averageValue') })),
    external: of('external', (source) => ({ metric: identifier(source, 'metricSelector'), target: amount(source, 'targetAverageValue') })),
  });
}

export function metricStatusToV1({ containerResource, external, object, pods, resource, type }: MetricStatus): JsonRecord {
  const share = ({ current }: { current: MetricValueStatus }): JsonRecord => defined({ currentAverageUtilization: current?.averageUtilization, currentAverageValue: current?.averageValue ?? '0' });
  return defined({
    type,
    resource: resource && { name: resource.name, ...share(resource) },
    containerResource: containerResource && { name: containerResource.name, ...share(containerResource), container: containerResource.container },
    pods: pods && defined({ metricName: pods.metric?.name, currentAverageValue: pods.current?.averageValue ?? '0', selector: pods.metric?.selector }),
    object: object && defined({ target: object.describedObject, metricName: object.metric?.name, currentValue: object.current?.value ?? '0', selector: object.metric?.selector, averageValue: object.current?.averageValue }),
    external: external && defined({ metricName: external.metric?.name, metricSelector: external.metric?.selector, currentValue: external.current?.value ?? '0', currentAverageValue: external.current?.averageValue }),
  });
}

export function metricStatusFromV1(record: JsonRecord): MetricStatus {
  const current = (source: JsonRecord, average: string): MetricValueStatus => {
    const value = optionalText(source, 'currentValue');
    const averageValue = optionalText(source, average);
    const averageUtilization = optionalNumber(source, 'currentAverageUtilization');
    const beside = averageValue !== undefined || averageUtilization !== undefined;
    return defined({ averageUtilization, averageValue: averageValue === '0' && averageUtilization !== undefined ? undefined : averageValue, value: value === '0' && beside ? undefined : value });
  };
  const of = <T>(key: string, make: (source: JsonRecord) => T): T | undefined => (isRecord(record[key]) ? make(part(record, key)) : undefined);
  return defined({
    type: text(record, 'type'),
    resource: of('resource', (source) => ({ name: text(source, 'name'), current: current(source, 'currentAverageValue') })),
    containerResource: of('containerResource', (source) => ({ name: text(source, 'name'), container: text(source, 'container'), current: current(source, 'currentAverageValue') })),
    pods: of('pods', (source) => ({ metric: identifier(source, 'selector'), current: current(source, 'currentAverageValue') })),
    object: of('object', (source) => ({ describedObject: reference(source), metric: identifier(source, 'selector'), current: current(source, 'averageValue') })),
    external: of('external', (source) => ({ metric: identifier(source, 'metricSelector'), current: current(source, 'currentAverageValue') })),
  });
}
