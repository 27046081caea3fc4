import type { Node } from '../../gen/types.ts';
import { ageColumn, column, nameColumn, wideColumn } from '../../meta/columns.ts';
import { getCondition } from '../../meta/conditions.ts';
import { equal } from '../../meta/equal.ts';
import { duplicate, forbidden, invalid, required, type FieldError } from '../../meta/field-error.ts';
import { cidrProblem } from '../../meta/ip.ts';
import { labelValue, qualifiedName } from '../../meta/names.ts';
import { isQuantity, parseQuantity } from '../../meta/quantity.ts';
import { named, supported } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { nodes } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

const taintEffects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

function setDefaults({ spec, status }: Node): void {
  // The single field and the list name the same addresses.
  if (spec?.podCIDR && (spec.podCIDRs ?? []).length === 0) spec.podCIDRs = [spec.podCIDR];
  if (spec !== undefined && !spec.podCIDR && spec.podCIDRs?.[0]) spec.podCIDR = spec.podCIDRs[0];
  if (status?.capacity !== undefined) status.allocatable ??= { ...status.capacity };
}

function validateTaints({ spec }: Node): FieldError[] {
  const seen = new Set<string>();
  return (spec?.taints ?? []).flatMap((taint, index) => {
    // Kubernetes sees them here.
    const path = `metadata.taints[${index}]`;
    const key = `${taint.key}:${taint.effect}`;
    const errors = [
      ...named(`${path}.key`, taint.key ?? '', qualifiedName),
      ...named(`${path}.value`, taint.value ?? '', labelValue),
      ...supported(`${path}.effect`, taint.effect, taintEffects),
    ];
    if (seen.has(key)) errors.push({ ...duplicate(path, taint), message: `${duplicate(path, taint).message}: taints must be unique by key and effect pair` });
    seen.add(key);
    return errors;
  });
}

function validateStatus({ status }: Node): FieldError[] {
  const errors: FieldError[] = [];
  for (const list of ['capacity', 'allocatable'] as const) {
    for (const [name, quantity] of Object.entries(status?.[list] ?? {})) {
      errors.push(...named(`status.${list}.${name}`, name, qualifiedName));
      if (!isQuantity(quantity)) errors.push(invalid(`status.${list}.${name}`, quantity, 'must be a quantity'));
      else if (parseQuantity(quantity) < 0n) errors.push(invalid(`status.${list}.${name}`, quantity, 'must be greater than or equal to 0'));
    }
  }
  const addresses = new Set<string>();
  for (const [index, address] of (status?.addresses ?? []).entries()) {
    const key = `${address.type}/${address.address}`;
    if (addresses.has(key)) errors.push(duplicate(`status.addresses[${index}]`, address));
    addresses.add(key);
  }
  for (const [index, condition] of (status?.conditions ?? []).entries()) if (!condition.type) errors.push(required(`status.conditions[${index}].type`));
  return errors;
}

function validate(object: Node, old?: Node): FieldError[] {
  const { spec } = object;
  const errors = [...validateTaints(object), ...(old === undefined ? validateStatus(object) : [])];
  for (const [index, cidr] of (spec?.podCIDRs ?? []).entries()) errors.push(...named(`spec.podCIDRs[${index}]`, cidr, cidrProblem));
  if (spec?.podCIDR && spec.podCIDR !== spec.podCIDRs?.[0]) errors.push(invalid('spec.podCIDRs[0]', spec.podCIDRs?.[0], 'must match podCIDR'));
  if (old === undefined) return errors;
  // Beyond Kubernetes: a cluster that gets a second family gives its nodes a range of it.
  const had = old.spec?.podCIDRs ?? [];
  const widened = had.length === 1 && spec?.podCIDRs?.length === 2 && spec.podCIDRs[0] === had[0] && spec.podCIDRs[1]?.includes(':') !== had[0]?.includes(':');
  if (had.length > 0 && !widened && !equal(spec?.podCIDRs, had)) {
    errors.push(forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'));
  }
  if (old.spec?.providerID && spec?.providerID !== old.spec.providerID) {
    errors.push(forbidden('spec.providerID', 'node updates may not change providerID except from "" to valid'));
  }
  return errors;
}

function status({ spec, status: current }: Node): string {
  const ready = getCondition(current?.conditions, 'Ready');
  const first = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady';
  return spec?.unschedulable === true ? `${first},SchedulingDisabled` : first;
}

function roles({ metadata }: Node): string {
  const found = new Set<string>();
  for (const [key, value] of Object.entries(metadata?.labels ?? {})) {
    if (key.startsWith('node-role.kubernetes.io/') && key.length > 24) found.add(key.slice(24));
    else if (key === 'kubernetes.io/role' && value !== '') found.add(value);
  }
  return found.size === 0 ? '<none>' : [...found].sort().join(',');
}

function address({ status: current }: Node, type: string): string {
  return current?.addresses?.find((item) => item.type === type)?.address || '<none>';
}

export const node: KindDefinition<Node> = {
  resource: nodes,
  singular: 'node',
  shortNames: ['no'],
  categories: [],
  schema: () => schemaNamed('Node'),
  storage: 'durable',
  status: true,
  generation: false,
  nameRule: 'dns-subdomain',
  setDefaults,
  // A node registers together with its status, so the status stays.
  prepareForCreate: () => {},
  validate,
  validateStatus,
  warnings: ({ spec }) => [
    ...(spec?.configSource === undefined ? [] : ['spec.configSource: the feature is removed']),
    ...(spec?.externalID ? ['spec.externalID: this field is deprecated, and is unused by Kubernetes'] : []),
  ],
  selectableFields: { 'spec.unschedulable': ({ spec }) => String(spec?.unschedulable === true) },
  columns: [
    nameColumn(),
    column('Status', 'Ready, NotReady or Unknown, and whether new pods are kept away', status),
    column('Roles', 'Roles by label', roles),
    ageColumn(),
    column('Version', 'Version of the agent', (object) => object.status?.nodeInfo?.kubeletVersion ?? ''),
    wideColumn('Internal-IP', 'Address inside the cluster', (object) => address(object, 'InternalIP')),
    wideColumn('External-IP', 'Address from outside', (object) => address(object, 'ExternalIP')),
    wideColumn('OS-Image', 'Operating system', (object) => object.status?.nodeInfo?.osImage || '<unknown>'),
    wideColumn('Kernel-Version', 'Kernel', (object) => object.status?.nodeInfo?.kernelVersion || '<unknown>'),
    wideColumn('Container-Runtime', 'Container runtime and its version', (object) => object.status?.nodeInfo?.containerRuntimeVersion || '<unknown>'),
  ],
};
