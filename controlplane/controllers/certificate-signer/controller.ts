import type { CertificateSigningRequest } from '#api/gen/types.ts';
import { certificateSigningRequests } from '#api/kinds/resources.ts';
import { issueCertificate, type CertificateAuthority } from '#common/pki/certificate.ts';
import { leafLifetimeMs, timeFloor } from '#common/pki/validity.ts';
import { messageOf } from '#common/errors.ts';
import { execute } from '../execute.ts';
import { watch, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { isToBeSigned, signerProblem } from './reconcile.ts';

/** Signs approved requests to the signers of kubernetes.io with the cluster's CA; keys are names of requests. */
export function certificateSigner(deps: ControllerDeps, { credentials }: ControllerConfig): Controller {
  if (!credentials) return { watches: [], reconcile: () => Promise.resolve(undefined) };
  const lister = deps.informers.informer(certificateSigningRequests);
  return {
    watches: [watch(lister, ({ object }) => (object && isToBeSigned(object) ? [object.metadata?.name ?? ''] : []))],
    async reconcile(name) {
      const request = lister.get(undefined, name);
      if (!request || !isToBeSigned(request)) return undefined;
      const status = await answer(credentials.ca, request, deps.clock.now());
      await execute(deps, [{ type: 'update', resource: certificateSigningRequests, object: { ...request, status: { ...request.status, ...status } } as CertificateSigningRequest, subresource: 'status' }]);
      return undefined;
    },
  };
}

async function answer(ca: CertificateAuthority, request: CertificateSigningRequest, nowMs: number): Promise<CertificateSigningRequest['status']> {
  const { spec, status } = request;
  const failed = (message: string): CertificateSigningRequest['status'] => ({ conditions: [...status?.conditions ?? [], { type: 'Failed', status: 'True', reason: 'SignerValidationFailure', message }] });
  const { readSigningRequest } = await import('#common/pki/request-content.ts');
  try {
    const content = readSigningRequest(Buffer.from(spec.request, 'base64').toString());
    const problem = signerProblem(request, content);
    if (problem !== undefined) return failed(problem);
    const certificate = issueCertificate(ca, {
      subject: content, publicKey: content.publicKey, usage: spec.usages ?? [], names: [...content.dnsNames, ...content.ipAddresses], uris: content.uris, emails: content.emails,
      nowMs: timeFloor(nowMs), lifetimeMs: Math.min(leafLifetimeMs, (spec.expirationSeconds ?? Infinity) * 1000),
    });
    return { certificate: Buffer.from(certificate).toString('base64') };
  } catch (error) {
    return failed(`the request cannot be read: ${messageOf(error)}`);
  }
}
