import type { Device, DeviceAttribute, ResourceSlice, ResourceSliceSpec } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { invalid, required, tooLong, tooMany, type FieldError } from '../../meta/field-error.ts';
import { dns1123Label, dns1123Subdomain } from '../../meta/names.ts';
import { immutable, named, requiredNamed } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { attributeErrors, driverProblem, poolProblem, repeated } from '../device-rules.ts';
import { resourceSlices } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

const maxDevices = 128;
const maxAttributes = 32;
const maxValueLength = 64;
const semver = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/;

function validate({ spec }: ResourceSlice, old?: ResourceSlice): FieldError[] {
  if (spec === undefined) return [required('spec')];
  const { driver, pool, nodeName, devices = [] } = spec;
  const errors = [
    ...requiredNamed('spec.driver', driver, driverProblem), ...validatePool(pool), ...validatePlace(spec, 'spec', ['nodeName', 'nodeSelector', 'allNodes', 'perDeviceNodeSelection']),
    ...(nodeName ? named('spec.nodeName', nodeName, dns1123Subdomain) : []),
    ...(devices.length > maxDevices ? [tooMany('spec.devices', devices.length, maxDevices)] : []),
    ...devices.slice(0, maxDevices).flatMap((device, i) => validateDevice(device, spec, `spec.devices[${i}]`)), ...repeated(devices, 'spec.devices'),
  ];
  if (old?.spec === undefined) return errors;
  return [...errors, ...immutable('spec.pool.name', pool?.name, old.spec.pool?.name), ...immutable('spec.driver', driver, old.spec.driver), ...immutable('spec.nodeName', nodeName, old.spec.nodeName)];
}

function validatePool(pool: ResourceSliceSpec['pool'] | undefined): FieldError[] {
  const { name = '', resourceSliceCount = 0, generation = 0 } = pool ?? {};
  return [
    ...requiredNamed('spec.pool.name', name, poolProblem),
    ...(resourceSliceCount > 0 ? [] : [invalid('spec.pool.resourceSliceCount', resourceSliceCount, 'must be greater than zero')]),
    ...(generation >= 0 ? [] : [invalid('spec.pool.generation', generation, 'must be greater than or equal to zero')]),
  ];
}

type Place = 'nodeName' | 'nodeSelector' | 'allNodes' | 'perDeviceNodeSelection';

/** Devices are somewhere, and that is said once. */
function validatePlace(where: Partial<Record<Place, unknown>>, field: string, names: readonly Place[]): FieldError[] {
  const said = names.filter((name) => where[name] !== undefined && where[name] !== '' && where[name] !== false);
  const all = names.map((name) => `\`${name}\``).join(', ');
  if (said.length === 0) return [required(field, `exactly one of ${all} is required`)];
  return said.length === 1 ? [] : [invalid(field, `{${said.map((name) => `\`${name}\``).join(', ')}}`, `exactly one of ${all} is required, but multiple fields are set`)];
}

function validateDevice(device: Device, { perDeviceNodeSelection }: ResourceSliceSpec, field: string): FieldError[] {
  const { name, attributes = {}, capacity = {} } = device;
  const count = Object.keys(attributes).length + Object.keys(capacity).length;
  const place = { nodeName: device.nodeName, nodeSelector: device.nodeSelector, allNodes: device.allNodes };
  return [
    ...requiredNamed(`${field}.name`, name, dns1123Label),
    ...(count > maxAttributes ? [invalid(field, count, `the total number of attributes and capacities must not exceed ${maxAttributes}`)] : []),
    ...Object.entries(attributes).flatMap(([key, value]) => [...attributeErrors(key, `${field}.attributes`), ...validateAttribute(value, `${field}.attributes[${key}]`)]),
    ...Object.keys(capacity).flatMap((key) => attributeErrors(key, `${field}.capacity`)),
    ...(perDeviceNodeSelection === true ? validatePlace(place, field, ['nodeName', 'nodeSelector', 'allNodes']) : []),
  ];
}

function validateAttribute({ string, version, bool, int }: DeviceAttribute, field: string): FieldError[] {
  const said = [string, version, bool, int].filter((value) => value !== undefined);
  if (said.length !== 1) return [said.length === 0 ? required(field, 'exactly one value must be specified') : invalid(field, { string, version, bool, int }, 'exactly one value must be specified')];
  const text = string ?? version ?? '';
  const at = `${field}.${string === undefined ? 'version' : 'string'}`;
  if (text.length > maxValueLength) return [tooLong(at, maxValueLength)];
  return version !== undefined && !semver.test(version) ? [invalid(at, version, 'must be a string compatible with semver.org spec 2.0.0')] : [];
}

export const resourceSlice: KindDefinition<ResourceSlice> = {
  resource: resourceSlices,
  singular: 'resourceslice',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('ResourceSlice'),
  storage: 'durable',
  status: false,
  generation: true,
  nameRule: 'dns-subdomain',
  validate,
  selectableFields: { 'spec.driver': ({ spec }) => spec?.driver ?? '', 'spec.nodeName': ({ spec }) => spec?.nodeName ?? '' },
  columns: [
    nameColumn(),
    column('Node', 'Where the devices are', ({ spec }) => spec?.nodeName ?? ''),
    column('Driver', 'Who offers the devices', ({ spec }) => spec?.driver ?? ''),
    column('Pool', 'What the slice is a part of', ({ spec }) => spec?.pool?.name ?? ''),
    ageColumn(),
  ],
};
