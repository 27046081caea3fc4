/**
 * What each part of a control plane adds to the memory of a process that loads it, and what it holds once it was used.
 * Forked by rows/parts.ts, with --expose-gc; sends the steps with the bytes held after each.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { TestServer } from '#controlplane/apiserver/test-server.ts';

export interface Step { readonly name: string; readonly heldBytes: number }

/** The parts in the order in which a control plane comes by them; each counts what those before it have not loaded. */
const loaded: readonly (readonly [string, () => Promise<unknown>])[] = [
  ['TLS and HTTP/2', () => Promise.all([import('node:tls'), import('node:http2'), import('node:https')])],
  ['kinds: rules, columns, defaults', () => import('#api/kinds/registry.ts')],
  ['store, with LevelDB', () => Promise.all([import('#controlplane/store/open.ts'), import('#controlplane/store/backends/leveldb/backend.ts')])],
  ['users and rights: certificates, tokens, RBAC, nodes', () => import('#controlplane/apiserver/auth/access-control.ts')],
  ['admission', () => import('#controlplane/apiserver/admission/plugins.ts')],
  ['the rest of the API server', () => import('#controlplane/apiserver/server.ts')],
  ['scheduler', () => Promise.all([import('#controlplane/scheduler/scheduler.ts'), import('#controlplane/scheduler/registry.ts')])],
  ['controllers', () => Promise.all([import('#controlplane/controllers/manager.ts'), import('#controlplane/controllers/registry.ts')])],
  ['dispatcher, with gRPC', () => Promise.all([import('#controlplane/dispatcher/dispatcher.ts'), import('#proto/edge/v1/services.ts').then(({ loadEdge }) => loadEdge())])],
];

const group = 'bench.cleat.dev';
const json = (body: unknown, contentType = 'application/json') => ({ method: 'POST', body, headers: { 'content-type': contentType } });
const kindOf = (plural: string): string => plural.charAt(0).toUpperCase() + plural.slice(1, -1);
const definition = (name: string, rules: readonly unknown[]): unknown => ({
  apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: `${name}.${group}` },
  spec: {
    group, scope: 'Namespaced', names: { plural: name, singular: name.slice(0, -1), kind: kindOf(name) },
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties: { a: { type: 'integer' } }, ...(rules.length > 0 && { 'x-kubernetes-validations': rules }) } } } } }],
  },
});

/** What is loaded when it is first asked for; the name says who asks. */
const used: readonly (readonly [string, (server: TestServer) => Promise<unknown>])[] = [
  ['API server at work: default roles, informers, a client', (server) => ask(server, '/api/v1/configmaps')],
  ['OpenAPI v2 and v3: kubectl apply, explain', async (server) => { for (const path of ['/openapi/v2', '/openapi/v3', '/openapi/v3/api/v1', '/openapi/v3/apis/apps/v1']) await ask(server, path); }],
  ['server-side apply', (server) => ask(server, '/api/v1/namespaces/default/configmaps/applied?fieldManager=bench', { ...json({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' }, data: { a: 'b' } }, 'application/apply-patch+yaml'), method: 'PATCH' })],
  ['a custom resource: kubectl apply -f crd.yaml', async (server) => { await ask(server, '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', json(definition('plains', []))); await createSoon(server, 'plains'); }],
  ['one with rules in CEL', async (server) => { await ask(server, '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', json(definition('ruleds', [{ rule: 'self.a > 0' }]))); await createSoon(server, 'ruleds'); }],
  ['an admission policy', (server) => ask(server, '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies', json({
    apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingAdmissionPolicy', metadata: { name: 'bench' },
    spec: { matchConstraints: { resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['configmaps'] }] }, validations: [{ expression: "object.metadata.name != 'forbidden'" }] },
  }))],
  ['admission webhooks', () => import('#controlplane/apiserver/admission/webhooks/dispatcher.ts')],
  ['bodies in YAML', (server) => ask(server, '/api/v1/namespaces/default/configmaps', json('metadata: {name: yaml}\n', 'application/yaml'))],
  ['bodies in protobuf: old clients', () => import('#controlplane/apiserver/protobuf/decode.ts')],
  ['exec, attach, port-forward over WebSocket', async () => { await Promise.all([import('#controlplane/apiserver/streams/command.ts'), import('#controlplane/apiserver/streams/port-forward.ts'), import('#controlplane/apiserver/streams/websocket.ts'), import('ws')]); }],
  ['the same over SPDY: kubectl before 1.30', () => import('#controlplane/apiserver/streams/spdy-server.ts')],
  ['aggregated API servers', () => import('#controlplane/apiserver/aggregation/aggregation.ts')],
  ['audit log', () => import('#controlplane/apiserver/audit/open.ts')],
];

/** What is not answered as it should be was not measured either. */
async function ask(server: TestServer, ...request: Parameters<TestServer['ask']>): Promise<void> {
  const { status, text } = await server.ask(...request);
  if (status >= 300) throw new Error(`${request[0]} answered ${String(status)}: ${text}`);
}

/** A definition is served a moment after it was made. */
async function createSoon(server: TestServer, plural: string): Promise<void> {
  const path = `/apis/${group}/v1/namespaces/default/${plural}`;
  let text = '';
  for (let i = 0; i < 100; i++) {
    const answer = await server.ask(path, json({ apiVersion: `${group}/v1`, kind: kindOf(plural), metadata: { name: 'one' }, spec: { a: 1 } }));
    if (answer.status === 201) return;
    text = answer.text;
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
  throw new Error(`${plural} are not served: ${text}`);
}

/** The one controller without which custom resources are not served. */
async function startDefinitions({ store, api }: TestServer): Promise<void> {
  const { signal } = new AbortController();
  const [{ Informers }, { ControllerManager }, { customResourceDefinitionController }, { systemClock }, { silentLog }] = await Promise.all([
    import('#controlplane/cache/informers.ts'), import('#controlplane/controllers/manager.ts'), import('#controlplane/controllers/custom-resource-definition/controller.ts'), import('#common/clock.ts'), import('#common/log.ts'),
  ]);
  const informers = new Informers({ store, log: silentLog });
  const manager = new ControllerManager({
    controllers: { definitions: customResourceDefinitionController }, informers, clock: systemClock, log: silentLog, random: Math.random,
    client: api.client({ name: 'system:controllers', groups: ['system:masters'] }), recorder: (component) => api.recorder({ component }),
  }, { podCidr: '10.42.0.0/16', nodeCidrMaskSize: 24, nodeMonitorGracePeriodMs: 40_000, burstReplicas: 500, rootCa: '', resources: [] });
  void Promise.all([informers.start(signal), manager.start(signal)]);
}

async function held(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await turn();
    globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const steps: Step[] = [{ name: 'Node', heldBytes: await held() }];
for (const [name, load] of loaded) {
  await load();
  steps.push({ name, heldBytes: await held() });
}
const { TestServer: Server } = await import('#controlplane/apiserver/test-server.ts');
const server = await Server.start();
await startDefinitions(server);
for (const [name, use] of used) {
  await use(server);
  steps.push({ name, heldBytes: await held() });
}
process.send?.(steps, () => { process.exit(0); });
