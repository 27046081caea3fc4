import type { PodSpec, ResourceRequirements } from '../gen/types.ts';
import { own } from '../meta/json.ts';
import { compareQuantities, isQuantity, parseQuantity } from '../meta/quantity.ts';

const counted = ['cpu', 'memory'];

function amount(list: ResourceRequirements['limits'], name: string): string | undefined {
  const quantity = own(list ?? {}, name);
  return typeof quantity === 'string' && isQuantity(quantity) && parseQuantity(quantity) > 0n ? quantity : undefined;
}

/** Guaranteed: every container has limits of cpu and memory equal to its requests. BestEffort: none has either. */
export function qosClass(spec: PodSpec | undefined): 'BestEffort' | 'Burstable' | 'Guaranteed' {
  const podLevel = spec?.resources !== undefined && Object.keys({ ...spec.resources.requests, ...spec.resources.limits }).length > 0;
  const all = podLevel ? [spec.resources] : [...spec?.containers ?? [], ...spec?.initContainers ?? []].map(({ resources }) => resources);
  const any = all.some((resources) => counted.some((name) => amount(resources?.limits, name) !== undefined || amount(resources?.requests, name) !== undefined));
  if (!any) return 'BestEffort';
  const guaranteed = all.every((resources) => counted.every((name) => {
    const limit = amount(resources?.limits, name);
    return limit !== undefined && compareQuantities(limit, amount(resources?.requests, name) ?? limit) === 0;
  }));
  return guaranteed ? 'Guaranteed' : 'Burstable';
}
