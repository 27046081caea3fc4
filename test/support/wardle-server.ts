import { readFileSync } from 'node:fs';
import * as https from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';

/**
 * An API server of its own for group version wardle.example.com/v1, as the tests run it in a pod: it learns from the cluster
 * whose proxies it may believe, asks the cluster what users may do, and keeps its objects in memory. Needs nothing but Node.
 */
interface Flunder { metadata: { name: string; namespace: string; uid: string; resourceVersion: string; deletionTimestamp?: string; [field: string]: unknown }; [field: string]: unknown }
interface Answer { readonly status: number; readonly body: Record<string, unknown> }

const account = '/var/run/secrets/kubernetes.io/serviceaccount';
const groupVersion = 'wardle.example.com/v1';
const root = `/apis/${groupVersion}`;
const objects = new Map<string, Flunder>();
const watchers = new Set<(line: string) => void>();
let revision = 1;

/** Asks the cluster's API as the pod's own service account. */
async function ask(method: string, path: string, body?: unknown): Promise<Answer> {
  const token = readFileSync(`${account}/token`, 'utf8');
  const host = process.env['KUBERNETES_SERVICE_HOST'] ?? '';
  return new Promise((resolve, reject) => {
    const request = https.request({ host, port: process.env['KUBERNETES_SERVICE_PORT'], path, method, ca: readFileSync(`${account}/ca.crt`), headers: { 'authorization': `Bearer ${token}`, 'content-type': 'application/json' } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk; });
      response.on('end', () => { resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Record<string, unknown> }); });
    });
    request.on('error', reject).end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** The user that the proxy names; undefined when it is not one of the cluster's. */
function userOf({ headers, socket }: IncomingMessage, allowed: readonly string[]): { user: string; groups: string[] } | undefined {
  const peer = socket as TLSSocket;
  if (!peer.authorized || !allowed.includes(String(peer.getPeerCertificate().subject.CN))) return undefined;
  return { user: String(headers['x-remote-user']), groups: String(headers['x-remote-group'] ?? '').split(', ') };
}

function tell(type: string, object: Flunder): void {
  for (const write of watchers) write(`${JSON.stringify({ type, object })}\n`);
}

function stored(object: Flunder, type: 'ADDED' | 'MODIFIED' | 'DELETED'): Flunder {
  const next: Flunder = { ...object, apiVersion: groupVersion, kind: 'Flunder', metadata: { ...object.metadata, resourceVersion: String(++revision) } };
  const key = `${next.metadata.namespace}/${next.metadata.name}`;
  if (type === 'DELETED') objects.delete(key);
  else objects.set(key, next);
  tell(type, next);
  return next;
}

const failure = (code: number, reason: string, message: string): Answer => ({ status: code, body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason, message, code } });

/** What is asked of one flunder, or of those of a namespace. */
function answer(method: string, namespace: string | undefined, name: string | undefined, sent: Partial<Flunder>): Answer {
  if (name === undefined && method === 'GET') {
    const items = [...objects.values()].filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace);
    return { status: 200, body: { kind: 'FlunderList', apiVersion: groupVersion, metadata: { resourceVersion: String(revision) }, items } };
  }
  if (name === undefined && method === 'POST') {
    const metadata = { ...sent.metadata, name: sent.metadata?.name ?? '', namespace: namespace ?? '', uid: crypto.randomUUID(), creationTimestamp: new Date().toISOString().replace(/\.\d+/, ''), resourceVersion: '' };
    return { status: 201, body: stored({ ...sent, metadata }, 'ADDED') };
  }
  const found = objects.get(`${namespace ?? ''}/${name ?? ''}`);
  if (!found) return failure(404, 'NotFound', `flunders.wardle.example.com "${name ?? ''}" not found`);
  if (method === 'GET') return { status: 200, body: found };
  if (method === 'DELETE') return { status: 200, body: stored(found, 'DELETED') };
  if (method === 'PUT' || method === 'PATCH') return { status: 200, body: stored({ ...found, ...sent, metadata: { ...found.metadata, ...sent.metadata } }, 'MODIFIED') };
  return failure(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource');
}

const verbs = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];
const documents: Readonly<Record<string, unknown>> = {
  '/apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: [{ name: 'wardle.example.com', versions: [{ groupVersion, version: 'v1' }], preferredVersion: { groupVersion, version: 'v1' } }] },
  [root]: { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources: [{ name: 'flunders', singularName: 'flunder', shortNames: ['fl'], namespaced: true, kind: 'Flunder', verbs }] },
};

/** What an admission webhook at `/admit` says: ConfigMaps that hold `deny` stay out. */
async function admit(incoming: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const { request } = JSON.parse(Buffer.concat(chunks).toString()) as { request: { uid: string; object: { data?: Record<string, string> } } };
  return { kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', response: { uid: request.uid, allowed: request.object.data?.['deny'] === undefined, status: { message: 'not in this house', code: 403 } } };
}

async function serve(incoming: IncomingMessage, response: ServerResponse, allowed: readonly string[]): Promise<void> {
  const reply = ({ status, body }: Answer): void => { response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)); };
  const url = new URL(incoming.url ?? '/', 'https://wardle');
  if (url.pathname === '/admit') return reply({ status: 200, body: await admit(incoming) });
  const user = userOf(incoming, allowed);
  if (!user) return reply(failure(401, 'Unauthorized', 'Unauthorized'));
  const document = documents[url.pathname];
  if (document !== undefined) return reply({ status: 200, body: document as Record<string, unknown> });
  const [, namespace, name] = /^\/apis\/wardle\.example\.com\/v1(?:\/namespaces\/([^/]+))?\/flunders(?:\/([^/]+))?$/.exec(url.pathname) ?? [];
  if (!url.pathname.startsWith(root)) return reply(failure(404, 'NotFound', 'the server could not find the requested resource'));
  const review = await ask('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec: { ...user, resourceAttributes: { group: 'wardle.example.com', version: 'v1', resource: 'flunders', verb: (incoming.method ?? '').toLowerCase(), namespace, name } } });
  console.log(`${user.user} ${incoming.method ?? ''} ${url.pathname} ${String(review.status)}`);
  if (url.searchParams.has('watch')) {
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    const write = (line: string): void => { response.write(line); };
    watchers.add(write);
    response.once('close', () => { watchers.delete(write); });
    return;
  }
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  reply(answer(incoming.method ?? 'GET', namespace, name, incoming.method === 'DELETE' || text === '' ? {} : JSON.parse(text) as Partial<Flunder>));
}

const [folder = '', port = '7443'] = process.argv.slice(2);
for (;;) {
  const { status, body } = await ask('GET', '/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication').catch((error: unknown) => ({ status: 0, body: { message: String(error) } }));
  const data = (body as { data?: Record<string, string> }).data;
  if (status === 200 && data) {
    const allowed = JSON.parse(data['requestheader-allowed-names'] ?? '[]') as string[];
    const server = https.createServer({ key: readFileSync(`${folder}/tls.key`), cert: readFileSync(`${folder}/tls.crt`), ca: data['requestheader-client-ca-file'], requestCert: true, rejectUnauthorized: false }, (incoming, response) => {
      serve(incoming, response, allowed).catch((error: unknown) => { console.log(String(error)); response.destroy(); });
    });
    server.listen(Number(port), () => { console.log(`listening on ${port}`); });
    process.once('SIGTERM', () => { process.exit(0); });
    break;
  }
  console.log(`not allowed to learn whom to believe yet: ${String(status)} ${String(body['message'])}`);
  await new Promise((resolve) => { setTimeout(resolve, 500); });
}
