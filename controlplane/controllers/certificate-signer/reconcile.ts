import type { CertificateSigningRequest } from '#api/gen/types.ts';

/** What the signers look at; see `common/pki/request-content.ts`. */
export interface RequestContent {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly uris: readonly string[];
  readonly emails: readonly string[];
}

type Rule = (usages: readonly string[], content: RequestContent) => string | undefined;

/** Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers; legacy-unknown is signed by nobody. */
const signers: Readonly<Record<string, Rule>> = {
  'kubernetes.io/kube-apiserver-client': (usages) => usageProblem(usages, ['client auth'], ['digital signature', 'key encipherment', 'client auth']),
  'kubernetes.io/kube-apiserver-client-kubelet': (usages, content) => {
    const { dnsNames, ipAddresses, uris, emails } = content;
    if (dnsNames.length + ipAddresses.length + uris.length + emails.length > 0) return 'subject alternative names are not allowed';
    return nodeProblem(content) ?? usageProblem(usages, ['digital signature', 'client auth'], ['digital signature', 'key encipherment', 'client auth']);
  },
  'kubernetes.io/kubelet-serving': (usages, content) => {
    if (content.dnsNames.length + content.ipAddresses.length === 0) return 'DNS or IP subjectAltName is required';
    if (content.uris.length + content.emails.length > 0) return 'URI and email subjectAltNames are not allowed';
    return nodeProblem(content) ?? usageProblem(usages, ['digital signature', 'server auth'], ['digital signature', 'key encipherment', 'server auth']);
  },
};

function nodeProblem({ commonName, organizations }: RequestContent): string | undefined {
  if (organizations.length !== 1 || organizations[0] !== 'system:nodes') return 'subject organization is not system:nodes';
  return commonName.startsWith('system:node:') && commonName.length > 'system:node:'.length ? undefined : 'subject common name does not begin with system:node:';
}

function usageProblem(usages: readonly string[], needed: readonly string[], allowed: readonly string[]): string | undefined {
  const fits = needed.every((usage) => usages.includes(usage)) && usages.every((usage) => allowed.includes(usage));
  return fits ? undefined : `usages did not match ${JSON.stringify(allowed)}`;
}

const has = ({ status }: CertificateSigningRequest, type: string): boolean => status?.conditions?.some((condition) => condition.type === type) ?? false;

/** Approved, for a signer of ours, and not yet answered. */
export function isToBeSigned(request: CertificateSigningRequest): boolean {
  return Object.hasOwn(signers, request.spec.signerName) && has(request, 'Approved') && !has(request, 'Denied') && !has(request, 'Failed') && !request.status?.certificate;
}

/** Why the request's signer must refuse it; undefined when it may sign. */
export function signerProblem({ spec }: CertificateSigningRequest, content: RequestContent): string | undefined {
  return signers[spec.signerName]?.(spec.usages ?? [], content);
}
