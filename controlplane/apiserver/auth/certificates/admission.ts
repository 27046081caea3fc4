import type { CertificateSigningRequest } from '#api/gen/types.ts';
import { certificateSigningRequests, qualifiedName } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { forbidden as forbiddenField, invalid as invalidField, type FieldError } from '#api/meta/field-error.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import type { SigningRequestContent } from '#common/pki/request-content.ts';
import { rfc3339 } from '#common/time.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../../admission/types.ts';
import { forbidden, invalid } from '../../api-errors.ts';
import { nodeNameOf } from '../node/identity.ts';
import type { Authorizer } from '../types.ts';

/**
 * Certificate signing requests say who made them, and are decided and signed by those who may do so for their signer.
 * Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
 */
export function certificateRequests(authorizer: Authorizer, clock: Clock): AdmissionPlugin {
  return {
    name: 'CertificateRequests',
    async admit(request) {
      if (qualifiedName(request.kind.resource) !== qualifiedName(certificateSigningRequests) || !request.object) return;
      const object = request.object as CertificateSigningRequest;
      if (request.operation === 'create') await admitNew(request, object);
      if (request.operation !== 'update') return;
      const old = request.old as CertificateSigningRequest;
      stampConditions(object, old, rfc3339(clock.now()));
      if (request.subresource === 'approval') await admitDecision(authorizer, request, object, old);
      if (request.subresource === 'status') await admitStatus(authorizer, request, object, old);
    },
  };
}

async function admitNew(request: AdmissionRequest, object: CertificateSigningRequest): Promise<void> {
  const { user, name, kind } = request;
  // What lacks a spec is refused by validation.
  const spec = object.spec as CertificateSigningRequest['spec'] | undefined;
  if (!spec) return;
  const { name: username, uid, groups, extra } = user;
  Object.assign(spec, { username, groups: [...groups], ...(uid !== undefined && { uid }), ...(extra && { extra: structuredClone(extra) }) });
  if (!spec.request) return;
  const content = await read(object);
  if ('problem' in content) throw invalid(kind.resource, name, [invalidField('spec.request', spec.request, content.problem)]);
  if (spec.signerName === 'kubernetes.io/kube-apiserver-client' && content.organizations.includes('system:masters')) {
    throw forbidden(kind.resource, name, 'use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed');
  }
  const node = nodeNameOf(user);
  const ofNodes = spec.signerName === 'kubernetes.io/kube-apiserver-client-kubelet' || spec.signerName === 'kubernetes.io/kubelet-serving';
  if (node !== undefined && ofNodes && content.commonName !== `system:node:${node}`) throw forbidden(kind.resource, name, `can only create a node CSR with CN=system:node:${node}`);
}

async function read({ spec }: CertificateSigningRequest): Promise<SigningRequestContent | { readonly problem: string }> {
  const { readSigningRequest } = await import('#common/pki/request-content.ts');
  try {
    return readSigningRequest(Buffer.from(spec.request, 'base64').toString());
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

function stampConditions(object: CertificateSigningRequest, old: CertificateSigningRequest, now: string): void {
  for (const condition of object.status?.conditions ?? []) {
    const before = old.status?.conditions?.find(({ type }) => type === condition.type);
    condition.lastUpdateTime ??= now;
    condition.lastTransitionTime ??= before?.status === condition.status ? before.lastTransitionTime ?? now : now;
  }
}

async function admitDecision(authorizer: Authorizer, request: AdmissionRequest, object: CertificateSigningRequest, old: CertificateSigningRequest): Promise<void> {
  object.status = { ...object.status };
  // A decision leaves the certificate alone.
  if (old.status?.certificate === undefined) delete object.status.certificate;
  else object.status.certificate = old.status.certificate;
  if (!(await may(authorizer, request, 'approve', old.spec.signerName))) throw forbidden(request.kind.resource, request.name, `user not permitted to approve requests with signerName ${JSON.stringify(old.spec.signerName)}`);
}

async function admitStatus(authorizer: Authorizer, request: AdmissionRequest, object: CertificateSigningRequest, old: CertificateSigningRequest): Promise<void> {
  const errors: FieldError[] = [];
  const conditions = (of: CertificateSigningRequest, type: string): unknown[] => (of.status?.conditions ?? []).filter((condition) => condition.type === type);
  for (const type of ['Approved', 'Denied']) {
    if (conditions(old, type).length === 0 && conditions(object, type).length > 0) errors.push(forbiddenField('status.conditions', `updates may not add a condition of type "${type}"`));
  }
  if (errors.length > 0) throw invalid(request.kind.resource, request.name, errors);
  if (equal(object.status ?? {}, old.status ?? {})) return;
  if (!(await may(authorizer, request, 'sign', old.spec.signerName))) throw forbidden(request.kind.resource, request.name, `user not permitted to sign requests with signerName ${JSON.stringify(old.spec.signerName)}`);
}

/** By the signer's name, or by all signers of its domain. */
async function may(authorizer: Authorizer, { user }: AdmissionRequest, verb: string, signerName: string): Promise<boolean> {
  const { group, version } = certificateSigningRequests;
  for (const name of [signerName, `${signerName.split('/')[0] ?? ''}/*`]) {
    const { allowed } = await authorizer.authorize({ user, verb, resource: { group, version, plural: 'signers', subresource: undefined, namespace: undefined, name } });
    if (allowed) return true;
  }
  return false;
}
