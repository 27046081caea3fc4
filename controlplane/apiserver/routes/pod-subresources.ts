import type { Pod } from '#api/gen/types.ts';
import type { FieldError } from '#api/meta/field-error.ts';
import { isRecord } from '#api/meta/json.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { StatusError } from '#common/errors.ts';
import { badRequest, invalid, methodNotAllowed } from '../api-errors.ts';
import { bindPod } from '../binding.ts';
import { parseBytes } from '../encoding.ts';
import { readDocument } from '../http/request.ts';
import { json, type Reply } from '../http/reply.ts';
import { booleanParameter, integerParameter } from '../list-options.ts';
import type { LogRequest } from '../types.ts';
import { bindingKind } from './computed-kinds.ts';
import type { KindCall, RouteDeps } from './types.ts';
import { checkAddress, decodeFor, parseDeleteOptions, readStrictly, writeOptions } from './write-parameters.ts';

/** POST pods/NAME/binding, which schedulers call, and POST bindings, where the Binding itself says whom. */
export async function serveBinding(deps: RouteDeps, { request, kind, path, verb, user }: KindCall): Promise<Reply> {
  if (verb !== 'create') throw methodNotAllowed(kind.resource, verb);
  const warnings: string[] = [];
  const binding = decodeFor(bindingKind, await readStrictly(request), request.query, warnings);
  const { target, metadata = {} } = binding;
  const podName = path.name ?? metadata.name ?? '';
  const namespace = path.namespace ?? '';
  if (podName === '') throw bindingError('metadata.name', 'FieldValueRequired', 'Required value: name or generateName is required');
  checkAddress(binding, namespace, podName);
  if ((target?.kind || 'Node') !== 'Node') throw bindingError('target.kind', 'FieldValueNotSupported', `Unsupported value: ${JSON.stringify(target.kind)}: supported values: "Node", "<empty>"`);
  if (!target?.name) throw bindingError('target.name', 'FieldValueRequired', 'Required value');
  const options = writeOptions(request, user);
  await deps.resources.permit(kind, namespace, podName, { operation: 'create', subresource: 'binding', object: binding }, { ...options, warnings });
  const { uid = '', resourceVersion = '', annotations = {} } = metadata;
  await bindPod(deps.resources, kind, { namespace, podName, podUid: uid, resourceVersion, annotations, nodeName: target.name }, options, deps.clock.now());
  return { ...json({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }, 201), warnings };
}

/** POST pods/NAME/eviction: a delete that asks the pod's disruption budget first. */
export async function serveEviction(deps: RouteDeps, { request, kind, path, verb, user }: KindCall): Promise<Reply> {
  if (verb !== 'create') throw methodNotAllowed(kind.resource, verb);
  const eviction = await readDocument(request);
  if (!isRecord(eviction)) throw badRequest('the object provided is not an Eviction');
  const { apiVersion = 'policy/v1', kind: sent = 'Eviction', metadata, deleteOptions: given = {} } = eviction;
  if (sent !== 'Eviction' || (apiVersion !== 'policy/v1' && apiVersion !== 'policy/v1beta1')) throw badRequest(`the object provided is a ${JSON.stringify(apiVersion)} ${JSON.stringify(sent)}; a policy/v1 Eviction is needed`);
  const name = isRecord(metadata) ? metadata['name'] : undefined;
  if (name !== undefined && name !== path.name) throw badRequest(`name in URL does not match name in Eviction object: ${path.name ?? ''} != ${String(name)}`);
  const options = parseDeleteOptions(given, request.query, user);
  const dryRun = options.dryRun || writeOptions(request, user).dryRun;
  const object = { ...eviction, apiVersion: 'policy/v1', kind: 'Eviction' };
  await deps.resources.permit(kind, path.namespace, path.name ?? '', { operation: 'create', subresource: 'eviction', object }, { user, dryRun, annotate: request.annotate });
  const { evictPod } = await import('../eviction.ts');
  await evictPod(deps, kind, { namespace: path.namespace ?? '', podName: path.name ?? '', deletion: options }, { user, dryRun });
  return json({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }, 201);
}

/** pods/NAME/exec, attach and portforward: POST, and GET because WebSockets know no other. */
export async function serveStream(deps: RouteDeps, { request, kind, path, verb, user }: KindCall): Promise<Reply> {
  if (verb !== 'create' && verb !== 'get') throw methodNotAllowed(kind.resource, verb);
  const pod = parseBytes((await deps.resources.entry(kind, path.namespace, path.name ?? '')).value) as Pod;
  const subresource = path.subresource as keyof typeof streamOptions;
  await deps.resources.permit(kind, path.namespace, path.name ?? '', { operation: 'connect', subresource, object: streamOptionsOf(subresource, request.query) }, { user, dryRun: false, annotate: request.annotate });
  if (path.subresource === 'portforward') return (await import('../streams/port-forward.ts')).servePortForward(deps, request, pod);
  const target = { pod, container: containerOf(pod, request.query.get('container') ?? ''), kind: path.subresource === 'exec' ? 'exec' as const : 'attach' as const };
  return (await import('../streams/command.ts')).serveCommand(deps, request, target);
}

const streamOptions = { exec: 'PodExecOptions', attach: 'PodAttachOptions', portforward: 'PodPortForwardOptions' } as const;

/** The query as the object that admission sees. */
function streamOptionsOf(subresource: keyof typeof streamOptions, query: URLSearchParams): KubeObject {
  const flags = ['stdin', 'stdout', 'stderr', 'tty'].flatMap((name) => (query.has(name) ? [[name, booleanParameter(query, name)] as const] : []));
  const ports = query.getAll('ports').map(Number);
  const options = { ...Object.fromEntries(flags), ...(query.has('container') && { container: query.get('container') }), ...(query.has('command') && { command: query.getAll('command') }), ...(ports.length > 0 && { ports }) };
  return { apiVersion: 'v1', kind: streamOptions[subresource], ...options };
}

function bindingError(field: string, type: FieldError['type'], message: string): StatusError {
  return invalid({ group: '', kind: 'Binding' }, '', [{ type, field, message }]);
}

/** GET pods/NAME/log: text from the pod's node, as it comes. */
export async function serveLog(deps: RouteDeps, { request, kind, path, verb }: KindCall): Promise<Reply> {
  if (verb !== 'get') throw methodNotAllowed(kind.resource, verb);
  const pod = parseBytes((await deps.resources.entry(kind, path.namespace, path.name ?? '')).value) as Pod;
  const log = logRequest(pod, request.query);
  const contentType = 'text/plain';
  if (!pod.spec?.nodeName) return { status: 200, contentType, body: '' };
  if (!deps.nodes) throw new StatusError('ServiceUnavailable', `node ${pod.spec.nodeName} is not connected; its logs are served when it is`);
  const chunks = deps.nodes.logs(pod.spec.nodeName, log, request.signal)[Symbol.asyncIterator]();
  // An error before the first text must be a Status, so that is awaited; but a silent container's client must see its answer begin.
  const first = chunks.next();
  const patience = new Promise<void>((resolve) => { deps.clock.after(1000, resolve); });
  await Promise.race([first, patience]);
  return { status: 200, contentType, body: resume(first, chunks) };
}

async function* resume(first: Promise<IteratorResult<Uint8Array>>, rest: AsyncIterator<Uint8Array>): AsyncIterable<Uint8Array> {
  try {
    for (let next = await first; !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

function logRequest(pod: Pod, query: URLSearchParams): LogRequest {
  const errors: FieldError[] = [];
  const integer = (name: string, min: number): number | undefined => {
    const value = integerParameter(query, name);
    if (value !== undefined && value < min) errors.push({ type: 'FieldValueInvalid', field: name, message: `Invalid value: ${String(value)}: must be greater than ${min === 0 ? 'or equal to 0' : '0'}` });
    return value;
  };
  const tailLines = integer('tailLines', 0);
  const sinceSeconds = integer('sinceSeconds', 1);
  const limitBytes = integer('limitBytes', 1);
  const sinceTime = query.get('sinceTime') || undefined;
  if (sinceTime !== undefined && Number.isNaN(Date.parse(sinceTime))) throw badRequest(`parsing time ${JSON.stringify(sinceTime)}: sinceTime must be RFC 3339`);
  if (sinceTime !== undefined && sinceSeconds !== undefined) errors.push({ type: 'FieldValueForbidden', field: '', message: 'Forbidden: at most one of sinceTime or sinceSeconds may be specified' });
  if (errors.length > 0) throw invalid({ group: '', kind: 'PodLogOptions' }, pod.metadata?.name ?? '', errors);
  return {
    namespace: pod.metadata?.namespace ?? '', podName: pod.metadata?.name ?? '', podUid: pod.metadata?.uid ?? '',
    container: containerOf(pod, query.get('container') ?? ''),
    follow: booleanParameter(query, 'follow'), previous: booleanParameter(query, 'previous'), timestamps: booleanParameter(query, 'timestamps'),
    ...(tailLines !== undefined && { tailLines }), ...(sinceSeconds !== undefined && { sinceSeconds }),
    ...(sinceTime !== undefined && { sinceTime }), ...(limitBytes !== undefined && { limitBytes }),
  };
}

/** Kubernetes' choice of container, and its words when there is none. */
function containerOf(pod: Pod, asked: string): string {
  const podName = pod.metadata?.name ?? '';
  const names = (pod.spec?.containers ?? []).map((container) => container.name);
  const init = (pod.spec?.initContainers ?? []).map((container) => container.name);
  const ephemeral = (pod.spec?.ephemeralContainers ?? []).map((container) => container.name);
  if (asked !== '') {
    if ([...names, ...init, ...ephemeral].includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${podName}`);
  }
  if (names.length === 1) return names[0] ?? '';
  if (names.length === 0) throw badRequest(`a container name must be specified for pod ${podName}`);
  const orInit = init.length > 0 ? ` or one of the init containers: [${init.join(' ')}]` : '';
  throw badRequest(`a container name must be specified for pod ${podName}, choose one of: [${names.join(' ')}]${orInit}`);
}
