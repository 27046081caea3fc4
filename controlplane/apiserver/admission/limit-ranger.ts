import type { Container, LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod, ResourceRequirements } from '#api/gen/types.ts';
import { limitRanges, qualifiedName } from '#api/kinds/resources.ts';
import { own } from '#api/meta/json.ts';
import { formatQuantity, parseQuantity } from '#api/meta/quantity.ts';
import { podTotals, type Totals } from '#api/pod-spec/totals.ts';
import { forbidden } from '../api-errors.ts';
import type { StoredObjects } from './stored-objects.ts';
import type { AdmissionPlugin, AdmissionRequest } from './types.ts';

type Quantities = Readonly<Record<string, string>>;
const annotation = 'kubernetes.io/limit-ranger';

/** LimitRange: what containers get that say nothing, and how little or much containers, pods and claims may ask for. */
export function limitRanger(objects: StoredObjects): AdmissionPlugin {
  const ranges = async ({ operation, kind, subresource, namespace }: AdmissionRequest): Promise<readonly LimitRange[]> => {
    const name = qualifiedName(kind.resource);
    // Containers of a pod do not come and go, and what they ask for changes by `resize` only.
    const relevant = name === 'pods' ? (operation === 'create' && subresource === undefined) || (operation === 'update' && String(subresource) === 'resize') : name === 'persistentvolumeclaims' && operation !== 'delete' && subresource === undefined;
    return relevant && objects.any(limitRanges, namespace) ? objects.list(limitRanges, namespace) : [];
  };
  return {
    name: 'LimitRanger',
    async admit(request) {
      if (qualifiedName(request.kind.resource) !== 'pods' || request.operation !== 'create') return;
      for (const range of await ranges(request)) setDefaults(request.object as Pod, range);
    },
    async validate(request) {
      for (const range of await ranges(request)) {
        const problems = (range.spec?.limits ?? []).flatMap((item) => check(request, item));
        if (problems.length > 0) throw forbidden(request.kind.resource, request.name, problems.length === 1 ? problems[0] ?? '' : `[${[...new Set(problems)].join(', ')}]`);
      }
    },
  };
}

function setDefaults(pod: Pod, range: LimitRange): void {
  const items = (range.spec?.limits ?? []).filter(({ type }) => type === 'Container');
  const limits = Object.assign({}, ...items.map((item) => item.default)) as Quantities;
  const requests = Object.assign({}, ...items.map((item) => item.defaultRequest)) as Quantities;
  const told: string[] = [];
  for (const container of pod.spec?.containers ?? []) told.push(...fill(container, 'container', requests, limits));
  for (const container of pod.spec?.initContainers ?? []) told.push(...fill(container, 'init container', requests, limits));
  if (told.length > 0) (pod.metadata ??= {}).annotations = { ...pod.metadata.annotations, [annotation]: `LimitRanger plugin set: ${told.join('; ')}` };
}

function fill(container: Container, word: string, requests: Quantities, limits: Quantities): string[] {
  const resources: ResourceRequirements = (container.resources ??= {});
  const missing = (list: 'requests' | 'limits', defaults: Quantities): string[] => {
    const names = Object.keys(defaults).filter((name) => !Object.hasOwn(resources[list] ?? {}, name)).sort();
    if (names.length > 0) resources[list] = { ...resources[list], ...Object.fromEntries(names.map((name) => [name, defaults[name] ?? '0'])) };
    return names;
  };
  const [setRequests, setLimits] = [missing('requests', requests), missing('limits', limits)];
  return [
    ...(setRequests.length > 0 ? [`${setRequests.join(', ')} request for ${word} ${container.name}`] : []),
    ...(setLimits.length > 0 ? [`${setLimits.join(', ')} limit for ${word} ${container.name}`] : []),
  ];
}

function check({ kind, object }: AdmissionRequest, item: LimitRangeItem): string[] {
  if (qualifiedName(kind.resource) === 'persistentvolumeclaims') {
    if (item.type !== 'PersistentVolumeClaim') return [];
    const requests = (object as PersistentVolumeClaim).spec?.resources?.requests ?? {};
    return [...each(item.min, (name, bound) => minimum(item.type, name, bound, own(requests, name), undefined)), ...each(item.max, (name, bound) => maximumRequest(item.type, name, bound, own(requests, name)))];
  }
  const spec = (object as Pod).spec;
  if (!spec) return [];
  if (item.type === 'Pod') return checkAmounts(item, printed(podTotals(spec, 'requests')), printed(podTotals(spec, 'limits')));
  if (item.type !== 'Container') return [];
  return [...spec.containers, ...spec.initContainers ?? []].flatMap(({ resources }) => checkAmounts(item, resources?.requests ?? {}, resources?.limits ?? {}));
}

function printed(totals: Totals): Quantities {
  return Object.fromEntries([...totals].map(([name, nanos]) => [name, formatQuantity(nanos, name === 'cpu' ? 'DecimalSI' : 'BinarySI')]));
}

function checkAmounts(item: LimitRangeItem, requests: Quantities, limits: Quantities): string[] {
  return [
    ...each(item.min, (name, bound) => minimum(item.type, name, bound, own(requests, name), own(limits, name))),
    ...each(item.max, (name, bound) => maximum(item.type, name, bound, own(requests, name), own(limits, name))),
    ...each(item.maxLimitRequestRatio, (name, bound) => ratio(item.type, name, bound, own(requests, name), own(limits, name))),
  ];
}

function each(bounds: Quantities | undefined, rule: (name: string, bound: string) => string | undefined): string[] {
  return Object.entries(bounds ?? {}).flatMap(([name, bound]) => rule(name, bound) ?? []);
}

const nanos = (value: unknown): bigint | undefined => (typeof value === 'string' ? parseQuantity(value) : undefined);

function minimum(type: string, name: string, bound: string, request: unknown, limit: unknown): string | undefined {
  const [least, asked, most] = [parseQuantity(bound), nanos(request), nanos(limit)];
  const start = `minimum ${name} usage per ${type} is ${bound}`;
  if (asked === undefined) return `${start}.  No request is specified`;
  if (asked < least) return `${start}, but request is ${String(request)}`;
  return most !== undefined && most < least ? `${start}, but limit is ${String(limit)}` : undefined;
}

function maximumRequest(type: string, name: string, bound: string, request: unknown): string | undefined {
  const asked = nanos(request);
  const start = `maximum ${name} usage per ${type} is ${bound}`;
  if (asked === undefined) return `${start}.  No request is specified`;
  return asked > parseQuantity(bound) ? `${start}, but request is ${String(request)}` : undefined;
}

function maximum(type: string, name: string, bound: string, request: unknown, limit: unknown): string | undefined {
  const [highest, asked, most] = [parseQuantity(bound), nanos(request), nanos(limit)];
  const start = `maximum ${name} usage per ${type} is ${bound}`;
  if (most === undefined) return `${start}.  No limit is specified`;
  if (most > highest) return `${start}, but limit is ${String(limit)}`;
  return asked !== undefined && asked > highest ? `${start}, but request is ${String(request)}` : undefined;
}

function ratio(type: string, name: string, bound: string, request: unknown, limit: unknown): string | undefined {
  const [asked, most] = [nanos(request), nanos(limit)];
  const start = `${name} max limit to request ratio per ${type} is ${bound}`;
  if (!asked) return `${start}, but no request is specified or request is 0`;
  if (!most) return `${start}, but no limit is specified or limit is 0`;
  const found = Number(most) / Number(asked);
  return found > Number(parseQuantity(bound)) / 1e9 ? `${start}, but provided ratio is ${found.toFixed(6)}` : undefined;
}
