import type { CertificateSigningRequest } from '#api/gen/types.ts';
import { certificateSigningRequests } from '#api/kinds/resources.ts';
import { isStatus } from '#common/errors.ts';
import { execute } from '../execute.ts';
import { watch, type ClusterCredentials, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { isPending, neededRight } from './reconcile.ts';

/** Approves client certificates of nodes for those who have the right to it; keys are names of requests. */
export function certificateApprover(deps: ControllerDeps, { credentials }: ControllerConfig): Controller {
  if (!credentials) return { watches: [], reconcile: () => Promise.resolve(undefined) };
  const lister = deps.informers.informer(certificateSigningRequests);
  return {
    watches: [watch(lister, ({ object }) => (object && isPending(object) ? [object.metadata?.name ?? ''] : []))],
    async reconcile(name) {
      const request = lister.get(undefined, name);
      const right = request && isPending(request) ? await rightFor(request) : undefined;
      if (!request || right === undefined || !(await mayHave(credentials, request, right))) return undefined;
      const message = `Auto approving ${right === 'selfnodeclient' ? 'self ' : ''}kubelet client certificate after SubjectAccessReview.`;
      const conditions = [...request.status?.conditions ?? [], { type: 'Approved', status: 'True', reason: 'AutoApproved', message }];
      await execute(deps, [{ type: 'update', resource: certificateSigningRequests, object: { ...request, status: { ...request.status, conditions } } as CertificateSigningRequest, subresource: 'approval' }]);
      return undefined;
    },
  };
}

async function rightFor(request: CertificateSigningRequest): Promise<string | undefined> {
  const { readSigningRequest } = await import('#common/pki/request-content.ts');
  try {
    const content = readSigningRequest(Buffer.from(request.spec.request, 'base64').toString());
    return neededRight(request, { ...content, names: content.dnsNames.length + content.ipAddresses.length + content.uris.length + content.emails.length });
  } catch (error) {
    // The API refuses such requests; one that is there all the same is for a person to look at.
    if (isStatus(error, 'Invalid')) return undefined;
    throw error;
  }
}

async function mayHave({ authorizer }: ClusterCredentials, { spec }: CertificateSigningRequest, right: string): Promise<boolean> {
  const { group, version, plural } = certificateSigningRequests;
  const user = { name: spec.username ?? '', groups: spec.groups ?? [], ...(spec.uid !== undefined && { uid: spec.uid }), ...(spec.extra && { extra: spec.extra }) };
  return (await authorizer.authorize({ user, verb: 'create', resource: { group, version, plural, subresource: right, namespace: undefined, name: undefined } })).allowed;
}
