import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mutatingWebhookConfigurations, namespaces, validatingAdmissionPolicies, validatingAdmissionPolicyBindings, validatingWebhookConfigurations } from '#api/kinds/resources.ts';
import { systemClock } from '#common/clock.ts';
import { patching, TestWebhook } from '../admission/webhooks/testing.ts';
import { TestServer } from '../test-server.ts';
import type { ApiClient } from '../types.ts';
import { Audit } from './audit.ts';
import { parsePolicy } from './policy.ts';

interface Event { readonly auditID: string; readonly annotations?: Record<string, string> }

/** What admission has to say in the audit log, under Kubernetes' keys. */
describe('audit annotations', () => {
  const events: Event[] = [];
  let server: TestServer;
  let client: ApiClient;
  let webhook: TestWebhook;
  beforeAll(async () => {
    const log = { write: (line: string) => { events.push(JSON.parse(line) as Event); }, dropped: 0 };
    const policy = parsePolicy({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', omitStages: ['RequestReceived'], rules: [{ level: 'Metadata', namespaces: ['quiet'] }, { level: 'Request' }] });
    [server, webhook] = await Promise.all([TestServer.start({ audit: new Audit({ clock: systemClock, log }, policy) }), TestWebhook.start()]);
    client = server.api.client({ name: 'test', groups: ['system:masters'] });
  });
  afterAll(async () => {
    await webhook.stop();
    await server.stop();
  });

  async function annotationsOf(path: string, body: object): Promise<Record<string, string>> {
    const answer = await server.ask(path, { method: 'POST', body });
    const event = await expect.poll(() => events.find(({ auditID }) => auditID === answer.headers['audit-id'])).toBeDefined().then(() => events.find(({ auditID }) => auditID === answer.headers['audit-id']));
    const { 'authorization.k8s.io/decision': decision, 'authorization.k8s.io/reason': _, ...rest } = event?.annotations ?? {};
    expect(decision).toBe('allow');
    return rest;
  }
  const configMaps = (ns: string): string => `/api/v1/namespaces/${ns}/configmaps`;
  const selected = (ns: string): object => ({ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': ns } } });
  const rules = [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }];

  it('say what webhooks said and did, the patch only to those who keep requests', async () => {
    for (const ns of ['loud', 'quiet']) {
      await client.create(namespaces, { metadata: { name: ns } });
      const hook = { admissionReviewVersions: ['v1'], sideEffects: 'None', rules, ...selected(ns) };
      const adds = webhook.at('/adds', () => ({ ...patching([{ op: 'add', path: '/data', value: { a: 'b' } }]), auditAnnotations: { seen: 'yes' } }));
      await client.create(mutatingWebhookConfigurations, { metadata: { name: `m-${ns}` }, webhooks: [{ ...hook, name: 'adds.example.com', clientConfig: adds }, { ...hook, name: 'gone.example.com', failurePolicy: 'Ignore', clientConfig: webhook.at('/garbage', () => 'garbage') }] });
    }
    await client.create(validatingWebhookConfigurations, { metadata: { name: 'v' }, webhooks: [{ name: 'broken.example.com', admissionReviewVersions: ['v1'], sideEffects: 'None', rules, ...selected('loud'), failurePolicy: 'Ignore', clientConfig: webhook.at('/garbage', () => 'garbage') }] });
    const base = {
      'adds.example.com/seen': 'yes', 'mutation.webhook.admission.k8s.io/round_0_index_0': '{"configuration":"m-loud","webhook":"adds.example.com","mutated":true}',
      'mutation.webhook.admission.k8s.io/round_0_index_1': '{"configuration":"m-loud","webhook":"gone.example.com","mutated":false}', 'failed-open.mutating.webhook.admission.k8s.io/round_0_index_1': 'gone.example.com',
      'failed-open.validating.webhook.admission.k8s.io/round_0_index_0': 'broken.example.com',
    };
    expect(await annotationsOf(configMaps('loud'), { metadata: { name: 'a' } })).toEqual({
      ...base, 'patch.webhook.admission.k8s.io/round_0_index_0': '{"configuration":"m-loud","webhook":"adds.example.com","patch":[{"op":"add","path":"/data","value":{"a":"b"}}],"patchType":"JSONPatch"}',
    });
    // Configurations are asked in the order of their names: those of the other namespace count, too.
    expect(Object.keys(await annotationsOf(configMaps('quiet'), { metadata: { name: 'a' } })).filter((key) => key.startsWith('patch.'))).toEqual([]);
  });

  it('say what policies found, and what they were asked to note', async () => {
    await client.create(namespaces, { metadata: { name: 'ruled' } });
    await client.create(validatingAdmissionPolicies, { metadata: { name: 'notes' }, spec: {
      matchConstraints: { resourceRules: rules }, validations: [{ expression: 'true' }, { expression: 'has(object.data)', message: 'no data' }],
      auditAnnotations: [{ key: 'who', valueExpression: "'by ' + request.userInfo.username" }, { key: 'never', valueExpression: "has(object.data) ? dyn('x') : dyn(null)" }],
    } });
    const bind = (name: string, validationActions: string[]): Promise<unknown> => client.create(validatingAdmissionPolicyBindings, { metadata: { name }, spec: { policyName: 'notes', validationActions, matchResources: selected('ruled') } });
    await bind('audits', ['Audit']);
    expect(await annotationsOf(configMaps('ruled'), { metadata: { name: 'a' } })).toEqual({
      'notes/who': 'by admin', 'validation.policy.admission.k8s.io/validation_failure': '[{"message":"no data","policy":"notes","binding":"audits","expressionIndex":1,"validationActions":["Audit"]}]',
    });
  });

  it('say what pods would violate', async () => {
    await client.create(namespaces, { metadata: { name: 'pods', labels: { 'pod-security.kubernetes.io/enforce': 'baseline', 'pod-security.kubernetes.io/audit': 'restricted', 'pod-security.kubernetes.io/audit-version': 'v1.30' } } });
    const pod = { metadata: { name: 'p' }, spec: { automountServiceAccountToken: false, containers: [{ name: 'c', image: 'i' }] } };
    await server.ask('/api/v1/namespaces/pods/serviceaccounts', { method: 'POST', body: { metadata: { name: 'default' } } });
    expect(await annotationsOf('/api/v1/namespaces/pods/pods', pod)).toEqual({
      'pod-security.kubernetes.io/enforce-policy': 'baseline:latest', 'pod-security.kubernetes.io/audit-violations': expect.stringMatching(/^would violate PodSecurity "restricted:v1\.30": allowPrivilegeEscalation != false/) as string,
    });
  });
});
