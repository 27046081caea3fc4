import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec } from '#api/gen/types.ts';
import { configMaps, namespaces, validatingAdmissionPolicies, validatingAdmissionPolicyBindings } from '#api/kinds/resources.ts';
import { TestServer, type Answer } from '../../test-server.ts';
import type { ApiClient } from '../../types.ts';

let server: TestServer;
let client: ApiClient;
beforeAll(async () => {
  server = await TestServer.start();
  client = server.api.client({ name: 'test', groups: ['system:masters'] });
});
afterAll(async () => { await server.stop(); });

let count = 0;
const onConfigMaps = { resourceRules: [{ operations: ['CREATE', 'UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }] };
/** A policy, bound to a namespace of its own. */
async function policy(spec: ValidatingAdmissionPolicySpec, binding: Partial<ValidatingAdmissionPolicyBindingSpec> = {}): Promise<{ name: string; ns: string }> {
  const name = `p-${String(++count)}`;
  await client.create(namespaces, { metadata: { name, labels: { team: 'a' } } });
  await client.create(validatingAdmissionPolicies, { metadata: { name }, spec: { matchConstraints: onConfigMaps, ...spec } });
  await client.create(validatingAdmissionPolicyBindings, { metadata: { name: `${name}-b` }, spec: { policyName: name, validationActions: ['Deny'], matchResources: { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } } }, ...binding } });
  return { name, ns: name };
}
const post = (ns: string, data: Record<string, string>): Promise<Answer> => server.ask(`/api/v1/namespaces/${ns}/configmaps`, { method: 'POST', body: { metadata: { name: `m-${String(++count)}` }, data } });
const message = async (answer: Promise<Answer>): Promise<string> => (await answer).json<{ message?: string }>().message?.replace(/^configmaps "[^"]*" is forbidden: /, '') ?? '';

describe('validating admission policies', () => {
  it('deny in their own words, as reason and code say', async () => {
    const { name, ns } = await policy({
      variables: [{ name: 'size', expression: 'size(object.data)' }, { name: 'big', expression: 'variables.size > 2' }],
      validations: [{ expression: "!has(object.data.a) || object.data.a == 'x'", message: 'a must be x', reason: 'Forbidden' }, { expression: '!variables.big', messageExpression: "'at most 2, not ' + string(variables.size)" }, { expression: "!('odd' in object.data)" }],
    });
    expect((await post(ns, { b: '1' })).status).toBe(201);
    const refused = await post(ns, { a: 'y' });
    expect(refused.json()).toMatchObject({ code: 403, reason: 'Forbidden', message: expect.stringMatching(new RegExp(`^configmaps "m-\\d+" is forbidden: ValidatingAdmissionPolicy '${name}' with binding '${name}-b' denied request: a must be x$`)) as string });
    expect((await post(ns, { b: '1', c: '2', d: '3' })).json()).toMatchObject({ code: 422, reason: 'Invalid', message: expect.stringContaining('denied request: at most 2, not 3') as string });
    expect(await message(post(ns, { odd: '1' }))).toContain("denied request: failed expression: !('odd' in object.data)");
  });

  it('take their parameters from objects, by name or by selector', async () => {
    const byName = await policy({ paramKind: { apiVersion: 'v1', kind: 'ConfigMap' }, matchConditions: [{ name: 'not-params', expression: "!object.metadata.name.startsWith('limits')" }], validations: [{ expression: 'size(object.data) <= int(params.data.max)', messageExpression: "'max ' + params.data.max" }] },
      { paramRef: { name: 'limits', namespace: 'default', parameterNotFoundAction: 'Deny' } });
    expect(await message(post(byName.ns, { a: '1' }))).toContain('denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction');
    await client.create(configMaps, { metadata: { name: 'limits', namespace: 'default' }, data: { max: '1' } });
    expect((await post(byName.ns, { a: '1' })).status).toBe(201);
    expect(await message(post(byName.ns, { a: '1', b: '2' }))).toContain('denied request: max 1');
    const bySelector = await policy({ paramKind: { apiVersion: 'v1', kind: 'ConfigMap' }, validations: [{ expression: 'has(object.metadata.labels) || size(object.data) <= int(params.data.max)' }] },
      { paramRef: { selector: { matchLabels: { limit: 'yes' } }, parameterNotFoundAction: 'Allow' } });
    expect((await post(bySelector.ns, { a: '1', b: '2' })).status).toBe(201);
    for (const max of ['5', '1']) await client.create(configMaps, { metadata: { name: `max-${max}`, namespace: bySelector.ns, labels: { limit: 'yes' } }, data: { max } });
    expect((await post(bySelector.ns, { a: '1', b: '2' })).status).toBe(422);
  });

  it('warn where they are bound to, know the namespace and the authorizer, and fail as they say', async () => {
    const warning = await policy({ validations: [{ expression: "namespaceObject.metadata.labels.team == 'b'", message: 'not of team b' }] }, { validationActions: ['Warn', 'Audit'] });
    const made = await post(warning.ns, {});
    expect([made.status, made.headers['warning']]).toEqual([201, `299 - "Validation failed for ValidatingAdmissionPolicy '${warning.name}' with binding '${warning.name}-b': not of team b"`]);
    const asking = await policy({ validations: [{ expression: "authorizer.requestResource.check('delete').allowed() && request.userInfo.username == 'admin' && !authorizer.serviceAccount('default', 'x').path('/metrics').check('get').allowed()" }] });
    expect((await post(asking.ns, {})).status).toBe(201);
    const broken = { validations: [{ expression: "object.data['missing'] == 'x'" }] };
    expect(await message(post((await policy(broken)).ns, { a: '1' }))).toContain("denied request: expression 'object.data['missing'] == 'x'' resulted in error: no such key: missing");
    expect((await post((await policy({ ...broken, failurePolicy: 'Ignore' })).ns, { a: '1' })).status).toBe(201);
  });

  it('are checked when they are made, and their types soon after', async () => {
    await expect(policy({ validations: [{ expression: 'object.' }] })).rejects.toThrow(/spec\.validations\[0\]\.expression: Invalid value: "object\.": compilation failed: ERROR: <input>:1/);
    await expect(policy({ validations: [{ expression: '1' }] })).rejects.toThrow('must evaluate to bool');
    await expect(policy({ variables: [{ name: 'a', expression: 'variables.b' }, { name: 'b', expression: '1' }], validations: [{ expression: 'variables.b > 0 && request.object == null' }] })).rejects.toThrow(/undefined field 'b'[^]*undefined field 'object'/);
    const { name } = await policy({ matchConstraints: { resourceRules: [{ operations: ['*'], apiGroups: ['apps'], apiVersions: ['v1'], resources: ['deployments'] }] }, validations: [{ expression: "object.spec.replicas > '1'" }, { expression: 'object.spec.replicas > 1' }] });
    await vi.waitFor(async () => {
      const { status, metadata } = await client.get(validatingAdmissionPolicies, undefined, name);
      expect(status?.observedGeneration).toBe(metadata?.generation);
      expect(status?.typeChecking?.expressionWarnings).toEqual([{ fieldRef: 'spec.validations[0].expression', warning: expect.stringMatching(/^apps\/v1, Kind=Deployment: ERROR: <input>:1:\d+: found no matching overload for '_>_' applied to '\(int, string\)'/) as string }]);
    });
  });
});
