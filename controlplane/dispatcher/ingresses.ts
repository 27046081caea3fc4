import type { Ingress, IngressClass, Node, Secret } from '#api/gen/types.ts';
import { ingressAnnotation, ingressCertificates, isServed, redirectAnnotation, secretNamesOf, type IngressCertificate } from '#api/ingress/ingress.ts';
import { ingresses, qualifiedName } from '#api/kinds/resources.ts';
import { keyOf, objectKey, splitKey } from '#api/meta/object.ts';
import type { Informer } from '../cache/types.ts';

export interface IngressInformers {
  readonly ingresses: Informer<Ingress>;
  readonly ingressClasses: Informer<IngressClass>;
  readonly secrets: Informer<Secret>;
  readonly nodes: Informer<Node>;
}

/** What nodes that serve Ingresses need: those of our class, and the certificates that they name. Others are told nothing. */
export class IngressIndex {
  readonly #informers: IngressInformers;
  readonly #mark: (nodeName: string | undefined, key: string) => void;

  /** `mark` is called with the `resource key` of what a node, or every node, is to be told again. */
  constructor(informers: IngressInformers, mark: (nodeName: string | undefined, key: string) => void) {
    this.#informers = informers;
    this.#mark = mark;
  }

  /** Follows the informers until the returned function is called. */
  start(): () => void {
    const informers = this.#informers;
    const stops = [
      informers.ingresses.subscribe(({ object, old }) => {
        for (const one of [object, old]) if (one) this.#markAll(keysOfIngress(one));
      }),
      informers.ingressClasses.subscribe(() => { this.#markAll(this.#keys()); }),
      informers.secrets.subscribe(({ object, old }) => {
        const secret = object ?? old ?? {};
        if (this.#isNamed(secret.metadata?.namespace, secret.metadata?.name ?? '')) this.#mark(undefined, certificateKey(secret.metadata?.namespace, secret.metadata?.name ?? ''));
      }),
      informers.nodes.subscribe(({ object, old }) => {
        const name = (object ?? old)?.metadata?.name ?? '';
        if (isWilling(object) !== isWilling(old)) for (const key of this.#keys()) this.#mark(name, key);
      }),
    ];
    return () => { for (const stop of stops) stop(); };
  }

  /** What a node may need now, as `resource key`. */
  keysOf(nodeName: string): Iterable<string> {
    return isWilling(this.#informers.nodes.get(undefined, nodeName)) ? this.#keys() : [];
  }

  static has(resourceName: string): boolean {
    return resourceName === qualifiedName(ingresses) || resourceName === qualifiedName(ingressCertificates);
  }

  /** The object behind a key as the node is to see it; undefined when it does not need it. */
  objectFor(nodeName: string, resourceName: string, key: string): Ingress | IngressCertificate | undefined {
    if (!isWilling(this.#informers.nodes.get(undefined, nodeName))) return undefined;
    const { namespace, name } = splitKey(key);
    if (resourceName === qualifiedName(ingresses)) {
      const ingress = this.#informers.ingresses.get(namespace, name);
      return ingress && this.#isServed(ingress) ? trimIngress(ingress) : undefined;
    }
    if (!this.#isNamed(namespace, name)) return undefined;
    const { data } = this.#informers.secrets.get(namespace, name) ?? {};
    const [certificate, privateKey] = [data?.['tls.crt'], data?.['tls.key']];
    return certificate && privateKey ? { metadata: { namespace, name }, certificate, key: privateKey } : undefined;
  }

  #isServed(ingress: Ingress): boolean {
    return isServed(ingress, (name) => this.#informers.ingressClasses.get(undefined, name));
  }

  #isNamed(namespace: string | undefined, secretName: string): boolean {
    return this.#informers.ingresses.list(namespace).some((ingress) => secretNamesOf(ingress).includes(secretName) && this.#isServed(ingress));
  }

  *#keys(): Generator<string> {
    for (const ingress of this.#informers.ingresses.list()) yield* keysOfIngress(ingress);
  }

  #markAll(keys: Iterable<string>): void {
    for (const key of keys) this.#mark(undefined, key);
  }
}

function isWilling(node: Node | undefined): boolean {
  const said = node?.metadata?.annotations?.[ingressAnnotation];
  return said === 'on' || said === 'ready';
}

function* keysOfIngress(ingress: Ingress): Generator<string> {
  yield `${qualifiedName(ingresses)} ${keyOf(ingress)}`;
  for (const name of secretNamesOf(ingress)) yield certificateKey(ingress.metadata?.namespace, name);
}

function certificateKey(namespace: string | undefined, name: string): string {
  return `${qualifiedName(ingressCertificates)} ${objectKey(namespace, name)}`;
}

function trimIngress({ apiVersion, kind, metadata, spec }: Ingress): Ingress {
  const { name, namespace, uid, creationTimestamp } = metadata ?? {};
  const redirect = metadata?.annotations?.[redirectAnnotation];
  return { apiVersion, kind, metadata: { name, namespace, uid, creationTimestamp, ...(redirect !== undefined && { annotations: { [redirectAnnotation]: redirect } }) }, spec };
}
