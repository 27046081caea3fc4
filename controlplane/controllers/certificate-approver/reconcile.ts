import type { CertificateSigningRequest } from '#api/gen/types.ts';

/** What of a request shows that it is a node's. */
export interface RequestContent {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly names: number;
}

const clientUsages = ['digital signature', 'key encipherment', 'client auth'];

/** A request that nobody has decided, of the kind that is decided here. */
export function isPending({ spec, status }: CertificateSigningRequest): boolean {
  return spec.signerName === 'kubernetes.io/kube-apiserver-client-kubelet' && !status?.certificate && !status?.conditions?.some(({ type }) => ['Approved', 'Denied', 'Failed'].includes(type));
}

/** The right that approves a node's client certificate without a person: its own, or one for any node. Undefined: not such a request. */
export function neededRight({ spec }: CertificateSigningRequest, { commonName, organizations, names }: RequestContent): 'selfnodeclient' | 'nodeclient' | undefined {
  const usages = spec.usages ?? [];
  const isNode = organizations.length === 1 && organizations[0] === 'system:nodes' && commonName.startsWith('system:node:') && names === 0
    && usages.includes('client auth') && usages.includes('digital signature') && usages.every((usage) => clientUsages.includes(usage));
  if (!isNode) return undefined;
  return spec.username === commonName ? 'selfnodeclient' : 'nodeclient';
}
