import type { Ingress, IngressClass, ObjectMeta } from '../gen/types.ts';
import type { Resource } from '../kinds/resources.ts';

/** What an IngressClass names as its controller when Cleat is to serve its Ingresses. */
export const ingressController = 'cleat.dev/ingress';

/** What a host says of itself, as an annotation of its Node: `off`, `on` (it would serve Ingresses) or `ready` (it does). */
export const ingressAnnotation = 'cleat.dev/ingress';

/** On an Ingress, `true`: whoever asks in the clear is sent to the same address by HTTPS. */
export const redirectAnnotation = 'cleat.dev/ssl-redirect';

const classAnnotation = 'kubernetes.io/ingress.class';

/**
 * The two parts of a TLS Secret that an Ingress names: all that a host needs of it. Known only between control plane
 * and agents; named as the Secret is.
 */
export interface IngressCertificate {
  readonly metadata?: ObjectMeta | undefined;
  /** In base64, as in the Secret. */
  readonly certificate: string;
  readonly key: string;
}

export const ingressCertificates: Resource<IngressCertificate> = { group: 'edge.cleat.dev', version: 'v1', plural: 'ingresscertificates', kind: 'IngressCertificate', namespaced: true };

/** The class that an Ingress is of; undefined for none, which nobody serves. */
export function classNameOf({ metadata, spec }: Ingress): string | undefined {
  return spec?.ingressClassName ?? metadata?.annotations?.[classAnnotation];
}

/** Whether Cleat is to serve it. Which class an Ingress without one is of, admission has decided when it was made. */
export function isServed(ingress: Ingress, classNamed: (name: string) => IngressClass | undefined): boolean {
  const name = classNameOf(ingress);
  return name !== undefined && ingress.metadata?.deletionTimestamp === undefined && classNamed(name)?.spec?.controller === ingressController;
}

/** The Secrets of its namespace that an Ingress wants certificates from, each once. */
export function secretNamesOf({ spec }: Ingress): string[] {
  return [...new Set((spec?.tls ?? []).flatMap(({ secretName }) => secretName || []))];
}
