import { beforeAll, describe, expect, it } from 'vitest';
import { deviceClass } from './device-class/kind.ts';
import { loadChecks } from './expression-checks.ts';
import { pod } from './pod/kind.ts';
import { resourceClaimTemplate } from './resource-claim-template/kind.ts';
import { resourceClaim } from './resource-claim/kind.ts';
import { resourceSlice } from './resource-slice/kind.ts';
import { cells, make, problems } from './testing.ts';

/** The kinds of dynamic resource allocation, in Kubernetes' words. */
const ask = { deviceClassName: 'gpu.example.com' };
const claim = (...requests: object[]): object => ({ spec: { devices: { requests } } });
const exactly = (spec: object = {}, name = 'gpu'): object => ({ name, exactly: { ...ask, ...spec } });

beforeAll(async () => { await loadChecks(true); });

describe('claims', () => {
  it('ask for one device of a class unless they say more', () => {
    expect(make(resourceClaim, claim(exactly())).spec).toEqual({ devices: { requests: [{ name: 'gpu', exactly: { ...ask, allocationMode: 'ExactCount', count: 1 } }] } });
    expect(make(resourceClaim, claim(exactly({ allocationMode: 'All' }))).spec.devices?.requests?.[0]?.exactly).toEqual({ ...ask, allocationMode: 'All' });
  });

  it.each([
    ['nothing asked', claim({ name: 'gpu' }), ['spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required']],
    ['both asked', claim({ ...exactly(), firstAvailable: [{ ...ask, name: 'a' }] }), ['spec.devices.requests[0]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set']],
    ['names', claim(exactly({}, 'A'), exactly(), exactly()), ['spec.devices.requests[0].name: Invalid value: "A": a lowercase RFC 1123 label', 'spec.devices.requests[2].name: Duplicate value: "gpu"']],
    ['no class', claim({ name: 'gpu', exactly: {} }), ['spec.devices.requests[0].exactly.deviceClassName: Required value']],
    ['mode', claim(exactly({ allocationMode: 'Some' }), exactly({ allocationMode: 'All', count: 2 }, 'b'), exactly({ count: -1 }, 'c')), [
      'spec.devices.requests[0].exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"',
      "spec.devices.requests[1].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'", 'spec.devices.requests[2].exactly.count: Invalid value: -1: must be greater than zero']],
    ['selectors', claim(exactly({ selectors: [{}, { cel: { expression: 'device.' } }, { cel: { expression: '1' } }] })), [
      'spec.devices.requests[0].exactly.selectors[0].cel: Required value', 'selectors[1].cel.expression: Invalid value: "device.": compilation failed', 'selectors[2].cel.expression: Invalid value: "1": compilation failed: ERROR']],
    ['references', { spec: { devices: { requests: [exactly()], constraints: [{ requests: ['net'], matchAttribute: 'numa' }, {}], config: [{ requests: ['x'], opaque: { driver: 'd', parameters: 1 } }, {}] } } }, [
      'spec.devices.constraints[0].requests[0]: Invalid value: "net": must be the name of a request in the claim', 'spec.devices.constraints[0].matchAttribute: Invalid value: "numa": must include a domain', 'spec.devices.constraints[1].matchAttribute: Required value',
      'spec.devices.config[0].requests[0]: Invalid value: "x"', 'spec.devices.config[0].opaque.parameters: Invalid value: "<value omitted>": error parsing data as JSON: must be a JSON object', 'spec.devices.config[1].opaque: Required value']],
    ['many', claim(...Array.from({ length: 33 }, (_, i) => exactly({}, `r${i}`))), ['spec.devices.requests: Too many: 33: must have at most 32 items']],
  ])('refuse %s', (_, value, expected) => {
    const found = problems(resourceClaim, value);
    expect(found).toHaveLength(expected.length);
    for (const [i, text] of expected.entries()) expect(found[i]).toContain(text);
  });

  const stored = make(resourceClaim, claim(exactly()));
  const allocation = { devices: { results: [{ request: 'gpu', driver: 'gpu.example.com', pool: 'node-1/a', device: 'gpu-0' }] } };
  const user = { resource: 'pods', name: 'web', uid: '1' };
  const status = (value: object, before: object = {}): string[] => problems(resourceClaim, { ...claim(exactly()), status: value }, { ...stored, status: before }, 'status');

  it('stay as they are, once made', () => {
    expect(problems(resourceClaim, claim(exactly({ count: 2 })), stored)).toEqual([expect.stringMatching(/^spec: Invalid value: .*: field is immutable$/)]);
    expect(problems(resourceClaimTemplate, { spec: { spec: {} } }, make(resourceClaimTemplate, { spec: { spec: { devices: { requests: [exactly()] } } } }))).toEqual([expect.stringMatching(/^spec: .*: field is immutable$/)]);
  });

  it('are reserved when they are allocated, and tell', () => {
    expect(status({ allocation, reservedFor: [user] })).toEqual([]);
    expect(status({ reservedFor: [user] })).toEqual(['status.reservedFor: Forbidden: may not be specified when `allocated` is not set']);
    expect(status({ allocation, reservedFor: [user, { ...user, name: '' }] })).toEqual(['status.reservedFor[1].name: Required value', 'status.reservedFor[1].uid: Duplicate value: "1"']);
    expect(status({ allocation: {} }, { allocation })).toEqual(['status.allocation: Invalid value: {}: field is immutable']);
    expect(status({ allocation, devices: [{ driver: 'gpu.example.com', pool: 'node-1/a', device: 'other' }] })).toEqual([expect.stringContaining('status.devices[0]: Invalid value: {"driver":"gpu.example.com","pool":"node-1/a","device":"other"}: must be an allocated device in the claim')]);
    const row = (value: object): unknown => cells(resourceClaim, { ...claim(exactly()), status: value })[1];
    expect([row({}), row({ allocation }), row({ allocation, reservedFor: [user] })]).toEqual(['pending', 'allocated', 'allocated,reserved']);
  });
});

describe('pods', () => {
  const podOf = (resourceClaims: object[], ...claims: object[]): object => ({ spec: { resourceClaims, containers: [{ name: 'a', image: 'a', resources: { claims } }] } });

  it('share what they claim among their containers', () => {
    expect(problems(pod, podOf([{ name: 'gpu', resourceClaimTemplateName: 'gpu' }], { name: 'gpu', request: 'one' }, { name: 'gpu', request: 'two' }))).toEqual([]);
    const found = problems(pod, podOf([{ name: 'a' }, { name: 'a', resourceClaimName: 'x', resourceClaimTemplateName: 'y' }, { name: 'B', resourceClaimName: 'A_' }], { name: 'a' }, { name: 'a' }, { name: 'c' }, {}));
    const expected = [
      'spec.resourceClaims[0]: Invalid value: {"name":"a"}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`', 'spec.resourceClaims[1].name: Duplicate value: "a"',
      'at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified', 'spec.resourceClaims[2].name: Invalid value: "B"', 'spec.resourceClaims[2].resourceClaimName: Invalid value: "A_"',
      'spec.containers[0].resources.claims[1]: Duplicate value: "a"', 'spec.containers[0].resources.claims[2].name: Not found: "c": must be one of the names in pod.spec.resourceClaims: B, a', 'spec.containers[0].resources.claims[3].name: Required value',
    ];
    expect(found).toHaveLength(expected.length);
    for (const [i, text] of expected.entries()) expect(found[i]).toContain(text);
  });
});

describe('what offers devices', () => {
  const slice = (spec: object): object => ({ spec: { driver: 'gpu.example.com', nodeName: 'n', pool: { name: 'n', generation: 1, resourceSliceCount: 1 }, ...spec } });

  it.each([
    ['a place', { nodeName: undefined }, ['spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required']],
    ['two places', { allNodes: true }, ['spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set']],
    ['a pool', { pool: { name: 'A', generation: -1, resourceSliceCount: 0 } }, ['spec.pool.name: Invalid value: "A"', 'spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero', 'spec.pool.generation: Invalid value: -1: must be greater than or equal to zero']],
    ['devices', { devices: [{ name: 'a', attributes: { x: {}, 'a-b': { int: 1 }, v: { version: '1' } } }, { name: 'a' }] }, [
      'spec.devices[0].attributes[x]: Required value: exactly one value must be specified', 'spec.devices[0].attributes: Invalid value: "a-b": a valid C identifier', 'spec.devices[0].attributes[v].version: Invalid value: "1": must be a string compatible with semver.org spec 2.0.0', 'spec.devices[1].name: Duplicate value: "a"']],
  ])('needs %s', (_, spec, expected) => {
    const found = problems(resourceSlice, slice(spec));
    expect(found).toHaveLength(expected.length);
    for (const [i, text] of expected.entries()) expect(found[i]).toContain(text);
  });

  it('keeps its name, and a class may change', () => {
    const stored = make(resourceSlice, slice({}));
    expect(problems(resourceSlice, slice({ driver: 'other.example.com', nodeName: 'm' }), stored)).toEqual(['spec.driver: Invalid value: "other.example.com": field is immutable', 'spec.nodeName: Invalid value: "m": field is immutable']);
    expect(problems(deviceClass, { spec: { selectors: [{ cel: { expression: 'true' } }] } }, make(deviceClass, { spec: {} }))).toEqual([]);
    expect(cells(resourceSlice, slice({})).slice(1, 4)).toEqual(['n', 'gpu.example.com', 'n']);
  });
});
