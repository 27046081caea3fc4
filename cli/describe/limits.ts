import type { LimitRange, LimitRangeItem, PodDisruptionBudget, ResourceQuota } from '#api/gen/types.ts';
import { printSelector } from '#api/pod-spec/columns.ts';
import { describeName } from './metadata.ts';
import type { Describe } from './types.ts';
import type { DescribeWriter } from './writer.ts';

export const describeQuota: Describe<ResourceQuota> = (writer, { metadata, spec, status }) => {
  describeName(writer, metadata);
  if ((spec?.scopes ?? []).length > 0) writer.row(0, 'Scopes:', [...spec?.scopes ?? []].sort().join(', '));
  describeQuotaRows(writer, 0, { status }, '----');
  return Promise.resolve();
};

/** `rule` is as long as kubectl draws it, which differs from place to place. */
export function describeQuotaRows(writer: DescribeWriter, level: number, { status }: { readonly status?: ResourceQuota['status'] | undefined }, rule: string): void {
  writer.row(level, 'Resource', 'Used', 'Hard').row(level, '--------', rule, rule);
  for (const name of Object.keys(status?.hard ?? {}).sort()) writer.row(level, name, status?.used?.[name] ?? '0', status?.hard?.[name] ?? '0');
}

const limitLists = ['min', 'max', 'defaultRequest', 'default', 'maxLimitRequestRatio'] as const;

export const describeLimitRange: Describe<LimitRange> = (writer, { metadata, spec }) => {
  describeName(writer, metadata);
  describeLimits(writer, spec?.limits ?? []);
  return Promise.resolve();
};

export function describeLimits(writer: DescribeWriter, limits: readonly LimitRangeItem[], indent = ''): void {
  writer.row(0, `${indent}Type`, 'Resource', 'Min', 'Max', 'Default Request', 'Default Limit', 'Max Limit/Request Ratio');
  writer.row(0, `${indent}----`, '--------', '---', '---', '---------------', '-------------', '-----------------------');
  for (const item of limits) {
    const names = new Set(limitLists.flatMap((list) => Object.keys(item[list] ?? {})));
    for (const name of [...names].sort()) writer.row(0, `${indent}${item.type}`, name, ...limitLists.map((list) => item[list]?.[name] ?? '-'));
  }
}

export const describeBudget: Describe<PodDisruptionBudget> = (writer, { metadata, spec, status }) => {
  describeName(writer, metadata);
  if (spec?.minAvailable !== undefined) writer.row(0, 'Min available:', spec.minAvailable);
  else if (spec?.maxUnavailable !== undefined) writer.row(0, 'Max unavailable:', spec.maxUnavailable);
  writer.row(0, 'Selector:', spec?.selector === undefined ? '<unset>' : printSelector(spec.selector)).row(0, 'Status:');
  writer.row(2, 'Allowed disruptions:', status?.disruptionsAllowed ?? 0).row(2, 'Current:', status?.currentHealthy ?? 0);
  writer.row(2, 'Desired:', status?.desiredHealthy ?? 0).row(2, 'Total:', status?.expectedPods ?? 0);
  return Promise.resolve();
};
