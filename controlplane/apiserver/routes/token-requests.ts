import type { BoundObjectReference, ObjectMeta, Pod, ServiceAccount, TokenRequest } from '#api/gen/types.ts';
import { nodes, pods, secrets, serviceAccounts, type Resource } from '#api/kinds/resources.ts';
import { invalid as invalidField, type FieldError } from '#api/meta/field-error.ts';
import { isStatus } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import { badRequest, conflict, forbidden, invalid, methodNotAllowed } from '../api-errors.ts';
import { nodeNameOf } from '../auth/node/identity.ts';
import type { BoundClaims, Reference } from '../auth/service-accounts/claims.ts';
import { parseBytes } from '../encoding.ts';
import { json, type Reply } from '../http/reply.ts';
import { tokenRequest } from './computed-kinds.ts';
import type { KindCall, RouteDeps } from './types.ts';
import { checkAddress, decodeFor, readStrictly } from './write-parameters.ts';

const defaultSeconds = 3600;
const shortestSeconds = 600;
const longestSeconds = 2 ** 32;

/** POST serviceaccounts/NAME/token: a token for one account, perhaps bound to a pod, a secret or a node. */
export async function serveTokenRequest(deps: RouteDeps, { request, kind, path, verb, user }: KindCall): Promise<Reply> {
  if (verb !== 'create') throw methodNotAllowed(kind.resource, verb);
  const { namespace = '', name = '' } = path;
  const warnings: string[] = [];
  const asked = decodeFor(tokenRequest as unknown as KindCall['kind'], await readStrictly(request), request.query, warnings) as TokenRequest;
  checkAddress(asked, namespace, name);
  const account = parseBytes((await deps.resources.entry(kind, namespace, name)).value) as ServiceAccount;
  const { audiences = [], expirationSeconds = defaultSeconds, boundObjectRef } = (asked.spec as TokenRequest['spec'] | undefined) ?? {};
  const errors: FieldError[] = [];
  if (expirationSeconds < shortestSeconds) errors.push(invalidField('spec.expirationSeconds', expirationSeconds, 'may not specify a duration less than 10 minutes'));
  if (expirationSeconds > longestSeconds) errors.push(invalidField('spec.expirationSeconds', expirationSeconds, 'may not specify a duration larger than 2^32 seconds'));
  if (errors.length > 0) throw invalid(tokenRequest.resource, '', errors);
  if (nodeNameOf(user) !== undefined) await checkNode(deps, nodeNameOf(user) ?? '', namespace, audiences, boundObjectRef);
  const bound: BoundClaims = { namespace, serviceAccount: reference(account.metadata), ...(boundObjectRef && await boundTo(deps, boundObjectRef, namespace, name)) };
  const { token, expiresAtMs } = deps.access.tokens.issue(bound, audiences, expirationSeconds);
  const spec = { ...asked.spec, audiences: audiences.length > 0 ? audiences : [deps.access.tokens.issuer], expirationSeconds };
  return { ...json({ ...asked, metadata: { ...asked.metadata, creationTimestamp: rfc3339(deps.clock.now()) }, spec, status: { token, expirationTimestamp: rfc3339(expiresAtMs) } }, 201), warnings };
}

/** A node asks for its own pods only, and for those audiences that they ask for. */
async function checkNode(deps: RouteDeps, node: string, namespace: string, audiences: readonly string[], ref: BoundObjectReference | undefined): Promise<void> {
  const refuse = (why: string): Error => forbidden(serviceAccounts, '', why);
  if (ref?.kind !== 'Pod' || !ref.uid) throw refuse('node requested token not bound to a pod');
  const pod: Pod = await bound(deps, pods, namespace, ref);
  if (pod.spec?.nodeName !== node) throw refuse('node requested token bound to a pod scheduled on a different node');
  const asked = (pod.spec.volumes ?? []).flatMap(({ projected }) => (projected?.sources ?? []).flatMap(({ serviceAccountToken }) => serviceAccountToken?.audience ?? []));
  const extra = audiences.find((audience) => audience !== '' && audience !== deps.access.tokens.issuer && !asked.includes(audience));
  if (extra !== undefined) throw refuse(`audience ${JSON.stringify(extra)} not found in pod spec volume, "system:node:${node}" is not authorized to request tokens for this audience`);
}

async function boundTo(deps: RouteDeps, ref: BoundObjectReference, namespace: string, account: string): Promise<Partial<BoundClaims>> {
  const type = `${ref.apiVersion ?? ''}/${ref.kind ?? ''}`;
  if (!ref.name) throw badRequest('spec.boundObjectRef.name is needed');
  switch (type) {
    case 'v1/Secret': return { secret: reference((await bound(deps, secrets, namespace, ref)).metadata) };
    case 'v1/Node': return { node: reference((await bound(deps, nodes, undefined, ref)).metadata) };
    case 'v1/Pod': {
      const pod: Pod = await bound(deps, pods, namespace, ref);
      if ((pod.spec?.serviceAccountName ?? '') !== account) throw badRequest(`cannot bind token for serviceaccount ${JSON.stringify(account)} to pod running with different serviceaccount name.`);
      const node = pod.spec?.nodeName ? await nodeOf(deps, pod.spec.nodeName) : undefined;
      return { pod: reference(pod.metadata), ...(node && { node }) };
    }
    default: throw badRequest(`cannot bind token for serviceaccount to object of type ${ref.apiVersion ?? ''}, Kind=${ref.kind ?? ''}`);
  }
}

async function bound<T extends { metadata?: ObjectMeta | undefined }>(deps: RouteDeps, resource: Resource<T>, namespace: string | undefined, ref: BoundObjectReference): Promise<T> {
  const object = parseBytes((await deps.resources.entry(deps.kinds.of(resource), namespace, ref.name ?? '')).value) as T;
  const { uid } = object.metadata ?? {};
  if (ref.uid && ref.uid !== uid) throw conflict(resource, ref.name ?? '', `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`);
  return object;
}

/** A node that has gone is still the one the pod is on. */
async function nodeOf(deps: RouteDeps, name: string): Promise<Reference> {
  try {
    return reference((parseBytes((await deps.resources.entry(deps.kinds.of(nodes), undefined, name)).value)).metadata);
  } catch (error) {
    if (isStatus(error, 'NotFound')) return { name, uid: '' };
    throw error;
  }
}

function reference(metadata: ObjectMeta | undefined): Reference {
  return { name: metadata?.name ?? '', uid: metadata?.uid ?? '' };
}
